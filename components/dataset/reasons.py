"""Why rows were set aside: counted by reason, each with the places and rows that show it."""

from collections.abc import Iterable
from dataclasses import dataclass, field

from components.dataset.quarantine import Quarantined
from components.dataset.rows import Kind
from components.dataset.screen import file_name

ROWS_KEPT = 8


@dataclass
class Reason:
    """One reason for which rows were set aside.

    Attributes:
        kind: One word of `components.dataset.rows.KINDS`.
        count: Rows set aside for it.
        first: The first of them.
    """

    kind: Kind
    count: int = 0
    first: list[Quarantined] = field(default_factory=list)

    @property
    def places(self) -> str:
        """Where the first of them stand: `rows.jsonl, lines 5, 9, 12 and 4 more`."""
        lines: dict[str, list[str]] = {}
        for row in self.first:
            lines.setdefault(file_name(row.file), []).append(str(row.line))
        told = "; ".join(
            f"{file}, line{'s'[: len(numbers) > 1]} {', '.join(numbers)}" for file, numbers in lines.items()
        )
        more = self.count - len(self.first)
        return f"{told} and {more:,} more" if more else told


def reasons(quarantined: Iterable[Quarantined]) -> list[Reason]:
    """Count rows by the reason that they were set aside for, most first; few of each are kept."""
    found: dict[Kind, Reason] = {}
    for row in quarantined:
        reason = found.setdefault(row.kind, Reason(row.kind))
        reason.count += 1
        if len(reason.first) < ROWS_KEPT:
            reason.first.append(row)
    return sorted(found.values(), key=lambda reason: -reason.count)
