"""Why rows were set aside: counted by reason, each with the places and rows that show it."""

from dataclasses import dataclass

from components.dataset.quarantine import Quarantine, Quarantined
from components.dataset.rows import Kind
from components.sources.names import file_name

ROWS_KEPT = 8


@dataclass(frozen=True)
class Reason:
    """One reason for which rows were set aside.

    Attributes:
        kind: One word of `components.dataset.rows.KINDS`.
        count: Rows set aside for it.
        first: The first of them.
    """

    kind: Kind
    count: int
    first: list[Quarantined]

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


def reasons(quarantined: Quarantine) -> list[Reason]:
    """Return the reasons that rows were set aside for, most rows first, with a few rows of each."""
    found = [
        Reason(kind, count, [*quarantined.first(ROWS_KEPT, kind)])
        for kind, count in quarantined.by_kind().items()
    ]
    return sorted(found, key=lambda reason: (-reason.count, reason.first[0].file, reason.first[0].line))
