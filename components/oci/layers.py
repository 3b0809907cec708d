"""Layers of adapter images: written so that equal adapters give equal bytes, read as if by an enemy."""

import gzip
import shutil
import tarfile
import zlib
from pathlib import Path, PurePosixPath
from typing import IO

from components.errors import InvalidInput
from components.oci.adapters import ADAPTER_FILES, LAYER_FOLDER, write_layer
from components.oci.hashing import HashingReader, HashingWriter
from components.oci.image import LAYER_TYPE, Descriptor, damaged
from components.storage import CHUNK_BYTES, atomic_write

# Weights shrink by 7 to 20 % whatever the level (float32, bfloat16), so the fastest is the best.
GZIP_LEVEL = 1
GZIP_MAGIC = b"\x1f\x8b"

MAX_ENTRIES = 100_000
MAX_UNPACKED_BYTES = 16 << 30
MAX_CONFIG_BYTES = 1 << 20
# An adapter just initialised is half zeros and shrinks well; what shrinks a hundred times is a bomb.
MAX_RATIO, ALWAYS_ALLOWED_BYTES = 100, 64 << 20

OPAQUE, REMOVED = ".wh..wh..opq", ".wh."


def pack_layer(adapter_dir: Path, target: Path) -> tuple[Descriptor, str]:
    """Write an adapter's layer, compressed, to `target`.

    Returns:
        Its descriptor, and its diff_id, which is the adapter's digest.
    """
    with atomic_write(target) as out:
        packed = HashingWriter(out)
        # No file name and no time in the header: they would change the digest.
        with gzip.GzipFile("", "wb", GZIP_LEVEL, packed, mtime=0) as compressed:
            unpacked = HashingWriter(compressed)  # type: ignore[arg-type]
            write_layer(adapter_dir, unpacked)
    return Descriptor(media_type=LAYER_TYPE, digest=packed.digest, size=packed.size_bytes), unpacked.digest


def unpack_layer(layer: Path, diff_id: str, into: Path, what: str) -> None:
    """Take the adapter's files out of one layer, over those of the layers below.

    Nothing else of the layer is ever written, and to no other name than the two that are wanted.

    Args:
        layer: The layer as a tar, plain or with gzip.
        diff_id: The digest of the plain tar.
        into: An existing directory.
        what: How the layer is called in errors.

    Raises:
        DigestMismatch: The layer unpacks to something else.
        InvalidInput: It is malformed or hostile.
    """
    packed_bytes = layer.stat().st_size
    limit_bytes = min(MAX_UNPACKED_BYTES, max(ALWAYS_ALLOWED_BYTES, MAX_RATIO * packed_bytes))
    try:
        with layer.open("rb") as file:
            reader = HashingReader(_plain(file), limit_bytes, what)
            _take_adapter_files(reader, into, what)
            reader.drain()
    except (tarfile.TarError, zlib.error, EOFError, gzip.BadGzipFile) as error:
        raise InvalidInput(what, [f"is no tar archive with gzip or without: {error}"]) from error
    if reader.digest != diff_id:
        raise damaged(f"{what} unpacked", reader.digest, diff_id)


def _plain(file: IO[bytes]) -> IO[bytes]:
    compressed = file.read(len(GZIP_MAGIC)) == GZIP_MAGIC
    file.seek(0)
    return gzip.GzipFile(fileobj=file) if compressed else file  # type: ignore[return-value]


def _take_adapter_files(reader: HashingReader, into: Path, what: str) -> None:
    seen: set[PurePosixPath] = set()
    # A stream ("r|") is never sought in, so that every byte passes the reader once.
    with tarfile.open(fileobj=reader, mode="r|") as archive:
        for count, entry in enumerate(archive, start=1):
            if count > MAX_ENTRIES:
                raise InvalidInput(what, [f"has more than {MAX_ENTRIES:,} entries; refused"])
            path = PurePosixPath(entry.name)
            if problem := _problem(entry, path):
                raise InvalidInput(what, [f"{entry.name}: {problem}; refused"])
            if not _is_adapter_file(path):
                continue
            if path in seen:
                raise InvalidInput(what, [f"{entry.name}: is there twice; refused"])
            seen.add(path)
            content = archive.extractfile(entry)
            assert content is not None  # a regular file has content
            with content, atomic_write(into / path.name) as out:
                shutil.copyfileobj(content, out, CHUNK_BYTES)


def _is_adapter_file(path: PurePosixPath) -> bool:
    return path.parent == PurePosixPath(LAYER_FOLDER) and path.name in ADAPTER_FILES


def _problem(entry: tarfile.TarInfo, path: PurePosixPath) -> str | None:
    """Say what is wrong with an entry; links and devices that are not the adapter's are never written."""
    if path.is_absolute() or ".." in path.parts:
        return "leaves the image's root"
    if path.parent == PurePosixPath() and path.name in (OPAQUE, REMOVED + LAYER_FOLDER):
        return "removes files of a layer below (a whiteout)"
    if path.parts[:1] != (LAYER_FOLDER,):
        return None
    if path.name.startswith(REMOVED):
        return "removes files of a layer below (a whiteout)"
    if entry.isdir() and not _is_adapter_file(path):
        return None
    if path == PurePosixPath(LAYER_FOLDER) or not entry.isreg() or entry.issparse():
        return "is a link, a device or otherwise no plain file"
    if path.name == ADAPTER_FILES[0] and entry.size > MAX_CONFIG_BYTES:
        return f"has {entry.size:,} bytes, at most {MAX_CONFIG_BYTES:,} are allowed"
    return None
