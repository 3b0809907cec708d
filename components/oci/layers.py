"""Layers of adapter images: written so that equal adapters give equal bytes, read as if by an enemy."""

import gzip
from pathlib import Path, PurePosixPath
from typing import IO

from components.errors import InvalidInput
from components.oci.adapters import ADAPTER_FILES, LAYER_FOLDER, write_layer
from components.oci.gunzip import MAGIC, GzipReader
from components.oci.hashing import HashingReader, HashingWriter
from components.oci.image import LAYER_TYPE, Descriptor, assert_room, damaged
from components.oci.tar import FOLDER, REGULAR, Entry, TarReader
from components.storage import atomic_write
from components.web import Readable

# Weights shrink by 7 to 20 % whatever the level (float32, bfloat16), so the fastest is the best.
GZIP_LEVEL = 1
ZSTD_MAGIC = b"\x28\xb5\x2f\xfd"

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


def unpack_layer(layer: Path, diff_id: str, into: Path, what: str, max_bytes: int) -> int:
    """Take the adapter's files out of one layer, over those of the layers below.

    Nothing else of the layer is ever written, and to no other name than the two that are wanted.

    Args:
        layer: The layer as a tar, plain or with gzip.
        diff_id: The digest of the plain tar.
        into: An existing directory.
        what: How the layer is called in errors.
        max_bytes: How many bytes it may unpack to; a layer that shrank absurdly may less.

    Returns:
        How many it did.

    Raises:
        DigestMismatch: The layer unpacks to something else.
        InvalidInput: It is malformed or hostile.
    """
    limit_bytes = min(max_bytes, max(ALWAYS_ALLOWED_BYTES, MAX_RATIO * layer.stat().st_size))
    with layer.open("rb") as file:
        reader = HashingReader(plain_tar(file, what), limit_bytes, what)
        _take_adapter_files(reader, into, what)
        reader.drain()
    if reader.digest != diff_id:
        raise damaged(f"{what} unpacked", reader.digest, diff_id)
    return reader.size_bytes


def plain_tar(file: IO[bytes], what: str) -> Readable:
    """Return a layer's tar, unpacked as it is read.

    Raises:
        InvalidInput: It is packed in a way that is not read.
    """
    start = file.read(len(ZSTD_MAGIC))
    file.seek(0)
    if start == ZSTD_MAGIC:
        raise InvalidInput(what, ["is packed with zstd, which is not read; push it packed with gzip"])
    return GzipReader(file, what) if start.startswith(MAGIC) else file


def _take_adapter_files(reader: HashingReader, into: Path, what: str) -> None:
    seen: set[PurePosixPath] = set()
    archive = TarReader(reader, what)
    for entry in archive:
        reader.expect(entry.size)
        path = PurePosixPath(entry.name)
        if problem := _problem(entry, path):
            raise InvalidInput(what, [f"{entry.shown}: {problem}; refused"])
        if not _is_adapter_file(path):
            continue
        if path in seen:
            raise InvalidInput(what, [f"{entry.shown}: is there twice; refused"])
        seen.add(path)
        assert_room(into, entry.size, f"{what}: {entry.shown}")
        with atomic_write(into / path.name) as out:
            for chunk in archive.content():
                out.write(chunk)


def _is_adapter_file(path: PurePosixPath) -> bool:
    return path.parent == PurePosixPath(LAYER_FOLDER) and path.name in ADAPTER_FILES


def misplaced(path: PurePosixPath, folder: str) -> str | None:
    """Say what is wrong with an entry's place: beyond the root, or there to remove what a folder has."""
    if path.is_absolute() or ".." in path.parts:
        return "leaves the image's root"
    removes_all = path.parent == PurePosixPath() and path.name in (OPAQUE, REMOVED + folder)
    if removes_all or (path.parts[:1] == (folder,) and path.name.startswith(REMOVED)):
        return "removes files of a layer below (a whiteout)"
    return None


def _problem(entry: Entry, path: PurePosixPath) -> str | None:
    """Say what is wrong with an entry; links and devices that are not the adapter's are never written."""
    if problem := misplaced(path, LAYER_FOLDER):
        return problem
    if path.parts[:1] != (LAYER_FOLDER,):
        return None
    if entry.kind == FOLDER and not _is_adapter_file(path):
        return None
    if path == PurePosixPath(LAYER_FOLDER) or entry.kind != REGULAR:
        return "is a link, a device or otherwise no plain file"
    if path.name == ADAPTER_FILES[0] and entry.size > MAX_CONFIG_BYTES:
        return f"has {entry.size:,} bytes, at most {MAX_CONFIG_BYTES:,} are allowed"
    return None
