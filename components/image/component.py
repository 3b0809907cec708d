"""KFP component: build and push the adapter image."""

from kfp import dsl


@dsl.component(base_image="python:3.11-slim", install_kfp_package=False)
def push_image(
    adapter: dsl.Input[dsl.Model],
    scores: dsl.Input[dsl.Artifact],
    train_set: dsl.Input[dsl.Dataset],
    base_model: str,
    model_name: str,
    image_repository: str,
    image: dsl.Output[dsl.Artifact],
    page: dsl.Output[dsl.Markdown],
) -> None:
    """Put the adapter into an OCI image, push it, read it back by digest and register it."""
    from pathlib import Path

    from components.image.push import ImageConfig, push
    from components.tracking.runs import RUN_KEY
    from components.tracking.shell import run_stage

    config = ImageConfig.of(
        locals(),
        base_revision=scores.metadata["base_revision"],
        evaluated_digest=scores.metadata["adapter_digest"],
        dataset_fingerprint=train_set.metadata["fingerprint"],
        evaluation_run=scores.metadata[RUN_KEY],
    )
    with run_stage("image", config, page, reads=[train_set, adapter, scores], makes=[image]) as stage:
        pushed = push(config, Path(adapter.path), stage)
    Path(image.path).write_text(pushed.model_dump_json(indent=2), encoding="utf-8")
    image.metadata["reference"] = pushed.reference
