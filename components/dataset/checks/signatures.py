"""MinHash signatures of rows, 224 bytes each, in a file: what near duplicates are told by."""

from collections.abc import Sequence
from itertools import chain
from pathlib import Path
from typing import TYPE_CHECKING

from components.dataset.checks.shingles import runs_of, words_of

if TYPE_CHECKING:
    import numpy
    from numpy.typing import NDArray

    from components.dataset.checks.shingles import Hashes

PROMPT_HASHES, ANSWER_HASHES = 48, 8
WIDTH = PROMPT_HASHES + ANSWER_HASHES
# From so many rows is learned what is no row's own: a run of words that stands in more than 1 % of them, and
# in more than 20, is a template's or an instruction's.
SAMPLE_ROWS = 10_000
COMMON_SHARE, COMMON_ROWS = 0.01, 20
_SEED = 1


class Signatures:
    """Signatures of rows in the order in which they were added.

    Args:
        folder: Where their file is kept.
    """

    def __init__(self, folder: Path) -> None:
        self._path = folder / "signatures"
        self._waiting: list[tuple[str, str]] = []
        self._common: Hashes | None = None
        self._rows = 0

    def __len__(self) -> int:
        return self._rows + len(self._waiting)

    def add(self, rows: Sequence[tuple[str, str]]) -> None:
        """Add rows: the prompt and the answer of each."""
        self._waiting += rows
        if len(self._waiting) >= SAMPLE_ROWS:
            self._flush()

    def read(self, rows: "NDArray[numpy.int64]") -> "NDArray[numpy.uint32]":
        """Return the signatures of some rows: the prompt's hashes, then the answer's; they stay on disk."""
        import numpy

        self._flush()
        if not len(rows):
            return numpy.empty((0, WIDTH), dtype=numpy.uint32)
        found = numpy.memmap(self._path, dtype=numpy.uint32, mode="r", shape=(self._rows, WIDTH))
        if len(rows) == self._rows and (rows[1:] > rows[:-1]).all():
            return found
        chosen = numpy.memmap(self._path.with_name("chosen"), numpy.uint32, "w+", shape=(len(rows), WIDTH))
        for start in range(0, len(rows), SAMPLE_ROWS):
            chosen[start : start + SAMPLE_ROWS] = found[rows[start : start + SAMPLE_ROWS]]
        return chosen

    def _flush(self) -> None:
        import numpy

        rows, self._waiting = self._waiting, []
        if not rows:
            return
        prompts, starts = runs_of(*words_of([prompt for prompt, _ in rows]))
        if self._common is None:
            self._common = _common(prompts, starts)
        prompts, starts = _without(prompts, starts, self._common)
        answers = words_of([answer for _, answer in rows])
        with self._path.open("ab") as file:
            sides = (_digests(prompts, starts, PROMPT_HASHES), _digests(*answers, ANSWER_HASHES))
            numpy.hstack(sides).tofile(file)
        self._rows += len(rows)


def _digests(hashes: "Hashes", offsets: "NDArray[numpy.int64]", permutations: int) -> "NDArray[numpy.uint32]":
    import numpy
    from rensa import RMinHash

    matrix = RMinHash.digest_matrix_from_flat_token_hashes(
        hashes, offsets.astype(numpy.uint64), permutations, _SEED
    )
    values = chain.from_iterable(matrix.to_rows())
    return numpy.fromiter(values, numpy.uint32, count=(len(offsets) - 1) * permutations).reshape(
        -1, permutations
    )


def _common(runs: "Hashes", offsets: "NDArray[numpy.int64]") -> "Hashes":
    """Return, in order, the runs that stand in too many of the rows to tell one from another."""
    import numpy

    rows = numpy.repeat(numpy.arange(len(offsets) - 1), numpy.diff(offsets))
    order = numpy.lexsort((rows, runs))
    runs, rows = runs[order], rows[order]
    is_first = numpy.ones(len(runs), dtype=bool)
    is_first[1:] = (runs[1:] != runs[:-1]) | (rows[1:] != rows[:-1])
    values, counts = numpy.unique(runs[is_first], return_counts=True)
    return values[counts > max(COMMON_ROWS, COMMON_SHARE * (len(offsets) - 1))]


def _without(
    runs: "Hashes", offsets: "NDArray[numpy.int64]", common: "Hashes"
) -> "tuple[Hashes, NDArray[numpy.int64]]":
    """Leave out common runs, but not all that a row has."""
    import numpy

    if not len(common):
        return runs, offsets
    places = numpy.minimum(numpy.searchsorted(common, runs), len(common) - 1)
    kept = common[places] != runs
    left = numpy.add.reduceat(kept, offsets[:-1])
    kept |= numpy.repeat(left == 0, numpy.diff(offsets))
    left = numpy.add.reduceat(kept, offsets[:-1])
    return runs[kept], numpy.concatenate([[0], numpy.cumsum(left)]).astype(numpy.int64)
