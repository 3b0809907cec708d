"""Rows that were set aside: on disk, however many they are, and with nothing in them that nobody may see."""

import json
from array import array
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass, replace

from components.dataset.arrays import numbers
from components.dataset.checks.findings import kind_of
from components.dataset.checks.spans import Found, Search
from components.dataset.files.source_row import EXCERPT_CHARACTERS, HELD_CHARACTERS
from components.dataset.rows import KINDS, Kind
from components.dataset.spool import Spool

SEARCHED_AT_ONCE = 20_000  # rows: every search starts a program
SEARCHED_CHARACTERS = 16 << 20
# Reasons of these kinds have nothing in them that a row says.
SILENT: tuple[Kind, ...] = ("duplicate", "leaks_eval", "too_long", "empty_prompt", "empty_answer")


@dataclass(frozen=True)
class Quarantined:
    """A row that was set aside: where it stood, and why."""

    file: str
    line: int
    kind: Kind
    reason: str
    excerpt: str


class Quarantine:
    """Rows that were set aside, by the names of their files and their lines.

    Args:
        search: Says what of a row's text nobody may see; None: nothing is looked for.

    Attributes:
        counts: How many of them by file and kind.
    """

    def __init__(self, search: Search | None) -> None:
        self._search = search
        self._waiting: list[Quarantined] = []
        self._waiting_size = 0
        self._spool = Spool()
        self._files: dict[str, int] = {}  # in the order in which they came
        self._file, self._line, self._kind = array("I"), array("Q"), array("B")
        self.counts: Counter[tuple[str, Kind]] = Counter()

    def __len__(self) -> int:
        return self.counts.total()

    def add(self, row: Quarantined) -> None:
        """Add a row, with all that is held of its text.

        Raises:
            TunegateError: The disk is full, or the search failed.
        """
        self._waiting.append(row)
        self._waiting_size += len(row.excerpt)
        self.counts[row.file, row.kind] += 1
        if len(self._waiting) >= SEARCHED_AT_ONCE or self._waiting_size >= SEARCHED_CHARACTERS:
            self.finish()

    def __iter__(self) -> Iterator[Quarantined]:
        return self.first(len(self))

    def first(self, most: int, kind: Kind | None = None) -> Iterator[Quarantined]:
        """Yield the first of them, or of one kind of them, by file and line."""
        import numpy

        places = [self._files[file] for file in sorted(self._files)]
        rank = numpy.argsort(numpy.array(places, int))
        kinds = numbers(self._kind, "u1")
        rows = numpy.flatnonzero(kinds == KINDS.index(kind)) if kind else numpy.arange(len(kinds))
        lines, files = numbers(self._line, "u8")[rows], rank[numbers(self._file, "u4")[rows]]
        order = rows[numpy.lexsort((lines, files))]
        return (Quarantined(**json.loads(self._spool[int(index)])) for index in order[:most])

    def by_kind(self) -> Counter[Kind]:
        """Return how many rows were set aside for which reason."""
        counts: Counter[Kind] = Counter()
        for (_, kind), count in self.counts.items():
            counts[kind] += count
        return counts

    def finish(self, others: Sequence[str] = ()) -> Sequence[Found]:
        """Search and keep what was added last.

        Args:
            others: Texts to be searched with it: every search starts a program.

        Returns:
            What was found in each of the others.

        Raises:
            TunegateError: The disk is full, or the search failed.
        """
        rows, self._waiting, self._waiting_size = self._waiting, [], 0
        # Reasons, too: one may quote what stands behind what is held of its row.
        texts = [*(row.excerpt for row in rows), *(row.reason for row in rows), *others]
        found = self._search(texts) if texts and self._search else [()] * len(texts)
        count = len(rows)
        for row, in_text, in_reason in zip(rows, found[:count], found[count : 2 * count], strict=True):
            names = (*in_text, *in_reason)
            self._spool.append(json.dumps(asdict(excerpt_of(row, names))).encode())
            self._file.append(self._files.setdefault(row.file, len(self._files)))
            self._line.append(row.line)
            self._kind.append(KINDS.index(row.kind))
        return found[2 * count :]


def excerpt_of(row: Quarantined, found: Found) -> Quarantined:
    """Return the row with so much of its text as is shown; none of it where something was found."""
    withheld = f"{row.kind.replace('_', ' ')}; the rest is withheld"
    if not found:
        # Of a row that is longer than what is held, a reason may quote a part of what nobody may see.
        is_cut = len(row.excerpt) >= HELD_CHARACTERS and row.kind not in SILENT
        reason = withheld if is_cut else row.reason
        return replace(row, reason=reason, excerpt=row.excerpt[:EXCERPT_CHARACTERS])
    kinds = ", ".join(sorted({kind_of(name) for name in found}))
    reason = row.reason if row.kind in SILENT else withheld
    return replace(row, reason=reason, excerpt=f"[withheld: it holds {kinds}]")
