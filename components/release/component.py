"""KFP components: promote or refuse the candidate, and close the release."""

from kfp import dsl

UNCHANGED = "unchanged"  # what `find_champion` returns where there is nothing to do


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

    Where there is something to train, what would only fail after the training is refused.
    """
    from pathlib import Path

    from components import stage_page, tracking
    from components.release.standing import UNCHANGED, StandingConfig, champion_to_beat
    from components.release.targets import check_targets

    config = StandingConfig(
        base_model=base_model,
        model_name=model_name,
        skip_unchanged=skip_unchanged,
        compare_with_champion=compare_with_champion,
        dataset_fingerprint=train_set.metadata["fingerprint"],
    )
    with tracking.stage("champion", config.model_dump(), upstream=[train_set.metadata]) as stage:
        version = champion_to_beat(config, stage)
        if version != UNCHANGED:
            check_targets(image_repository, serving_target, model_name, base_model)
    stage_page.write_page(stage, Path(page.path))
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

    from components import stage_page, tracking
    from components.release.promotion import promote_candidate

    verdicts = [Path(quality_verdict.path), Path(service_verdict.path)]
    with tracking.stage("promote", {"serving_target": serving_target}) as stage:
        promote_candidate(
            serving_target, Path(deployment.path), verdicts, scores.metadata["adapter_digest"], stage
        )
    stage_page.write_page(stage, Path(page.path))


@dsl.component(base_image="python:3.11-slim", install_kfp_package=False)
def refuse(
    verdict: dsl.Input[dsl.Artifact],
    serving_target: str,
    fail_on_reject: bool,
    page: dsl.Output[dsl.Markdown],
) -> None:
    """Retire the candidate, if one is deployed, and say why; an earlier champion goes on serving."""
    from pathlib import Path

    from components import stage_page, tracking
    from components.errors import Refused
    from components.release.promotion import refuse_candidate

    with tracking.stage("refuse", {"serving_target": serving_target}) as stage:
        refuse_candidate(serving_target, Path(verdict.path), stage)
    stage_page.write_page(stage, Path(page.path))
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
