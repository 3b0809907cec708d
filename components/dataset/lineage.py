"""The dataset as the record of a run knows it: its sets, by name and digest."""

from collections.abc import Sequence

from components.dataset.judge import DatasetConfig
from components.dataset.screen import Row, Screened, file_name
from components.tracking.inputs import Input
from components.web import shown


def inputs(config: DatasetConfig, screened: Screened, digest: str) -> list[Input]:
    """Return both sets as inputs of the stage's run, with the contexts `training` and `eval`."""
    held_out_from = config.eval_dataset or config.dataset
    return [
        _input(config.dataset, screened.train, digest, "training"),
        _input(held_out_from, screened.eval, digest, "eval"),
    ]


def _input(source: str, rows: Sequence[Row], digest: str, context: str) -> Input:
    name = shown(source)
    profile = {"num_rows": len(rows), "num_tokens": sum(row.tokens for row in rows)}
    return Input(f"{file_name(name)} ({context})", name, digest, context, profile)
