"""Rows as tokens, on disk while a dataset is screened: only then is it known which of them are trained on."""

from array import array
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

from components.dataset.arrays import Numbers, numbers
from components.dataset.spool import Spool
from components.templates.example import Example
from components.templates.examples import record_batch, schema

if TYPE_CHECKING:
    import pyarrow


class EncodedRows:
    """Rows as tokens, by their numbers in the order in which they were added."""

    def __init__(self) -> None:
        self._spool, self._begins = Spool(), array("Q", [0])

    def add(self, rows: Sequence[Sequence[Example]]) -> None:
        """Add rows, of each its examples.

        Raises:
            TunegateError: The disk is full.
        """
        self._spool.append(record_batch(rows).serialize().to_pybytes())
        self._begins.append(self._begins[-1] + len(rows))

    def batches(self, rows: Numbers) -> Iterator["pyarrow.RecordBatch"]:
        """Yield some rows in this order, as many at once as lie beside each other.

        Args:
            rows: Their numbers.
        """
        import numpy
        import pyarrow

        begins = numbers(self._begins, "u8")
        batch_of = numpy.searchsorted(begins, rows, side="right") - 1
        for run in numpy.split(numpy.arange(len(rows)), numpy.flatnonzero(numpy.diff(batch_of)) + 1):
            if len(run):
                number = int(batch_of[run[0]])
                batch = pyarrow.ipc.read_record_batch(pyarrow.py_buffer(self._spool[number]), schema())
                yield batch.take(pyarrow.array(rows[run] - begins[number]))
