"""One line a step of progress: plain in a pod's log, and what `tunegate run` draws its live view from."""

import re
from dataclasses import dataclass
from typing import Literal

Kind = Literal["started", "step", "cached", "finished", "refused", "failed"]

# In the order of the graph; beside them there are `refuse` and `close`.
STAGES = (
    "dataset",
    "finetune",
    "evaluate",
    "quality-gate",
    "image",
    "deploy",
    "stress",
    "service-gate",
    "promote",
)

_LINE = re.compile(
    r"\[tunegate\] (?P<stage>[a-z-]+) (?P<kind>started|step|cached|finished|refused|failed): (?P<text>.*)"
)


@dataclass(frozen=True)
class Progress:
    """One line of progress of one stage."""

    stage: str
    kind: Kind
    text: str


def report(stage: str, kind: Kind, text: str) -> None:
    """Print one line of progress."""
    print(f"[tunegate] {stage} {kind}: {' '.join(text.split())}", flush=True)


def parse(line: str) -> Progress | None:
    """Read a line that `report` printed, wherever in a log line it stands; None for any other line."""
    found = _LINE.search(line)
    if found is None:
        return None
    kind: Kind = found["kind"]  # type: ignore[assignment]  # the expression admits no other word
    return Progress(found["stage"], kind, found["text"].strip())
