"""Data in images: the files under /data, as KAITO has them, taken out as if an enemy had written them."""

import hashlib
import re
import tempfile
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from components.errors import InvalidInput
from components.oci.adapter_images import LAYOUT_PREFIX
from components.oci.hashing import HashingReader
from components.oci.image import (
    MAX_DOCUMENT_BYTES,
    ImageStore,
    Manifest,
    assert_room,
    damaged,
    fetch_layers,
    parse_manifest,
)
from components.oci.index import image_of
from components.oci.layers import ALWAYS_ALLOWED_BYTES, misplaced, plain_tar
from components.oci.layout import ImageLayout
from components.oci.tar import FOLDER, REGULAR, Entry, TarReader
from components.storage import atomic_write

DATA_FOLDER, REGISTRY_PREFIX = "data", "oci://"
MAX_ENTRIES = 100_000  # files and the folders that they lie in, over all layers: empty ones fill a disk, too
MAX_RATIO = 200  # which no gzip of rows reaches; see components/sources/packing.py
_REFERENCE = re.compile(
    r"(?P<repository>[^@]+?)(?::(?P<tag>\w[\w.-]{0,127}))?(?:@(?P<digest>sha256:[0-9a-f]{64}))?", re.ASCII
)


def pull_data(name: str, into: Path, limit_bytes: int, before_bytes: int = 0) -> int:
    """Unpack what an image has under /data; where its layers name one file, the highest one's is taken.

    Of an index, the image for this machine's platform is taken, or the only one.

    Args:
        name: `oci://host[:port]/name:tag`, with `@sha256:...` in place of the tag or after it, or
            `oci:<layout directory>@sha256:...`.
        into: An existing, empty directory; it may hold some of the files if this fails.
        limit_bytes: The most that the layers of all images of one parameter may have, packed and unpacked.
        before_bytes: What those of the images before it unpacked to.

    Returns:
        What its own layers unpacked to, bytes.

    Raises:
        DigestMismatch: Something in it is not what its digest says.
        InvalidInput: There is no such image, or it is malformed, hostile or too large.
        TunegateError: The disk is full, or the registry refuses or can't be reached.
    """
    store, reference = _store(name)
    content = _manifest(store, reference, name)
    if image := image_of(content, name):
        content = _manifest(store, image.digest, name)
    room = _Room(name, limit_bytes, before_bytes)
    with tempfile.TemporaryDirectory(dir=into.parent, prefix=".layers-") as scratch:
        _unpack(store, parse_manifest(content, name), into, Path(scratch), room)
    return room.used_bytes


@dataclass
class _Room:
    """What an image may still take.

    Attributes:
        name: The image.
        limit_bytes: The most for all images of one parameter.
        before_bytes: What those before it have taken.
        used_bytes: What its own layers have taken.
        entries: How many files and folders they had.
    """

    name: str
    limit_bytes: int
    before_bytes: int
    used_bytes: int = 0
    entries: int = 0

    @property
    def left_bytes(self) -> int:
        """What is left of the limit."""
        return max(0, self.limit_bytes - self.before_bytes - self.used_bytes)

    def note_entry(self, path: PurePosixPath) -> None:
        """Count a file, with the folders that it lies in."""
        self.entries += max(1, len(path.parts) - 1)
        if self.entries > MAX_ENTRIES:
            problem = f"has more than {MAX_ENTRIES:,} files and folders under /{DATA_FOLDER}; join some"
            raise InvalidInput(self.name, [problem])


def _manifest(store: ImageStore, reference: str, name: str) -> bytes:
    content = store.manifest(reference)
    if len(content) > MAX_DOCUMENT_BYTES:
        raise InvalidInput(name, [f"its manifest has more than {MAX_DOCUMENT_BYTES:,} bytes; refused"])
    found = f"sha256:{hashlib.sha256(content).hexdigest()}"
    if reference.startswith("sha256:") and found != reference:
        raise damaged(f"{name}: its manifest", found, reference)
    return content


def _store(name: str) -> tuple[ImageStore, str]:
    """Return where an image is, and its digest or else its tag."""
    prefix = REGISTRY_PREFIX if name.startswith(REGISTRY_PREFIX) else LAYOUT_PREFIX
    found = _REFERENCE.fullmatch(name.removeprefix(prefix))
    reference = (found["digest"] or found["tag"] or "") if found else ""
    if found is None or not reference or (prefix == LAYOUT_PREFIX and not found["digest"]):
        raise _no_image(name)
    if prefix == LAYOUT_PREFIX:
        return ImageLayout(Path(found["repository"])), reference
    from components.oci.registry import RegistryRepository, repository_name  # oras takes a while to import

    if repository_name(found["repository"]) is None:
        raise _no_image(name)
    return RegistryRepository(found["repository"], named_by_data=True), reference


def _no_image(name: str) -> InvalidInput:
    return InvalidInput(
        name, [f"names no image; wanted oci://HOST/NAME:TAG or {LAYOUT_PREFIX}DIRECTORY@sha256:..."]
    )


def _unpack(store: ImageStore, manifest: Manifest, into: Path, scratch: Path, room: _Room) -> None:
    announced = sum(layer.size for layer in manifest.layers)
    if announced > room.left_bytes or manifest.config.size > MAX_DOCUMENT_BYTES:
        before = f", with the {room.before_bytes:,} of the images before it" if room.before_bytes else ""
        problem = (
            f"its layers have {announced:,} bytes{before}, over max_dataset_bytes ({room.limit_bytes:,})"
        )
        raise InvalidInput(room.name, [problem])
    for packed, layer, diff_id, what in fetch_layers(store, manifest, room.name, scratch):
        with packed.open("rb") as file:
            most = min(room.left_bytes, max(ALWAYS_ALLOWED_BYTES, MAX_RATIO * layer.size))
            reader = HashingReader(plain_tar(file, what), most, what)
            _take_files(reader, into, what, room)
            reader.drain()
        if reader.digest != diff_id:
            raise damaged(f"{what} unpacked", reader.digest, diff_id)
        room.used_bytes += reader.size_bytes


def _take_files(reader: HashingReader, into: Path, what: str, room: _Room) -> None:
    archive = TarReader(reader, what)
    for entry in archive:
        reader.expect(entry.size)
        path = PurePosixPath(entry.name)
        if problem := _problem(entry, path):
            raise InvalidInput(what, [f"{entry.shown}: {problem}; refused"])
        if path.parts[:1] != (DATA_FOLDER,) or entry.kind == FOLDER:
            continue
        room.note_entry(path)
        assert_room(into, entry.size, f"{what}: {entry.shown}")
        target = into.joinpath(*path.parts[1:])
        try:
            with atomic_write(target) as out:
                for chunk in archive.content():
                    out.write(chunk)
        except OSError as error:  # a name that is too long, or a file's where a folder is
            raise InvalidInput(what, [f"{entry.shown}: {error.strerror}; refused"]) from None


def _problem(entry: Entry, path: PurePosixPath) -> str | None:
    """Say what is wrong with an entry; what is not under /data is passed over whatever it is."""
    if problem := misplaced(path, DATA_FOLDER):
        return problem
    if path.parts[:1] != (DATA_FOLDER,):
        return None
    is_root = path == PurePosixPath(DATA_FOLDER)
    if entry.kind != FOLDER and (is_root or entry.kind != REGULAR):
        return "is a link, a device or otherwise no plain file"
    return None
