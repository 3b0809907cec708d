"""The dataset as the record of a run knows it: its sets, by name and digest."""

from components.dataset.config import DatasetConfig
from components.dataset.row_store import Rows
from components.dataset.screen import Screened
from components.sources.names import file_name, split_names
from components.tracking.inputs import Input
from components.web import shown


def inputs(config: DatasetConfig, screened: Screened, digest: str) -> list[Input]:
    """Return both sets as inputs of the stage's run, with the contexts `training` and `eval`."""
    held_out_from = config.eval_dataset or config.dataset
    return [
        _input(config.dataset, screened.train, digest, "training"),
        _input(held_out_from, screened.eval, digest, "eval"),
    ]


def _input(source: str, rows: Rows, digest: str, context: str) -> Input:
    first, *others = map(shown, split_names(source))
    more = f" and {len(others)} more" if others else ""
    name = f"{file_name(first.rstrip('/'))}{more} ({context})"
    profile = {"num_rows": len(rows), "num_tokens": int(rows.tokens.sum())}
    return Input(name, shown(source), digest, context, profile)
