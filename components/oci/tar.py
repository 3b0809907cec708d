"""Tar archives, read in memory that no header makes grow.

Python's own reader takes what a header calls the length of a name, of notes (PAX) or of a map of holes
(sparse) into memory, gigabytes too. This one knows regular files and passes over everything else.
Formats: ustar and PAX (POSIX.1-2001, pax), and GNU tar's (tar.h) as far as names and sizes go.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import NoReturn

from components.errors import InvalidInput
from components.storage import CHUNK_BYTES
from components.web import Readable, quoted

BLOCK_BYTES = 512
MAX_ENTRIES = 100_000
# Linux takes paths of 4 KiB; the rest is for attributes that nobody reads here.
MAX_HEADER_BYTES = 16 << 10
MAX_NAME_CHARACTERS = 4 << 10
MAX_SIZE = 1 << 62

REGULAR, FOLDER, GNU_SPARSE = b"0", b"5", b"S"
LONG_NAME, LONG_LINK, NOTES, NOTES_FOR_ALL = b"L", b"K", b"x", b"g"
# Their size says nothing: no content follows.
_HEADER_ONLY = (b"1", b"2", b"3", b"4", FOLDER, b"6")
_RECORD = re.compile(rb"([1-9][0-9]{0,5}) ([^=]+)=")


@dataclass(frozen=True)
class Entry:
    """One entry of an archive.

    Attributes:
        name: As it stands there; bytes that are no UTF-8 as surrogates.
        kind: `REGULAR`, `FOLDER`, `GNU_SPARSE` or another letter of a tar header.
        size: Bytes of its content.
    """

    name: str
    kind: bytes
    size: int

    @property
    def shown(self) -> str:
        """The name as an error may hold it."""
        return quoted(self.name)


@dataclass
class _Announced:
    """What stands before an entry's own header and changes it."""

    kinds: list[bytes] = field(default_factory=list)
    name: str = ""
    sparse_name: str = ""
    size: int | None = None
    sparse: bool = False


class TarReader:
    """An archive as a stream: entries in their order, the content of one before the next.

    Args:
        source: The plain archive; each byte is read once.
        what: How it is called in errors.
    """

    def __init__(self, source: Readable, what: str) -> None:
        self._source, self._what = source, what
        self._left = self._padding = 0

    def __iter__(self) -> Iterator[Entry]:
        """Return one entry after the other.

        Raises:
            InvalidInput: It is no archive, or one that is made to be a burden.
        """
        for count in range(MAX_ENTRIES + 1):
            entry = self._next(count)
            if entry is None:
                return
            if count == MAX_ENTRIES:
                self._refuse(f"has more than {MAX_ENTRIES:,} entries; refused")
            yield entry

    def content(self) -> Iterator[bytes]:
        """Return the content of the present entry, piece by piece."""
        while self._left:
            chunk = self._source.read(min(CHUNK_BYTES, self._left))
            if not chunk:
                self._refuse("is no tar archive with gzip or without: it is cut off")
            self._left -= len(chunk)
            yield chunk

    def _next(self, count: int) -> Entry | None:
        announced = _Announced()
        while True:
            self._pass_over()
            # What is announced for one entry can't be the last.
            header = self._exactly(BLOCK_BYTES, may_end=not {*announced.kinds} - {NOTES_FOR_ALL})
            if not header and count == 0:
                self._refuse("is no tar archive with gzip or without: it is empty")
            if not any(header):
                return None
            entry = self._parsed(header)
            if entry.kind not in (LONG_NAME, LONG_LINK, NOTES, NOTES_FOR_ALL):
                return self._changed(entry, header, announced)
            self._read_announcement(entry, announced)

    def _pass_over(self) -> None:
        for _ in self.content():
            pass
        while self._padding:
            self._padding -= len(self._exactly(self._padding))

    def _exactly(self, size: int, may_end: bool = False) -> bytes:
        content = b""
        while len(content) < size:
            more = self._source.read(size - len(content))
            if not more and may_end and not content:
                return b""
            if not more:
                self._refuse("is no tar archive with gzip or without: it is cut off")
            content += more
        return content

    def _parsed(self, header: bytes) -> Entry:
        blank = header[:148] + b" " * 8 + header[156:]
        noted = self._number(header[148:156], "checksum")
        if noted != sum(blank) and noted != sum(_signed(blank)):
            self._refuse("is no tar archive with gzip or without: a header's checksum is wrong")
        name, kind = _text(header[:100]), header[156:157]
        if header[257:263] == b"ustar\0" and (prefix := _text(header[345:500])):
            name = f"{prefix}/{name}"
        if kind in (b"\0", b"7", REGULAR):  # older and contiguous files
            kind = FOLDER if name.endswith("/") and kind == b"\0" else REGULAR
        size = 0 if kind in _HEADER_ONLY else self._number(header[124:136], "size")
        return self._sized(Entry(name, kind, size))

    def _sized(self, entry: Entry) -> Entry:
        self._left, self._padding = entry.size, -entry.size % BLOCK_BYTES
        return entry

    def _number(self, text: bytes, what: str) -> int:
        """Return a number in octal, or in the binary form that GNU tar has for large ones."""
        if text[0] & 0x80:
            value = int.from_bytes(text, "big") - (0x80 << 8 * (len(text) - 1))
        else:
            digits = text.split(b"\0")[0].strip()
            if not re.fullmatch(rb"[0-7]*", digits):
                self._refuse(f"is no tar archive with gzip or without: a header's {what} is no number")
            value = int(digits or b"0", 8)
        if value > MAX_SIZE:
            self._refuse(f"is no tar archive with gzip or without: a header's {what} is absurd")
        return value

    def _read_announcement(self, entry: Entry, announced: _Announced) -> None:
        if entry.size > MAX_HEADER_BYTES:
            self._refuse(
                f"{entry.shown}: a header (type {entry.kind.decode()}) has {entry.size:,} bytes, at most "
                f"{MAX_HEADER_BYTES:,} are read; refused"
            )
        if entry.kind in announced.kinds:
            self._refuse(f"{entry.shown}: two headers of type {entry.kind.decode()} for one entry; refused")
        announced.kinds.append(entry.kind)
        content = b"".join(self.content())
        if entry.kind == LONG_NAME:
            self._rename(announced, content.split(b"\0")[0])
        elif entry.kind in (NOTES, NOTES_FOR_ALL):
            self._read_notes(content, entry, announced)

    def _read_notes(self, content: bytes, entry: Entry, announced: _Announced) -> None:
        place = 0
        while place < len(content) and content[place:].strip(b"\0"):
            found = _RECORD.match(content, place)
            end = place + int(found[1]) if found else 0
            if found is None or not found.end() < end <= len(content) or content[end - 1 : end] != b"\n":
                self._refuse(f"{entry.shown}: its PAX header is malformed; refused")
            key, value = found[2], content[found.end() : end - 1]
            place = end
            if key not in (b"path", b"size") and not key.startswith(b"GNU.sparse."):
                continue
            if entry.kind == NOTES_FOR_ALL:
                self._refuse(f"{entry.shown}: a PAX header gives all entries one {_text(key)}; refused")
            if key == b"path":
                self._rename(announced, value)
            elif key == b"GNU.sparse.name":
                announced.sparse_name = _text(value)
            elif key == b"size":
                if not re.fullmatch(rb"[0-9]{1,18}", value):
                    self._refuse(f"{entry.shown}: its PAX header has no number as size; refused")
                announced.size = int(value)
            announced.sparse |= key.startswith(b"GNU.sparse.")

    def _rename(self, announced: _Announced, name: bytes) -> None:
        if announced.name:
            self._refuse(f"{quoted(_text(name))}: is named twice; refused")
        if b"\0" in name:  # readers don't agree on where such a name ends
            self._refuse(f"{quoted(_text(name))}: has a zero in its name; refused")
        announced.name = _text(name)

    def _changed(self, entry: Entry, header: bytes, announced: _Announced) -> Entry:
        name = announced.sparse_name or announced.name or entry.name
        if len(name) > MAX_NAME_CHARACTERS:
            self._refuse(
                f"{quoted(name, 80)}: its name has more than {MAX_NAME_CHARACTERS:,} characters; refused"
            )
        size = entry.size if announced.size is None or entry.kind in _HEADER_ONLY else announced.size
        entry = self._sized(Entry(name, GNU_SPARSE if announced.sparse else entry.kind, size))
        if header[156:157] == GNU_SPARSE:
            self._pass_map(entry, more=header[482] != 0)
        return entry

    def _pass_map(self, entry: Entry, more: bool) -> None:
        """Read over the map of a file's holes, which stands between header and content."""
        for _ in range(MAX_HEADER_BYTES // BLOCK_BYTES):
            if not more:
                return
            more = self._exactly(BLOCK_BYTES)[504] != 0
        self._refuse(f"{entry.shown}: the map of its holes has more than {MAX_HEADER_BYTES:,} bytes; refused")

    def _refuse(self, problem: str) -> NoReturn:
        raise InvalidInput(self._what, [problem])


def _text(field: bytes) -> str:
    return field.split(b"\0")[0].decode("utf-8", "surrogateescape")


def _signed(block: bytes) -> list[int]:
    """Return bytes as some old writers sum them up."""
    return [value - 256 if value > 127 else value for value in block]
