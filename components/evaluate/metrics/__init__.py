"""Metrics as modules of Hugging Face `evaluate`; nothing is fetched for them.

A folder here is a metric, and all that there is to it: in `NAME/NAME.py`, beside an empty `__init__.py`,
is a `TextMetric` whose class is called as the folder is (`TokenF1` in `token_f1`) and which says how one
answer is scored. It is then scored, logged, drawn and known to the gate.
"""

from pathlib import Path

from components import wording

FOLDER = Path(__file__).parent
METRICS = tuple(sorted(file.stem for file in FOLDER.glob("*/*.py") if file.stem == file.parent.name))
LABELS = {name: wording.plain(name) for name in METRICS}


def known_metric(name: str) -> str:
    """Return a metric's name.

    Raises:
        ValueError: There is no such metric.
    """
    if name not in METRICS:
        raise ValueError(f"wanted one of {', '.join(METRICS)}")
    return name
