"""KFP components: promote or refuse the candidate, and close the release."""

from kfp import dsl

# What `find_champion` returns where there is nothing to do; `standing` has the same word, for the graph
# imports shells alone.
UNCHANGED = "unchanged"


@dsl.component(base_image="python:3.11-slim", install_kfp_package=False)
def find_champion(
    train_set: dsl.Input[dsl.Dataset],
    base_model: str,
    model_name: str,
    skip_unchanged: bool,
    compare_with_champion: bool,
    image_repository: str,
    serving_target: str,
    page: dsl.Output[dsl.Markdown],
) -> str:
    """Return the version of the champion to beat, nothing, or "unchanged" where it has seen this dataset.

    What a promotion was stopped at is settled first. Where there is something to train, what would only fail
    after the training is refused.
    """
    from components.release.settling import settle_before
    from components.release.standing import UNCHANGED, StandingConfig, champion_to_beat
    from components.release.targets import check_targets
    from components.tracking.shell import run_stage

    config = StandingConfig.of(locals(), dataset_fingerprint=train_set.metadata["fingerprint"])
    with run_stage("champion", config, page, reads=[train_set]) as stage:
        settle_before(serving_target, model_name, stage)
        version = champion_to_beat(config, stage)
        if version != UNCHANGED:
            check_targets(image_repository, serving_target, model_name, base_model)
    return version


@dsl.component(base_image="python:3.11-slim", install_kfp_package=False)
def promote(
    deployment: dsl.Input[dsl.Artifact],
    scores: dsl.Input[dsl.Artifact],
    quality_verdict: dsl.Input[dsl.Artifact],
    service_verdict: dsl.Input[dsl.Artifact],
    serving_target: str,
    page: dsl.Output[dsl.Markdown],
) -> None:
    """Switch the live traffic to the candidate, then move the registry's champion alias to it."""
    from pathlib import Path

    from components.release.promotion import EndConfig, promote_candidate
    from components.tracking.shell import run_stage

    verdicts = [Path(quality_verdict.path), Path(service_verdict.path)]
    evaluated = scores.metadata["adapter_digest"]
    with run_stage("promote", EndConfig.of(locals()), page) as stage:
        promote_candidate(serving_target, Path(deployment.path), verdicts, evaluated, stage)


@dsl.component(base_image="python:3.11-slim", install_kfp_package=False)
def refuse(
    verdict: dsl.Input[dsl.Artifact],
    serving_target: str,
    fail_on_reject: bool,
    page: dsl.Output[dsl.Markdown],
) -> None:
    """Retire the candidate, if one is deployed, and say why; an earlier champion goes on serving."""
    from pathlib import Path

    from components.errors import Refused
    from components.release.promotion import EndConfig, refuse_candidate
    from components.tracking.shell import run_stage

    with run_stage("refuse", EndConfig.of(locals()), page) as stage:
        refuse_candidate(serving_target, Path(verdict.path), stage)
    if fail_on_reject:
        raise Refused("the release was refused, and fail_on_reject asks for a failed run; the card says why")


@dsl.component(base_image="python:3.11-slim", install_kfp_package=False)
def close_release(
    serving_target: str,
    model_name: str,
    card: dsl.Output[dsl.HTML],
) -> None:
    """Retire what a failed release left behind and write the release card, however the release ended."""
    from pathlib import Path

    from components.release.closing import close

    close(serving_target, model_name, Path(card.path))
