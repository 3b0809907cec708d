"""KFP component: validate the dataset."""

from kfp import dsl


@dsl.component(base_image="python:3.11-slim", install_kfp_package=False)
def validate_dataset(
    dataset: str,
    eval_dataset: str,
    columns: str,
    preferences: str,
    dataset_digest: str,
    max_dataset_bytes: int,
    base_model: str,
    eval_fraction: float,
    min_train_rows: int,
    min_eval_rows: int,
    max_quarantined_share: float,
    max_truncated_share: float,
    max_contradicting_share: float,
    max_near_duplicate_share: float,
    max_near_leaked_share: float,
    max_same_answer_share: float,
    min_label_rows: int,
    group_by: str,
    secrets: str,
    personal_data: str,
    max_added_share: float,
    max_removed_share: float,
    max_changed_share: float,
    max_length_drift: float,
    max_label_drift: float,
    max_vocabulary_drift: float,
    model_name: str,
    champion_dataset: str,
    max_length: int,
    seed: int,
    learn_turns: str,
    train_set: dsl.Output[dsl.Dataset],
    eval_set: dsl.Output[dsl.Dataset],
    train_tokens: dsl.Output[dsl.Dataset],
    report: dsl.Output[dsl.HTML],
    metrics: dsl.Output[dsl.Metrics],
    page: dsl.Output[dsl.Markdown],
) -> None:
    """Accept or quarantine every row and refuse a dataset that is not fit to train on.

    `dataset_digest` is what the files held when the run was started; if they hold something else now, they
    are refused. It is part of the cache key, too: a path does not say that its content is the same. So is
    `champion_dataset`, for the rows are compared with those of the champion, whoever that is by now.
    """
    from pathlib import Path

    from components.dataset.validate import DatasetConfig, validate
    from components.tracking.shell import run_stage

    config = DatasetConfig.of(locals())
    made = [train_set, eval_set, train_tokens]
    written = Path(train_set.path), Path(eval_set.path), Path(report.path)
    with run_stage("dataset", config, page, makes=made, metrics=[metrics]) as stage:
        fingerprint = validate(config, *written, stage, Path(train_tokens.path))
    for artifact in made:
        artifact.metadata["fingerprint"] = fingerprint
