"""A stage's figures as the Kubeflow Pipelines UI shows them."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from components.tracking.records import StageRecord


def log_metrics(record: StageRecord, outputs: Sequence[Any]) -> None:
    """Log what a stage has measured.

    Args:
        record: What the stage did.
        outputs: KFP's `Metrics` output, if it has one, and others that KFP keeps as metadata alone.
    """
    for metrics in outputs[:1]:
        for name, value in record.metrics.items():
            metrics.log_metric(name, value)
    # KFP's local cache takes an output without a file for a lost one.
    for output in outputs:
        Path(output.path).write_text(record.model_dump_json(), encoding="utf-8")
