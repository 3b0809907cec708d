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
) -> None:
    """Put the adapter into an OCI image, push it, read it back by digest and register it."""
    from pathlib import Path

    from components import tracking
    from components.image.push import ImageConfig, push

    config = ImageConfig(
        base_model=base_model,
        base_revision=scores.metadata["base_revision"],
        model_name=model_name,
        image_repository=image_repository,
        evaluated_digest=scores.metadata["adapter_digest"],
        dataset_fingerprint=train_set.metadata["fingerprint"],
        evaluation_run=scores.metadata[tracking.RUN_KEY],
    )
    upstream = [train_set.metadata, adapter.metadata, scores.metadata]
    with tracking.stage("image", config.model_dump(), upstream=upstream) as stage:
        pushed = push(config, Path(adapter.path), stage)
    Path(image.path).write_text(pushed.model_dump_json(indent=2), encoding="utf-8")
    image.metadata.update({tracking.RUN_KEY: stage.run_id, "reference": pushed.reference})
