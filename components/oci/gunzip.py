"""gzip as a stream, with as many members as an honest writer makes."""

import zlib

from components.errors import InvalidInput
from components.web import Readable

MAGIC = b"\x1f\x8b"
READ_BYTES = 1 << 16
# Writers that make layers seekable begin a member for each file, or for each few MiB of one.
MAX_MEMBERS = 100_000


class GzipReader:
    """A file that is unpacked as it is read, no further than asked.

    Args:
        source: What is packed.
        what: How it is called in errors.
    """

    def __init__(self, source: Readable, what: str) -> None:
        self._source, self._what = source, what
        self._packed, self._members = b"", 0
        self._member = zlib.decompressobj(wbits=zlib.MAX_WBITS | 16)

    def read(self, size: int, /) -> bytes:
        """Return up to so many bytes, and none at the end.

        Raises:
            InvalidInput: It is no gzip, damaged, or made to be a burden.
        """
        while size:
            if not self._packed:
                self._packed = self._source.read(READ_BYTES)
            if self._member.eof and not self._begin_next():
                return b""
            if not self._packed:
                raise self._refused("it is cut off")
            try:
                content = self._member.decompress(self._packed, size)
            except zlib.error as error:
                raise self._refused(str(error)) from error
            self._packed = self._member.unused_data if self._member.eof else self._member.unconsumed_tail
            if content:
                return content
        return b""

    def _begin_next(self) -> bool:
        """Begin another member, if there is one; zeros behind the last one are padding."""
        while self._packed and not self._packed.strip(b"\0"):
            self._packed = self._source.read(READ_BYTES)
        if not self._packed:
            return False
        self._packed = self._packed.lstrip(b"\0")
        self._members += 1
        if self._members >= MAX_MEMBERS:
            problem = f"is packed in more than {MAX_MEMBERS:,} pieces; refused"
            raise InvalidInput(self._what, [problem])
        self._member = zlib.decompressobj(wbits=zlib.MAX_WBITS | 16)
        return True

    def _refused(self, why: str) -> InvalidInput:
        return InvalidInput(self._what, [f"is no tar archive with gzip or without: {why}"])
