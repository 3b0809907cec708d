"""KFP component: validate the dataset."""

from kfp import dsl


@dsl.component(base_image="python:3.11-slim", install_kfp_package=False)
def validate_dataset(
    dataset: str,
    eval_dataset: str,
    dataset_digest: str,
    base_model: str,
    eval_fraction: float,
    min_train_rows: int,
    min_eval_rows: int,
    max_quarantined_share: float,
    max_truncated_share: float,
    max_contradicting_share: float,
    max_length: int,
    seed: int,
    train_set: dsl.Output[dsl.Dataset],
    eval_set: dsl.Output[dsl.Dataset],
    report: dsl.Output[dsl.HTML],
    metrics: dsl.Output[dsl.Metrics],
    page: dsl.Output[dsl.Markdown],
) -> None:
    """Accept or quarantine every row and refuse a dataset that is not fit to train on."""
    from pathlib import Path

    from components import stage_page, tracking
    from components.dataset.load import display_name
    from components.dataset.validate import DatasetConfig, validate
    from components.stage_metrics import log_metrics

    config = DatasetConfig(
        dataset=dataset,
        eval_dataset=eval_dataset,
        base_model=base_model,
        eval_fraction=eval_fraction,
        min_train_rows=min_train_rows,
        min_eval_rows=min_eval_rows,
        max_quarantined_share=max_quarantined_share,
        max_truncated_share=max_truncated_share,
        max_contradicting_share=max_contradicting_share,
        max_length=max_length,
        seed=seed,
    )
    # Without the credentials that an address may hold: what is recorded is read by many.
    names = {"dataset": display_name(dataset), "eval_dataset": display_name(eval_dataset)}
    with tracking.stage("dataset", {**config.model_dump(), **names}) as stage:
        fingerprint = validate(config, Path(train_set.path), Path(eval_set.path), Path(report.path), stage)
    stage_page.write_page(stage, Path(page.path))
    for artifact in (train_set, eval_set):
        artifact.metadata.update({tracking.RUN_KEY: stage.run_id, "fingerprint": fingerprint})
    log_metrics(stage.record, metrics)
