"""Lines on disk while a stage works: of each, only where it begins is held in memory."""

import os
import tempfile
from array import array

from components.errors import TunegateError

HELD_BYTES = 1 << 20  # written at once: every write lets other threads in


class Spool:
    """Lines that are appended, then read in any order. Their file has no name: nothing of it is ever left.

    Raises:
        TunegateError: It can't be made.
    """

    def __init__(self) -> None:
        try:
            self._file = tempfile.TemporaryFile(buffering=0)  # noqa: SIM115  # it lives as long as this does
        except OSError as error:
            raise _no_room(error) from None
        self._ends, self._held = array("Q", [0]), bytearray()

    def __len__(self) -> int:
        return len(self._ends) - 1

    def append(self, line: bytes) -> None:
        """Append a line.

        Raises:
            TunegateError: The disk is full.
        """
        self._held += line
        self._ends.append(self._ends[-1] + len(line))
        if len(self._held) >= HELD_BYTES:
            self._write()

    def __getitem__(self, index: int) -> bytes:
        if self._held:
            self._write()
        begin, end = self._ends[index], self._ends[index + 1]
        return os.pread(self._file.fileno(), end - begin, begin)

    def _write(self) -> None:
        try:
            with memoryview(self._held) as left:
                written = 0
                while written < len(left):
                    written += self._file.write(left[written:]) or 0
        except OSError as error:
            raise _no_room(error) from None
        self._held.clear()


def _no_room(error: OSError) -> TunegateError:
    where = f"{tempfile.tempdir or 'the temporary directory'}: {error.strerror}"
    return TunegateError(
        f"rows could not be kept in {where}; free some space there, or let TMPDIR name another folder"
    )
