"""Examples in Arrow record batches, on disk or in memory, each made when it is asked for."""

from array import array
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, overload

from components.templates.example import Example

if TYPE_CHECKING:
    import numpy
    import pyarrow
    from numpy.typing import NDArray


def schema() -> "pyarrow.Schema":
    """Return what a record batch of examples holds.

    A record is a row, which is a list of examples; `tokens` are those of an example, and `learned` the first
    and behind-last place of each of its answers, one after another.
    """
    import pyarrow

    numbers = pyarrow.list_(pyarrow.int32())
    return pyarrow.schema(
        [("examples", pyarrow.list_(pyarrow.struct([("tokens", numbers), ("learned", numbers)])))]
    )


def record_batch(rows: Sequence[Sequence[Example]]) -> "pyarrow.RecordBatch":
    """Return rows as a record batch.

    Args:
        rows: The examples of each; none where nothing is learned.
    """
    import pyarrow

    examples = [example for row in rows for example in row]
    tokens = _lists([example.tokens for example in examples])
    learned = _lists([[place for span in example.learned for place in span] for example in examples])
    both = pyarrow.StructArray.from_arrays([tokens, learned], names=["tokens", "learned"])
    column = pyarrow.ListArray.from_arrays(_ends([len(row) for row in rows]), both)
    return pyarrow.RecordBatch.from_arrays([column], schema=schema())


class Examples(Sequence[Example]):
    """The examples of rows that are short enough; of each, twelve bytes are held in memory.

    Args:
        batches: The rows.
        max_length: Longest row, tokens; None: any.

    Attributes:
        lengths: The tokens of each example.
        rows: How many rows there are.
        left_out: How many of them are longer, or have nothing to be learned.
        shortest: The tokens of the shortest row of which something is learned; None: there is none.
    """

    def __init__(self, batches: Sequence["pyarrow.RecordBatch"], max_length: int | None = None) -> None:
        import numpy

        self._parts = [_Part.of(batch) for batch in batches]
        none = [numpy.empty(0, numpy.int64)]
        counts = numpy.concatenate([*none, *(part.counts for part in self._parts)])
        lengths = numpy.concatenate([*none, *(numpy.diff(part.token_ends) for part in self._parts)])
        row_of = numpy.repeat(numpy.arange(len(counts)), counts)
        longest = numpy.zeros(len(counts), numpy.int64)
        numpy.maximum.at(longest, row_of, lengths)
        is_learned = counts > 0
        is_taken = is_learned if max_length is None else is_learned & (longest <= max_length)
        self._kept = numpy.flatnonzero(is_taken[row_of])
        self._firsts = numpy.cumsum([0, *(len(part.token_ends) - 1 for part in self._parts)])
        self.lengths: NDArray[numpy.uint32] = lengths[self._kept].astype(numpy.uint32)
        self.rows = len(counts)
        self.left_out = self.rows - int(is_taken.sum())
        self.shortest = int(longest[is_learned].min()) if is_learned.any() else None

    def __len__(self) -> int:
        return len(self._kept)

    @overload
    def __getitem__(self, index: int) -> Example: ...
    @overload
    def __getitem__(self, index: slice) -> list[Example]: ...
    def __getitem__(self, index: int | slice) -> Example | list[Example]:
        if isinstance(index, slice):
            return [self[place] for place in range(len(self))[index]]
        place = int(self._kept[index])
        part = int(self._firsts.searchsorted(place, side="right")) - 1
        return self._parts[part].example(place - int(self._firsts[part]))

    @property
    def learned_tokens(self) -> int:
        """How many tokens of all of them are learned."""
        import numpy

        counts = numpy.concatenate([part.learned_counts() for part in self._parts])
        return int(counts[self._kept].sum())


@dataclass(frozen=True)
class _Part:
    """A record batch as numpy sees it, without a copy."""

    counts: "NDArray[Any]"
    token_ends: "NDArray[numpy.int32]"
    tokens: "NDArray[numpy.int32]"
    learned_ends: "NDArray[numpy.int32]"
    learned: "NDArray[numpy.int32]"

    @classmethod
    def of(cls, batch: "pyarrow.RecordBatch") -> "_Part":
        rows = batch.column(0)
        tokens, learned = rows.flatten().flatten()
        return cls(
            rows.value_lengths().to_numpy(),
            tokens.offsets.to_numpy(),
            tokens.values.to_numpy(),
            learned.offsets.to_numpy(),
            learned.values.to_numpy(),
        )

    def example(self, place: int) -> Example:
        begin, end = self.token_ends[place : place + 2]
        first, last = self.learned_ends[place : place + 2]
        places = self.learned[first:last].tolist()
        return Example(
            array("i", self.tokens[begin:end].tobytes()), tuple(zip(places[::2], places[1::2], strict=True))
        )

    def learned_counts(self) -> "NDArray[numpy.int64]":
        import numpy

        widths = self.learned[1::2].astype(numpy.int64) - self.learned[::2]
        ends = numpy.concatenate([[0], widths.cumsum()])[self.learned_ends // 2]
        return numpy.diff(ends)


def _lists(values: Sequence[Sequence[int]]) -> "pyarrow.ListArray":
    import numpy
    import pyarrow

    flat = array("i")
    for numbers in values:
        flat.extend(numbers)
    content = pyarrow.array(numpy.asarray(flat, numpy.int32))
    return pyarrow.ListArray.from_arrays(_ends([len(numbers) for numbers in values]), content)


def _ends(sizes: Sequence[int]) -> "pyarrow.Array":
    import numpy
    import pyarrow

    return pyarrow.array(numpy.cumsum([0, *sizes], dtype=numpy.int32))
