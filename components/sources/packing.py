"""Compressed files: which are unpacked, how far, and what is no sound one."""

import zlib
from collections.abc import Callable
from dataclasses import dataclass
from typing import IO, Any

from components.errors import InvalidInput
from components.sources.address import Source
from components.storage import CHUNK_BYTES
from components.web import quoted

MIB = 1 << 20
FREE_BYTES = 64 * MIB  # so much may come out of any file, however little went in
# What no file of rows unpacks to, times what arrived. Deflate repeats at most 258 bytes at a time and sees
# 32 KiB, bzip2 sorts blocks of 900 kB: rows that share a system prompt of 8,000 characters pack to a 30th.
# xz and zstd see the prompt of the row before however long it is: rows of 100,000 shared characters and a
# few of their own pack to a 600th. Made to fill a machine, gzip reaches 1,030, the others many thousands.
NARROW, WIDE = 200, 1000


@dataclass(frozen=True)
class Packing:
    """One way to pack.

    Attributes:
        kind: What it is called.
        ratio: How many times what arrived may come out of it, beyond `FREE_BYTES`.
        unpack: Returns the unpacked file.
    """

    kind: str
    ratio: int
    unpack: Callable[[IO[bytes]], IO[bytes]]


def packing_of(source: Source) -> Packing | None:
    """Return how a file is packed, by its ending; None for one that is not.

    Raises:
        InvalidInput: It is packed in a way that is not unpacked here, or an archive of files.
    """
    endings = [ending.lower() for ending in source.file.suffixes[-2:]]
    packing = PACKINGS.get(endings[-1]) if endings else None
    for ending in endings if packing else endings[-1:]:
        if ending in _REFUSED:
            known = ", ".join(PACKINGS)
            raise InvalidInput(
                source.shown, [f"is {_REFUSED[ending]} ({ending}), which is not unpacked; wanted {known}"]
            )
    return packing


def damage() -> tuple[type[Exception], ...]:
    """Return what the unpackers raise on what is damaged, cut short or another thing."""
    import lzma
    import zipfile

    import pyarrow

    return (
        *(zlib.error, EOFError, OSError, ValueError, NotImplementedError, RuntimeError),
        *(lzma.LZMAError, zipfile.BadZipFile, pyarrow.ArrowException),
    )


def open_member(file: IO[bytes], source: Source, room: "Room") -> tuple[IO[bytes], str]:
    """Open the one file in a zip; return it and its name.

    Raises:
        InvalidInput: It holds none or several, or what it says of the one can't be right or is not read.
    """
    import zipfile

    archive = zipfile.ZipFile(_Careful(file))
    members = [member for member in archive.infolist() if not member.is_dir()]
    if len(members) != 1:
        names = quoted(", ".join(member.filename for member in members[:3]))
        raise InvalidInput(
            source.shown,
            [f"is a zip of {len(members)} files ({names or 'none'}); wanted one; pack each by itself"],
        )
    (member,) = members
    if member.flag_bits & 1:
        raise InvalidInput(source.shown, ["is a zip with a password; pack it without"])
    if member.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
        # zipfile unpacks the others however much comes out of one read.
        raise InvalidInput(
            source.shown, [f"is a zip of method {member.compress_type}; wanted deflate (8) or stored (0)"]
        )
    room.check(member.file_size, "unpacks to")
    return archive.open(member), member.filename


@dataclass(frozen=True)
class Room:
    """How large a file may be.

    Attributes:
        what: The file, as an error names it.
        limit_bytes: The most for all files of one parameter, as they arrive and unpacked.
        before_bytes: What the files before it have taken of that.
    """

    what: str
    limit_bytes: int
    before_bytes: int = 0

    @property
    def left_bytes(self) -> int:
        """The most for this file."""
        return max(0, self.limit_bytes - self.before_bytes)

    def check(self, size: int, does: str) -> None:
        """Refuse the file if it is larger; see `check_size`."""
        check_size(self.what, size, self.limit_bytes, does, self.before_bytes)


def check_size(what: str, size: int, limit_bytes: int, does: str, before_bytes: int = 0) -> None:
    """Refuse a file that is larger than it may be.

    Args:
        what: The file, as an error names it.
        size: What was counted, or what it says of itself.
        limit_bytes: The most, with the files before it.
        does: What it does with so many bytes.
        before_bytes: What those have taken.

    Raises:
        InvalidInput: It is larger.
    """
    if before_bytes + size > limit_bytes:
        before = f"with the {before_bytes:,} of the files before it " if before_bytes else ""
        raise InvalidInput(
            what,
            [
                f"{does} {size:,} bytes or more, {before}over max_dataset_bytes ({limit_bytes:,}); raise "
                "that if the file is sound and the machine has room, or split it"
            ],
        )


class _Careful:
    """A zip that is read in pieces; its directory is one, which those of thousands of files don't fit in."""

    def __init__(self, file: IO[bytes]) -> None:
        self._file = file
        self.seek, self.tell, self.seekable, self.close = file.seek, file.tell, file.seekable, file.close

    def read(self, size: int = -1) -> bytes:
        if size > CHUNK_BYTES:
            raise ValueError(f"its directory takes {size:,} bytes, as that of thousands of files does")
        return self._file.read(size if size >= 0 else CHUNK_BYTES)


def _gunzip(file: IO[bytes]) -> Any:
    import gzip

    return gzip.GzipFile(fileobj=file)


def _bunzip2(file: IO[bytes]) -> Any:
    import bz2

    return bz2.BZ2File(file)


def _unxz(file: IO[bytes]) -> Any:
    import lzma

    return lzma.LZMAFile(file, format=lzma.FORMAT_XZ)


def _unzstd(file: IO[bytes]) -> Any:
    import pyarrow

    return pyarrow.CompressedInputStream(pyarrow.PythonFile(file, mode="r"), "zstd")


def _as_it_is(file: IO[bytes]) -> IO[bytes]:
    return file


PACKINGS = {
    ".gz": Packing("gzip", NARROW, _gunzip),
    ".bz2": Packing("bzip2", NARROW, _bunzip2),
    ".xz": Packing("xz", WIDE, _unxz),
    ".zst": Packing("zstd", WIDE, _unzstd),
    ".zip": Packing("zip", NARROW, _as_it_is),  # its one file is opened by `open_member`
}
_REFUSED = {
    **dict.fromkeys((".tar", ".tgz", ".tbz2", ".txz", ".tzst", ".7z", ".rar"), "an archive of files"),
    **dict.fromkeys((".lz4", ".lzma", ".lz", ".lzo", ".sz", ".snappy", ".br", ".z", ".zstd"), "compressed"),
}
