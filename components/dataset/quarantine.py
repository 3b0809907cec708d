"""Rows that were set aside: on disk, however many they are."""

import json
from array import array
from collections import Counter
from collections.abc import Iterator
from dataclasses import asdict, dataclass

from components.dataset.rows import Kind
from components.dataset.spool import Spool


@dataclass(frozen=True)
class Quarantined:
    """A row that was set aside: where it stood, and why."""

    file: str
    line: int
    kind: Kind
    reason: str
    excerpt: str


class Quarantine:
    """Rows that were set aside, in the order of the files.

    Attributes:
        counts: How many of them by file and kind.
    """

    def __init__(self) -> None:
        self._spool = Spool()
        self._files: list[str] = []
        self._file, self._line = array("H"), array("I")
        self.counts: Counter[tuple[str, Kind]] = Counter()

    def __len__(self) -> int:
        return len(self._spool)

    def add(self, row: Quarantined) -> None:
        """Add a row.

        Raises:
            TunegateError: The disk is full.
        """
        if row.file not in self._files:
            self._files.append(row.file)
        self._spool.append(json.dumps(asdict(row)).encode())
        self._file.append(self._files.index(row.file))
        self._line.append(row.line)
        self.counts[row.file, row.kind] += 1

    def __iter__(self) -> Iterator[Quarantined]:
        return self.first(len(self))

    def first(self, most: int) -> Iterator[Quarantined]:
        """Yield the first of them, by file and line."""
        import numpy

        places = sorted(range(len(self._files)), key=self._files.__getitem__)
        rank = numpy.argsort(places) if places else numpy.empty(0, int)
        files = rank[numpy.frombuffer(self._file, "u2")] if self._file else rank
        order = numpy.lexsort((numpy.frombuffer(self._line, "u4"), files)) if self._file else rank
        return (Quarantined(**json.loads(self._spool[int(index)])) for index in order[:most])

    def by_kind(self) -> Counter[Kind]:
        """Return how many rows were set aside for which reason."""
        counts: Counter[Kind] = Counter()
        for (_, kind), count in self.counts.items():
            counts[kind] += count
        return counts
