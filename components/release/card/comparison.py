"""Base against fine-tuned on the release card."""

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from components import wording
from components.release.card.facts import Example
from components.tracking.records import StageRecord

EXAMPLES_SHOWN = 5


@dataclass(frozen=True)
class Comparison:
    """One metric of base and fine-tuned, as shares of one."""

    name: str
    base: float
    tuned: float
    gain: str


def comparisons(records: Sequence[StageRecord]) -> Iterator[Comparison]:
    """Yield each metric that the evaluation has of both models."""
    for record in records:
        if record.stage != "evaluate":
            continue
        for name, base in record.metrics.items():
            pair = re.fullmatch(r"base_(?P<metric>\w+)|(?P<set>guard)_base", name)
            if pair is None:
                continue
            metric = pair["metric"] or pair["set"]
            tuned = record.metrics.get(f"tuned_{metric}" if pair["metric"] else f"{metric}_tuned")
            if tuned is not None:
                yield Comparison(
                    "general questions (guard set)" if pair["set"] else wording.plain(metric),
                    base,
                    tuned,
                    wording.margin(tuned - base, "share"),
                )


def chosen_examples(examples: Sequence[Example]) -> list[Example]:
    """Choose examples evenly from the greatest gain to the greatest loss."""
    ordered = sorted(examples, key=lambda example: -example.gain)
    count = min(EXAMPLES_SHOWN, len(ordered))
    return [ordered[round(i * (len(ordered) - 1) / max(count - 1, 1))] for i in range(count)]
