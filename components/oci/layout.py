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

TAG = "org.opencontainers.image.ref.name"


class ImageLayout:
    """An image store in a directory; several processes may write to it at once."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder.expanduser().resolve()

    def check(self) -> None:
        """Refuse a directory that can't be written."""
        nearest = next(path for path in (self.folder, *self.folder.parents) if path.exists())
        if not nearest.is_dir() or not os.access(nearest, os.W_OK):
            raise InvalidInput(f"oci:{self.folder}", [f"{nearest} is no directory that can be written"])

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
        if not place.is_file():
            raise InvalidInput(
                f"oci:{self.folder}", [f"holds no {digest}; push the adapter again, or check the directory"]
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
        with atomic_write(index) as out:
            out.write(canonical_json({"schemaVersion": 2, "manifests": [*others, entry]}))

    def _index(self) -> list[dict[str, Any]]:
        index = self.folder / "index.json"
        if not index.is_file():
            return []
        try:
            return list(json.loads(index.read_bytes())["manifests"])
        except (ValueError, KeyError, TypeError) as error:
            raise InvalidInput(
                str(index), [f"is no index of an OCI image layout ({error}); move the directory away"]
            ) from error
