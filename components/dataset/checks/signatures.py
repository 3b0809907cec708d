"""MinHash signatures of rows, 320 bytes each, in files: what near duplicates are told by."""

import os
from collections.abc import Sequence
from itertools import chain
from pathlib import Path
from typing import TYPE_CHECKING, Any

from components.dataset.checks.shingles import runs_of, words_of
from components.errors import TunegateError

if TYPE_CHECKING:
    import numpy
    from numpy.typing import NDArray

    from components.dataset.checks.shingles import Hashes

PROMPT_HASHES, ANSWER_HASHES = 48, 8
BANDS = 12
# From so many rows is learned what is no row's own: a run of words that stands in more than 1 % of them, and
# in more than 20, is a template's or an instruction's.
SAMPLE_ROWS, SAMPLE_CHARACTERS = 10_000, 32 << 20
COMMON_SHARE, COMMON_ROWS = 0.01, 20
_SEED = 1
_PRIME = 0x100000001B3


class NoRoom(TunegateError):
    """Signatures can't be kept, so near duplicates can't be told."""


class Signatures:
    """Signatures of rows in the order in which they were added.

    Args:
        folder: Where their files are kept.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._waiting: list[tuple[str, str]] = []
        self._waiting_size = 0
        self._common: Hashes | None = None
        self._rows = 0

    def __len__(self) -> int:
        return self._rows + len(self._waiting)

    def add(self, rows: Sequence[tuple[str, str]]) -> None:
        """Add rows: the prompt and the answer of each."""
        for prompt, answer in rows:
            self._waiting.append((prompt, answer))
            self._waiting_size += len(prompt) + len(answer)
            if len(self._waiting) >= SAMPLE_ROWS or self._waiting_size >= SAMPLE_CHARACTERS:
                self._flush()

    def band(self, number: int) -> "NDArray[numpy.uint64]":
        """Return a number for one part of each prompt's signature."""
        import numpy

        self._flush()
        if not self._rows:
            return numpy.empty(0, dtype=numpy.uint64)
        return numpy.fromfile(self._folder / f"band-{number}", dtype=numpy.uint64)

    def of(self, rows: "NDArray[numpy.int64]") -> "NDArray[numpy.uint32]":
        """Return the whole signatures of some rows: the prompts' hashes, then the answers'."""
        import numpy

        self._flush()
        width = PROMPT_HASHES + ANSWER_HASHES
        size = width * numpy.dtype(numpy.uint32).itemsize
        # Read, not mapped: what is mapped counts as this process's memory, and rows lie all over the file.
        with (self._folder / "whole").open("rb") as file:
            content = b"".join(os.pread(file.fileno(), size, row * size) for row in rows.tolist())
        return numpy.frombuffer(content, dtype=numpy.uint32).reshape(-1, width)

    def _flush(self) -> None:
        import numpy

        rows, self._waiting, self._waiting_size = self._waiting, [], 0
        if not rows:
            return
        prompts, starts = runs_of(*words_of([prompt for prompt, _ in rows]))
        if self._common is None:
            self._common = _common(prompts, starts)
        prompts, starts = _without(prompts, starts, self._common)
        answers = words_of([answer for _, answer in rows])
        hashes = _digests(prompts, starts, PROMPT_HASHES)
        self._append("whole", numpy.hstack([hashes, _digests(*answers, ANSWER_HASHES)]))
        for number, part in enumerate(numpy.hsplit(hashes, BANDS)):
            self._append(f"band-{number}", _keys(part))
        self._rows += len(rows)

    def _append(self, name: str, values: "NDArray[Any]") -> None:
        try:
            with (self._folder / name).open("ab") as file:
                file.write(values.tobytes())
        except OSError as error:
            raise NoRoom(
                "looking for near duplicates failed: the temporary directory can't be written to "
                f"({error.strerror}); make room there (320 bytes a row), or name another with TMPDIR"
            ) from error


def _keys(part: "NDArray[numpy.uint32]") -> "NDArray[numpy.uint64]":
    """Return one number for a part of a signature."""
    import numpy

    keys = numpy.zeros(len(part), dtype=numpy.uint64)
    for column in part.T:
        keys = (keys ^ column) * numpy.uint64(_PRIME)
        keys ^= keys >> numpy.uint64(31)
    return keys


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
