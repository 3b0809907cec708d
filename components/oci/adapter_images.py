"""Adapter images: written and read as OCI, on disk or in a registry, in the layout that KAITO uses."""

import hashlib
import re
import tempfile
from collections.abc import Mapping
from pathlib import Path

from pydantic import BaseModel, ConfigDict

from components.errors import DigestMismatch, InvalidInput
from components.oci.adapters import ADAPTER_FILES, adapter_digest
from components.oci.image import (
    CONFIG_TYPE,
    MANIFEST_TYPE,
    MAX_DOCUMENT_BYTES,
    Descriptor,
    ImageStore,
    Manifest,
    canonical_json,
    damaged,
    fetch_layers,
    parse_manifest,
)
from components.oci.layers import pack_layer, unpack_layer
from components.oci.layout import ImageLayout
from components.settings import home, load_settings, make_home
from components.storage import atomic_write

LAYOUT_PREFIX = "oci:"
LAYER_HEADERS_BYTES = 64 << 10
REFERENCE = re.compile(r"(?P<repository>.+)@(?P<digest>sha256:[0-9a-f]{64})", re.DOTALL)


class PushedImage(BaseModel):
    """An adapter image that stands in a layout or a registry.

    Attributes:
        reference: `oci:<layout directory>@sha256:...` or `host/name@sha256:...`.
        manifest_digest: The digest in the reference: the image's.
        adapter_digest: The digest of the adapter in it.
        size_bytes: What a pull of it transfers.
    """

    model_config = ConfigDict(frozen=True)

    reference: str
    manifest_digest: str
    adapter_digest: str
    size_bytes: int


def push_adapter(
    adapter_dir: Path, repository: str, annotations: Mapping[str, str], model_name: str
) -> PushedImage:
    """Put an adapter into an image and store it; equal adapters and annotations give the same image.

    Args:
        adapter_dir: The adapter's two files.
        repository: `host[:port]/name` of a registry, `oci:<directory>`, or empty for the image layout of
            the state directory.
        annotations: Notes for the manifest.
        model_name: With the start of the digest it makes the tag, so that a tag never moves and a
            registry's clean-up keeps what a roll-back needs.

    Raises:
        InvalidInput: The adapter is incomplete, or there is no such repository.
        TunegateError: The disk is full, or the registry refuses or can't be reached.
    """
    store = _store(repository)
    _assert_small_enough(adapter_dir)
    with tempfile.TemporaryDirectory(dir=make_home(), prefix=".image-") as folder:
        layer_file, config_file = Path(folder) / "layer", Path(folder) / "config"
        layer, packed_digest = pack_layer(adapter_dir, layer_file)
        config = _write_config(packed_digest, config_file)
        manifest = _manifest(config, layer, annotations)
        digest = f"sha256:{hashlib.sha256(manifest).hexdigest()}"
        # The manifest last: an image that is listed is whole.
        store.put_blob(layer_file, layer)
        store.put_blob(config_file, config)
        reference = store.put_manifest(manifest, f"{model_name}-{digest.removeprefix('sha256:')[:12]}")
    return PushedImage(
        reference=reference,
        manifest_digest=digest,
        adapter_digest=packed_digest,
        size_bytes=len(manifest) + config.size + layer.size,
    )


def check_repository(repository: str) -> None:
    """Refuse a repository that adapters can't be pushed to; nothing is stored in it.

    Args:
        repository: As `push_adapter` takes it.

    Raises:
        InvalidInput: There is no such repository.
        TunegateError: The registry refuses or can't be reached.
    """
    _store(repository).check()


def pull_adapter(reference: str, adapter_digest: str, target: Path) -> Path:
    """Unpack an adapter out of its image into `target` and verify every digest on the way.

    Args:
        reference: `oci:<layout directory>@sha256:...` or `registry/name@sha256:...`, always by digest.
        adapter_digest: What `components.oci.adapters.adapter_digest` must say of the result.
        target: A directory to make; it holds the adapter's two files, or is not there at all.

    Raises:
        DigestMismatch: The image holds something else.
        InvalidInput: There is no such image, or it is malformed or hostile (paths that leave `target`,
            links, devices, more bytes than announced).
        TunegateError: The disk is full, or the registry refuses or can't be reached.
    """
    if _holds(target, adapter_digest):
        return target
    found = REFERENCE.fullmatch(reference)
    if found is None:
        raise InvalidInput(f"image {reference!r}", ["is not named by digest; wanted ...@sha256:..."])
    if target.exists() and (not target.is_dir() or any(target.iterdir())):
        raise _in_the_way(target)
    store = _store(found["repository"])
    target.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=target.parent, prefix=f".{target.name}.") as folder:
        unpacked = Path(folder) / "adapter"
        unpacked.mkdir()
        _unpack(store, reference, found["digest"], unpacked)
        _assert_adapter(unpacked, reference, adapter_digest)
        try:
            unpacked.rename(target)
        except OSError:  # another process pulled to the same place meanwhile
            if not _holds(target, adapter_digest):
                raise _in_the_way(target) from None
    return target


def _store(repository: str) -> ImageStore:
    if not repository:
        return ImageLayout(home() / "images")
    if repository.startswith(LAYOUT_PREFIX):
        return ImageLayout(Path(repository.removeprefix(LAYOUT_PREFIX)))
    from components.oci.registry import RegistryRepository  # requests and oras take a while to import

    return RegistryRepository(repository)


def _write_config(diff_id: str, target: Path) -> Descriptor:
    content = canonical_json({"rootfs": {"type": "layers", "diff_ids": [diff_id]}})
    with atomic_write(target) as out:
        out.write(content)
    digest = f"sha256:{hashlib.sha256(content).hexdigest()}"
    return Descriptor(media_type=CONFIG_TYPE, digest=digest, size=len(content))


def _manifest(config: Descriptor, layer: Descriptor, annotations: Mapping[str, str]) -> bytes:
    manifest = Manifest(
        schema_version=2,
        media_type=MANIFEST_TYPE,
        config=config,
        layers=(layer,),
        annotations=dict(annotations),
    )
    return canonical_json(manifest.model_dump(by_alias=True))


def _unpack(store: ImageStore, reference: str, digest: str, into: Path) -> None:
    scratch = into.parent
    content = store.manifest(digest)
    if len(content) > MAX_DOCUMENT_BYTES:
        raise InvalidInput(reference, [f"its manifest has more than {MAX_DOCUMENT_BYTES:,} bytes; refused"])
    found = f"sha256:{hashlib.sha256(content).hexdigest()}"
    if found != digest:
        raise damaged(f"{reference}: its manifest", found, digest)
    manifest = parse_manifest(content, reference)
    if manifest.config.size > MAX_DOCUMENT_BYTES:
        raise InvalidInput(reference, [f"its config has {manifest.config.size:,} bytes; refused"])
    max_bytes = load_settings().max_adapter_bytes
    announced = sum(layer.size for layer in manifest.layers)
    if announced > max_bytes:
        raise InvalidInput(reference, [_too_large(announced, max_bytes, "its layers have")])
    for layer_file, _, diff_id, what in fetch_layers(store, manifest, reference, scratch):
        max_bytes -= unpack_layer(layer_file, diff_id, into, what, max_bytes)


def _assert_small_enough(adapter_dir: Path) -> None:
    """Refuse to push what nobody would pull again."""
    size = sum(
        (adapter_dir / name).stat().st_size for name in ADAPTER_FILES if (adapter_dir / name).is_file()
    )
    max_bytes = load_settings().max_adapter_bytes
    # An archive has a few headers, too.
    if size + LAYER_HEADERS_BYTES > max_bytes:
        raise InvalidInput(f"adapter {adapter_dir}", [_too_large(size, max_bytes, "its files have")])


def _too_large(size: int, max_bytes: int, what: str) -> str:
    return (
        f"{what} {size:,} bytes, at most {max_bytes:,} are taken; if it is an adapter that you want, raise "
        "TUNEGATE_MAX_ADAPTER_BYTES"
    )


def _assert_adapter(unpacked: Path, reference: str, wanted: str) -> None:
    missing = [name for name in ADAPTER_FILES if not (unpacked / name).is_file()]
    if missing:
        raise InvalidInput(
            reference, [f"/data/{name}: not in the image, so it is no adapter's" for name in missing]
        )
    found = adapter_digest(unpacked)
    if found != wanted:
        raise DigestMismatch(
            f"{reference}: holds adapter {found}, wanted {wanted}; "
            "it is not the adapter that was evaluated, so it is not used"
        )


def _holds(target: Path, wanted: str) -> bool:
    return all((target / name).is_file() for name in ADAPTER_FILES) and adapter_digest(target) == wanted


def _in_the_way(target: Path) -> InvalidInput:
    return InvalidInput(str(target), ["holds something else than this adapter; remove it and run again"])
