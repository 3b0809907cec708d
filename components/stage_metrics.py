"""A stage's figures as the Kubeflow Pipelines UI shows them."""

from pathlib import Path
from typing import Any


def log_metrics(record: Any, metrics: Any, *alike: Any) -> None:
    """Log what a stage has measured.

    Args:
        record: The `StageRecord`.
        metrics: KFP's `Metrics` output.
        alike: Other outputs that KFP keeps as metadata alone.
    """
    for name, value in record.metrics.items():
        metrics.log_metric(name, value)
    # KFP's local cache takes an output without a file for a lost one.
    for output in (metrics, *alike):
        Path(output.path).write_text(record.model_dump_json(), encoding="utf-8")
