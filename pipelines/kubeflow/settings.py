"""What is settled outside the form: when the package is compiled, and how the back end is reached."""

from pathlib import Path
from typing import Literal

from pydantic import Field, SecretStr, field_validator
from pydantic_core import PydanticCustomError
from pydantic_settings import BaseSettings, SettingsConfigDict

from components.settings import QUANTITY, WebAddress

PREFIX = "TUNEGATE_KUBEFLOW_"
HOUR_S = 3600
PIPELINE, EXPERIMENT = "tunegate-release", "tunegate"  # made where they are missing; others must be there

TIMEOUTS_S = {
    "validate_dataset": HOUR_S,
    "find_champion": HOUR_S // 2,
    "finetune": 24 * HOUR_S,
    "evaluate": 4 * HOUR_S,
    "quality_gate": HOUR_S // 2,
    "push_image": HOUR_S,
    "deploy": 2 * HOUR_S,
    "stress": 4 * HOUR_S,
    "service_gate": HOUR_S // 2,
    "promote": HOUR_S,
    "refuse": HOUR_S,
    "close_release": HOUR_S,
}
RETRIES = {"validate_dataset": 2, "finetune": 2, "evaluate": 2, "push_image": 3}


class CompileSettings(BaseSettings):
    """What KFP does not let a person choose in the form; `TUNEGATE_KUBEFLOW_...` in the environment.

    Mappings are given as JSON.
    """

    model_config = SettingsConfigDict(
        env_prefix=PREFIX, title="settings of Kubeflow", frozen=True, extra="ignore"
    )

    image_pull_policy: Literal["Always", "IfNotPresent", "Never"] = Field(
        "IfNotPresent", description="When the nodes pull our images."
    )
    shared_memory: str = Field(
        "8Gi", pattern=QUANTITY, description="Size of /dev/shm of finetune and evaluate; part of the memory."
    )
    cache_volume: bool = Field(
        True, description="Keep models and checkpoints on the claim of the form; else they go with the pod."
    )
    timeouts_s: dict[str, int] = Field(
        TIMEOUTS_S,
        description="Longest time of each stage, its pod's start included. "
        "A stage that is not named keeps its own.",
    )
    retries: dict[str, int] = Field(
        RETRIES,
        description="How often a stage is tried again: those that download, push, or lose their node. "
        "Gates, and what touches a running service, are tried once. A stage that is not named keeps its own.",
    )
    backoff_s: int = Field(30, ge=0, description="Wait before the first retry; doubled each time.")

    @field_validator("timeouts_s")
    @classmethod
    def _over_the_usual_timeouts(cls, given: dict[str, int]) -> dict[str, int]:
        problems = _unknown(given)
        problems += [f"{stage} {limit}, wanted 1 or more" for stage, limit in given.items() if limit < 1]
        return _over(TIMEOUTS_S, given, problems)

    @field_validator("retries")
    @classmethod
    def _over_the_usual_retries(cls, given: dict[str, int]) -> dict[str, int]:
        problems = _unknown(given)
        problems += [f"{stage} {tries}, wanted 0 or more" for stage, tries in given.items() if tries < 0]
        once = TIMEOUTS_S.keys() - RETRIES.keys()
        problems += [
            f"{stage} {tries}, but it is tried once"
            for stage, tries in given.items()
            if stage in once and tries > 0
        ]
        return _over(RETRIES, given, problems)


def _unknown(given: dict[str, int]) -> list[str]:
    stages = ", ".join(TIMEOUTS_S)
    return [f"no stage {stage!r}, there are {stages}" for stage in given if stage not in TIMEOUTS_S]


def _over(usual: dict[str, int], given: dict[str, int], problems: list[str]) -> dict[str, int]:
    """Lay what was given over what is usual."""
    if problems:
        raise PydanticCustomError("stages", "{problems}", {"problems": "; ".join(problems)})
    return {**usual, **given}


class ClientSettings(BaseSettings):
    """How the back end is reached; `TUNEGATE_KUBEFLOW_...` in the environment.

    Without an address it is found as kfp's own client finds it: from inside the cluster by its Service,
    from outside through the API server of the kubeconfig.
    """

    model_config = SettingsConfigDict(
        env_prefix=PREFIX, title="settings of Kubeflow", frozen=True, extra="ignore"
    )

    host: WebAddress = Field(
        "",
        description="Address of the Kubeflow Pipelines API, such as https://kubeflow.example.com/pipeline.",
    )
    token: SecretStr = Field(SecretStr(""), description="Bearer token.")
    token_file: Path | None = Field(
        None, description="File with a bearer token that something else renews; read for every request."
    )
    ca_file: Path | None = Field(None, description="Certificates to check the address with.")
    context: str = Field("", description="Context of the kubeconfig; empty: the current one.")
    system_namespace: str = Field(
        "kubeflow", description="Namespace that Kubeflow Pipelines is installed in."
    )
    namespace: str = Field(
        "", description="Namespace of the runs, where the installation has one for each user or team."
    )
    ui: WebAddress = Field("", description="Address of the UI, for links; empty: that of the API.")
    pipeline: str = Field(PIPELINE, min_length=1, description="Pipeline whose versions are used.")
    experiment: str = Field(EXPERIMENT, min_length=1, description="Experiment of the runs.")
    service_account: str = Field(
        "tunegate-release",
        description="Account of the pods; it deploys, stresses and promotes. Empty: the installation's.",
    )
