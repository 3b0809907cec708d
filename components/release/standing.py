"""Against whom a release stands: the present champion, if it has to be beaten, and whether to go on."""

from pydantic import ConfigDict, Field

from components.errors import InvalidInput
from components.tracking import model_registry
from components.tracking.champion_data import trained_on
from components.tracking.shell import StageConfig
from components.tracking.stage import Stage

UNCHANGED = "unchanged"
UNCHANGED_FACT = "unchanged_since_version"


class StandingConfig(StageConfig):
    """What is asked of a release that has a champion before it."""

    model_config = ConfigDict(frozen=True, protected_namespaces=())

    base_model: str = Field(description="What the candidate is to be trained on.")
    model_name: str = Field(description="The registered model.")
    skip_unchanged: bool = Field(description="Stop where the champion was trained on the same dataset.")
    compare_with_champion: bool = Field(description="Let the champion answer the held-out prompts too.")
    dataset_fingerprint: str = Field(description="What the candidate is to be trained with.")


def champion_to_beat(config: StandingConfig, stage: Stage) -> str:
    """Return the version of the champion that has to be beaten.

    Args:
        config: What is asked for.
        stage: The running stage; where the release stops here it gets the fact that says so.

    Returns:
        A version of the registered model; empty where there is no champion or none has to be beaten;
        "unchanged" where the champion was trained from the same base model on the same dataset.

    Raises:
        InvalidInput: The champion has another base model, so that no engine can hold both.
    """
    champion = model_registry.champion(stage.client, config.model_name)
    if champion is None:
        stage.say("there is no champion yet")
        return ""
    stage.fact("present_champion", f"version {champion.version}")
    same_base = champion.base_model == config.base_model
    if (
        config.skip_unchanged
        and same_base
        and trained_on(stage.client, champion) == config.dataset_fingerprint
    ):
        stage.say(f"the dataset is that of champion version {champion.version}: nothing to train")
        stage.fact(UNCHANGED_FACT, champion.version)
        return UNCHANGED
    if not config.compare_with_champion:
        return ""
    if not same_base:
        raise InvalidInput(
            "compare_with_champion",
            [
                f"champion version {champion.version} was trained from {champion.base_model}, this release "
                f"is from {config.base_model}: one engine can't hold both; release once with "
                "compare_with_champion=false"
            ],
        )
    stage.say(f"champion version {champion.version} has to be beaten")
    return champion.version
