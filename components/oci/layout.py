"""Images in an OCI image layout: a directory that any container tool reads.

Format: the OCI Image Format Specification 1.1, image-layout.md.
"""

import hashlib
import json
import os
import shutil
from pathlib import Path
from typing import Any

from components.errors import InvalidInput
from components.oci.hashing import file_digest
from components.oci.image import MANIFEST_TYPE, MAX_DOCUMENT_BYTES, Descriptor, canonical_json
from components.storage import CHUNK_BYTES, atomic_write, locked
from components.web import quoted

TAG = "org.opencontainers.image.ref.name"


class ImageLayout:
    """An image store in a directory; several processes may write to it at once."""

    def __init__(self, folder: Path) -> None:
        try:
            self.folder = folder.expanduser().resolve()
        except (OSError, ValueError, RuntimeError) as error:  # a zero in the name, ~ of an unknown user
            raise InvalidInput(f"oci:{quoted(str(folder))}", [f"is no directory ({error})"]) from error
        self._what = f"oci:{quoted(str(self.folder), limit=5000)}"

    def check(self) -> None:
        """Refuse a directory that can't be written."""
        nearest = next(path for path in (self.folder, *self.folder.parents) if path.exists())
        if not nearest.is_dir() or not os.access(nearest, os.W_OK):
            raise InvalidInput(self._what, [f"{nearest} is no directory that can be written"])

    def put_blob(self, content: Path, descriptor: Descriptor) -> None:
        """Store a blob; one that is there whole is left as it is, a damaged one is replaced."""
        place = self._place(descriptor.digest)
        if place.is_file() and file_digest(place) == descriptor.digest:
            return
        with content.open("rb") as source, atomic_write(place) as out:
            shutil.copyfileobj(source, out, CHUNK_BYTES)

    def put_manifest(self, manifest: bytes, tag: str) -> str:
        """Store a manifest, list it in the index and return the reference by digest."""
        digest = f"sha256:{hashlib.sha256(manifest).hexdigest()}"
        with atomic_write(self._place(digest)) as out:
            out.write(manifest)
        with locked(self.folder / ".lock"):
            self._list_in_index(digest, len(manifest), tag)
        return f"oci:{self.folder}@{digest}"

    def manifest(self, digest: str) -> bytes:
        """Return a manifest as it is stored, not verified."""
        place = self._present(digest)
        with place.open("rb") as file:
            return file.read(MAX_DOCUMENT_BYTES + 1)

    def blob(self, descriptor: Descriptor, scratch: Path) -> Path:
        """Return the file of a blob, not verified."""
        return self._present(descriptor.digest)

    def _place(self, digest: str) -> Path:
        return self.folder / "blobs" / "sha256" / digest.removeprefix("sha256:")

    def _present(self, digest: str) -> Path:
        place = self._place(digest)
        try:
            present = place.is_file()
        except OSError as error:  # a name that is too long, say
            raise InvalidInput(self._what, [f"can't be read ({quoted(str(error))})"]) from error
        if not present:
            raise InvalidInput(
                self._what, [f"holds no {digest}; push the adapter again, or check the directory"]
            )
        return place

    def _list_in_index(self, digest: str, size: int, tag: str) -> None:
        marker, index = self.folder / "oci-layout", self.folder / "index.json"
        if not marker.is_file():
            with atomic_write(marker) as out:
                out.write(canonical_json({"imageLayoutVersion": "1.0.0"}))
        others = [entry for entry in self._index() if entry.get("digest") != digest]
        entry = {
            "mediaType": MANIFEST_TYPE,
            "digest": digest,
            "size": size,
            "annotations": {TAG: tag},
        }
        try:
            content = canonical_json({"schemaVersion": 2, "manifests": [*others, entry]})
        except (ValueError, RecursionError) as error:  # half a sign of UTF-16 in a note, say
            raise _no_index(str(index), quoted(str(error))) from error
        if len(content) > MAX_DOCUMENT_BYTES:
            problem = (
                f"would list more images than {MAX_DOCUMENT_BYTES:,} bytes hold; push to another directory"
            )
            raise InvalidInput(str(index), [problem])
        with atomic_write(index) as out:
            out.write(content)

    def _index(self) -> list[dict[str, Any]]:
        index = self.folder / "index.json"
        if not index.is_file():
            return []
        with index.open("rb") as file:
            content = file.read(MAX_DOCUMENT_BYTES + 1)
        if len(content) > MAX_DOCUMENT_BYTES:
            raise _no_index(str(index), f"it has more than {MAX_DOCUMENT_BYTES:,} bytes")
        try:
            found = json.loads(content)
        except (ValueError, RecursionError) as error:  # the second for what is nested absurdly deep
            raise _no_index(str(index), quoted(str(error))) from error
        listed = found.get("manifests") if isinstance(found, dict) else None
        if not isinstance(listed, list) or not all(isinstance(entry, dict) for entry in listed):
            raise _no_index(str(index), "it has no list of manifests")
        return listed


def _no_index(index: str, why: str) -> InvalidInput:
    return InvalidInput(index, [f"is no index of an OCI image layout ({why}); move the directory away"])
