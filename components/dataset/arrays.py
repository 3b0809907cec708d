"""Numbers of many rows at once."""

from array import array
from typing import TYPE_CHECKING, Any, TypeAlias

if TYPE_CHECKING:
    import numpy

Numbers: TypeAlias = "numpy.ndarray[Any, Any]"


def numbers(values: "array[int]", kind: str) -> Numbers:
    """Return an array's numbers as numpy's, without a copy.

    Args:
        values: The array.
        kind: What numpy calls its type.
    """
    import numpy

    return numpy.frombuffer(values, kind) if values else numpy.empty(0, kind)
