"""Read a file of rows, wherever it lies: unpacked, counted and hashed on the way."""

import hashlib
import io
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import PurePosixPath
from typing import IO, TYPE_CHECKING

from components.errors import InvalidInput
from components.sources.address import Source, parse_source
from components.sources.failures import explain
from components.sources.opening import Opened, open_file
from components.sources.packing import (
    FREE_BYTES,
    PACKINGS,
    Packing,
    Room,
    damage,
    open_member,
    packing_of,
)
from components.storage import CHUNK_BYTES
from components.web import quoted

if TYPE_CHECKING:
    from _typeshed import WriteableBuffer


class Content:
    """What a source holds, unpacked, while it is read.

    Attributes:
        file: The path of what is read, whose ending says its format: without that of its packing.
        count: How many bytes were read of it so far.
    """

    def __init__(
        self,
        source: Source,
        file: IO[bytes],
        name: PurePosixPath,
        arriving: "_Arriving",
        packing: Packing | None,
    ) -> None:
        self.file = name
        self._source, self._unpacked, self._arriving, self._packing = source, file, arriving, packing
        self.count, self._hash = 0, hashlib.sha256()

    def read(self, size: int = CHUNK_BYTES) -> bytes:
        """Return at most so many bytes and never more than a chunk; none at the end.

        Raises:
            InvalidInput: It is damaged, larger than it may be, or can't be read on.
        """
        with _damage_told(self._source, self._packing):
            chunk = self._unpacked.read(min(size, CHUNK_BYTES))
        if not chunk:
            self._arriving.check_unchanged()
        self.count += len(chunk)
        self._hash.update(chunk)
        self._arriving.room.check(self.count, "unpacks to")
        packing = self._packing
        if packing and self.count > self._arriving.count * packing.ratio + FREE_BYTES:
            raise InvalidInput(
                self._source.shown,
                [
                    f"unpacks to more than {packing.ratio} times the {self._arriving.count:,} bytes of "
                    f"{packing.kind} read so far, as no file of rows does; if it is sound, unpack it "
                    "and name what comes out"
                ],
            )
        return chunk

    @property
    def digest(self) -> str:
        """The `sha256:...` of all that was read so far."""
        return f"sha256:{self._hash.hexdigest()}"


@contextmanager
def open_source(name: str | Source, limit_bytes: int, before_bytes: int = 0) -> Iterator[Content]:
    """Open a path or URL (https, http, s3, gs, az, hf) for reading; gz, bz2, xz, zst and zip are unpacked.

    Proxy, credentials and a store's own address are taken from the environment.

    Args:
        name: What is opened: one file; `components.sources.expand` finds those of a folder and so on.
        limit_bytes: The most that may arrive of all files of one parameter, and that they may unpack to.
        before_bytes: What those before this one unpacked to: the sum of their `count`.

    Raises:
        InvalidInput: It is not there, can't be reached, is damaged or too large, or may not be opened.
    """
    source = parse_source(name) if isinstance(name, str) else name
    room = Room(source.shown, limit_bytes, before_bytes)
    named = packing_of(source)
    with ExitStack() as opened:
        try:
            opening = open_file(source)
        except Exception as error:
            # Not from it: a traceback shows the text of each cause, and with it what an address holds.
            raise explain(source, error) from None
        opened.callback(opening.file.close)
        packing = _encoding(source, opening.encoding, named)
        room.check(opening.size or 0, "is of")
        arriving = _Arriving(source, opening, room)
        found: IO[bytes] = io.BufferedReader(arriving, CHUNK_BYTES)
        inner = source.file.with_suffix("") if named else source.file
        if packing is not None and packing.kind == "zip":
            found = opened.enter_context(_kept(source, found))
            with _damage_told(source, packing):
                found, member = open_member(found, source, room)
            inner = inner if inner.suffix else PurePosixPath(member)
        if packing is not None:
            with _damage_told(source, packing):
                found = packing.unpack(found)
            opened.callback(found.close)
        yield Content(source, found, inner, arriving, packing)


class _Arriving(io.RawIOBase):
    """What arrives of a source: counted, up to its limit; what its client raises is told in our words."""

    def __init__(self, source: Source, opened: Opened, room: Room) -> None:
        self._source, self._opened = source, opened
        self.room, self.count = room, 0

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: "WriteableBuffer") -> int:
        view = memoryview(buffer).cast("B")
        try:
            chunk = self._opened.file.read(min(len(view), self.room.left_bytes + 1 - self.count))
        except Exception as error:
            raise explain(self._source, error) from None
        self.count += len(chunk)
        self.room.check(self.count, "is of")
        view[: len(chunk)] = chunk
        return len(chunk)

    def check_unchanged(self) -> None:
        """Refuse what was written to while it was read: it may be half of one content, half of another."""
        try:
            has_changed = self._opened.has_changed()
        except Exception as error:
            raise explain(self._source, error) from None
        if has_changed:
            raise InvalidInput(
                self._source.shown,
                [
                    "has changed while it was read; nothing of it is used: try again when nobody writes to "
                    "it, or name a copy"
                ],
            )


def _encoding(source: Source, encoding: str, named: Packing | None) -> Packing | None:
    """Return how a file is packed, by its name and by what its server says of it."""
    if encoding in ("", "identity"):
        return named
    packing = PACKINGS[".gz"]
    if encoding not in ("gzip", "x-gzip") or named not in (None, packing):
        raise InvalidInput(
            source.shown,
            [f"arrives with Content-Encoding {encoding[:40]!r}, which nobody asked for; wanted none"],
        )
    return packing


@contextmanager
def _kept(source: Source, file: IO[bytes]) -> Iterator[IO[bytes]]:
    """Keep a file on disk while it is read: a zip says at its end what is in it."""
    with tempfile.TemporaryFile() as copy:
        try:
            shutil.copyfileobj(file, copy, CHUNK_BYTES)
            copy.flush()
        except OSError as error:
            with suppress(OSError):
                copy.close()  # which would try again to write what is left
            where = f"{tempfile.gettempdir()}: {error.strerror}; TMPDIR names another folder"
            raise InvalidInput(source.shown, [f"could not be kept in {where}"]) from None
        copy.seek(0)
        yield copy


@contextmanager
def _damage_told(source: Source, packing: Packing | None) -> Iterator[None]:
    """Tell whatever an unpacker raises as one thing: the file is not sound."""
    try:
        yield
    except damage() as error:
        if packing is None:
            raise
        why = quoted(str(error).partition("\n")[0]) or type(error).__name__
        raise InvalidInput(
            source.shown,
            [
                f"is no sound {packing.kind} file ({why}): damaged, cut short or another thing; "
                "fetch or pack it again"
            ],
        ) from None
