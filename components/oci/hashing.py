"""Digests of what streams by: files, archives, layers."""

import hashlib
import io
from pathlib import Path
from typing import IO, Any

from components.errors import InvalidInput
from components.storage import CHUNK_BYTES
from components.web import Readable


def file_digest(path: Path) -> str:
    """Return `sha256:` and 64 hex digits over the content of a file."""
    with path.open("rb") as file:
        return f"sha256:{hashlib.file_digest(file, 'sha256').hexdigest()}"


class HashingWriter(io.RawIOBase):
    """A file that hashes and counts what is written to it, and hands it on when there is where to."""

    def __init__(self, onward: IO[bytes] | None = None) -> None:
        self._onward, self._hash, self.size_bytes = onward, hashlib.sha256(), 0

    @property
    def digest(self) -> str:
        """`sha256:` and 64 hex digits over everything so far."""
        return f"sha256:{self._hash.hexdigest()}"

    def writable(self) -> bool:
        """Say that this file is written to."""
        return True

    def write(self, data: Any) -> int:
        """Hash bytes and hand them on."""
        self._hash.update(data)
        self.size_bytes += len(data)
        if self._onward is not None:
            self._onward.write(data)
        return len(data)


class HashingReader:
    """A file that hashes what is read from it and refuses to give more than so many bytes."""

    def __init__(self, source: Readable, limit_bytes: int, what: str) -> None:
        self._source, self._limit_bytes, self._what = source, limit_bytes, what
        self._hash, self.size_bytes = hashlib.sha256(), 0

    @property
    def digest(self) -> str:
        """`sha256:` and 64 hex digits over everything so far."""
        return f"sha256:{self._hash.hexdigest()}"

    def read(self, size: int, /) -> bytes:
        """Read up to `size` bytes.

        Raises:
            InvalidInput: There is more than the limit.
        """
        data = self._source.read(size)
        self._hash.update(data)
        self.size_bytes += len(data)
        self.expect(0)
        return data

    def expect(self, size_bytes: int) -> None:
        """Refuse what is announced before it is read.

        Raises:
            InvalidInput: With it, there would be more than the limit.
        """
        if self.size_bytes + size_bytes > self._limit_bytes:
            raise InvalidInput(self._what, [f"unpacks to more than {self._limit_bytes:,} bytes; refused"])

    def drain(self) -> None:
        """Read to the end."""
        while self.read(CHUNK_BYTES):
            pass
