"""Numbers and texts of many rows at once."""

from array import array
from collections.abc import Iterable
from typing import TYPE_CHECKING, Any, TypeAlias

if TYPE_CHECKING:
    import numpy
    import pyarrow

Numbers: TypeAlias = "numpy.ndarray[Any, Any]"


def numbers(values: "array[int]", kind: str) -> Numbers:
    """Return an array's numbers as numpy's, without a copy.

    Args:
        values: The array.
        kind: What numpy calls its type.
    """
    import numpy

    return numpy.frombuffer(values, kind) if values else numpy.empty(0, kind)


def text_column(texts: Iterable[str]) -> "pyarrow.LargeStringArray":
    """Return texts as a column of Arrow's, with a question mark for half a character.

    `pyarrow.array` does the same, but imports pandas first, to see whether it was given some.
    """
    import numpy
    import pyarrow

    encoded = [text.encode("utf-8", "replace") for text in texts]
    ends = numpy.zeros(len(encoded) + 1, "i8")
    numpy.cumsum([len(text) for text in encoded], out=ends[1:])
    buffers = pyarrow.py_buffer(ends), pyarrow.py_buffer(b"".join(encoded))
    return pyarrow.LargeStringArray.from_buffers(len(encoded), *buffers)
