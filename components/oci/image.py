"""What an image is to OCI: blobs named by digest, a manifest that lists them, a store that keeps them.

Formats: the OCI Image Format Specification 1.1, manifest.md, config.md and descriptor.md.
"""

import json
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, Any, Protocol

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, ValidationError

from components.errors import DigestMismatch, InvalidInput, TunegateError
from components.oci.hashing import file_digest
from components.web import quoted

MANIFEST_TYPE = "application/vnd.oci.image.manifest.v1+json"
CONFIG_TYPE = "application/vnd.oci.image.config.v1+json"
LAYER_TYPE = "application/vnd.oci.image.layer.v1.tar+gzip"
DOCKER_MANIFEST_TYPE = "application/vnd.docker.distribution.manifest.v2+json"
MANIFEST_TYPES = (MANIFEST_TYPE, DOCKER_MANIFEST_TYPE)
INDEX_TYPE = "application/vnd.oci.image.index.v1+json"
INDEX_TYPES = (INDEX_TYPE, "application/vnd.docker.distribution.manifest.list.v2+json")

MAX_DOCUMENT_BYTES = 4 << 20  # registries take no larger manifest
MAX_LAYERS = 127
MAX_BLOB_BYTES = (1 << 63) - 1

Digest = Annotated[str, Field(pattern=r"^sha256:[0-9a-f]{64}$")]


class Descriptor(BaseModel):
    """A blob as a manifest names it: what it is, its digest and its size in bytes."""

    model_config = ConfigDict(frozen=True, populate_by_name=True)

    media_type: str = Field(validation_alias="mediaType", serialization_alias="mediaType")
    digest: Digest
    size: int = Field(ge=0, le=MAX_BLOB_BYTES, strict=True)


def _texts(annotations: dict[str, Any]) -> dict[str, str]:
    """Refuse the first that is no text; pydantic would hold an error for each of half a million."""
    for name, text in annotations.items():
        if not isinstance(text, str):
            raise ValueError(f"{quoted(name, 80)} is no text")
    return annotations


class Manifest(BaseModel):
    """An image: its config, its layers from the lowest up, and what is noted about it."""

    model_config = ConfigDict(frozen=True, populate_by_name=True)

    schema_version: int = Field(
        2, ge=2, le=2, strict=True, validation_alias="schemaVersion", serialization_alias="schemaVersion"
    )
    media_type: str = Field(MANIFEST_TYPE, validation_alias="mediaType", serialization_alias="mediaType")
    config: Descriptor
    layers: tuple[Descriptor, ...] = Field(min_length=1, max_length=MAX_LAYERS)
    annotations: Annotated[dict[str, Any], AfterValidator(_texts)] | None = None


class _RootFilesystem(BaseModel):
    diff_ids: tuple[Digest, ...] = Field(max_length=MAX_LAYERS)


class Config(BaseModel):
    """The config of an image, as far as an adapter needs it: the digests of the unpacked layers."""

    rootfs: _RootFilesystem


class ImageStore(Protocol):
    """A place that keeps images: a layout on disk or a repository of a registry."""

    def check(self) -> None:
        """Refuse a place that nothing can be stored in."""

    def put_blob(self, content: Path, descriptor: Descriptor) -> None:
        """Store a blob; one that is there already is left as it is."""

    def put_manifest(self, manifest: bytes, tag: str) -> str:
        """Store a manifest under its digest and a tag, and return the reference by digest."""

    def manifest(self, digest: str) -> bytes:
        """Return a manifest as it is stored, not verified."""

    def blob(self, descriptor: Descriptor, scratch: Path) -> Path:
        """Return a file with the blob, not verified; it may be put into `scratch`."""


def canonical_json(document: dict[str, Any]) -> bytes:
    """Write JSON so that equal documents give equal bytes."""
    return json.dumps(document, sort_keys=True, separators=(",", ":"), ensure_ascii=False).encode()


def parse_manifest(content: bytes, what: str) -> Manifest:
    """Read a manifest.

    Raises:
        InvalidInput: It is malformed, or the manifest of something else than an image.
    """
    try:
        manifest = Manifest.model_validate_json(content)
    except ValidationError as error:
        raise InvalidInput(what, [f"is no image manifest: {_first(error)}"]) from error
    if manifest.media_type not in MANIFEST_TYPES:
        raise InvalidInput(
            what,
            [f"mediaType: got {quoted(manifest.media_type)!r}, wanted one of {', '.join(MANIFEST_TYPES)}"],
        )
    return manifest


def parse_config(content: bytes, layers: int, what: str) -> Config:
    """Read the config of an image with so many layers.

    Raises:
        InvalidInput: It is malformed or does not fit the manifest.
    """
    try:
        config = Config.model_validate_json(content)
    except ValidationError as error:
        raise InvalidInput(what, [f"its config is malformed: {_first(error)}"]) from error
    if len(config.rootfs.diff_ids) != layers:
        problem = f"its config lists {len(config.rootfs.diff_ids)} diff_ids, its manifest {layers} layers"
        raise InvalidInput(what, [problem])
    return config


def verify_blob(content: Path, descriptor: Descriptor, what: str) -> None:
    """Hold a blob against its descriptor.

    Raises:
        DigestMismatch: It is not what the manifest names.
    """
    size = content.stat().st_size
    if size != descriptor.size:
        raise damaged(what, f"{size:,} bytes", f"{descriptor.size:,} bytes")
    if (found := file_digest(content)) != descriptor.digest:
        raise damaged(what, found, descriptor.digest)


def fetch_layers(
    store: ImageStore, manifest: Manifest, name: str, scratch: Path
) -> Iterator[tuple[Path, Descriptor, str, str]]:
    """Yield each layer's file, descriptor, diff_id and what it is called, from the lowest; all are verified.

    Args:
        store: Where the image is.
        manifest: Whose config and layers are small enough.
        name: What the image is called in an error.
        scratch: Where fetched blobs are kept.

    Raises:
        DigestMismatch: The config or a layer is not what its digest says.
        InvalidInput: The config is malformed.
    """
    config_file = store.blob(manifest.config, scratch)
    verify_blob(config_file, manifest.config, f"{name}: its config")
    config = parse_config(config_file.read_bytes(), len(manifest.layers), name)
    for number, (layer, diff_id) in enumerate(
        zip(manifest.layers, config.rootfs.diff_ids, strict=True), start=1
    ):
        what = f"{name}: layer {number}"
        file = store.blob(layer, scratch)
        verify_blob(file, layer, what)
        yield file, layer, diff_id, what


def assert_room(folder: Path, size_bytes: int, what: str) -> None:
    """Refuse to write what has no room on the disk.

    Raises:
        TunegateError: There is less free space in the folder.
    """
    free = shutil.disk_usage(folder).free
    if free < size_bytes:
        raise TunegateError(
            f"{what}: has {size_bytes:,} bytes, but {folder.parent} has room for {free:,}; nothing of it was "
            "written. Free some space and run again"
        )


def damaged(what: str, found: str, wanted: str) -> DigestMismatch:
    """Return the error for a part of an image that is not what its digest says."""
    return DigestMismatch(f"{what}: got {found}, wanted {wanted}; the image is damaged: push it again")


def _first(error: ValidationError) -> str:
    problem = error.errors()[0]
    place = ".".join(str(part) for part in problem["loc"])
    return quoted(f"{place}: {problem['msg']}" if place else problem["msg"])
