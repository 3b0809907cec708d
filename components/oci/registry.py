"""Images in a registry, over the OCI Distribution protocol as oras speaks it."""

import contextlib
import hashlib
import re
from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

import requests
from tenacity import Retrying, retry_if_exception, stop_after_attempt, wait_random_exponential

from components.errors import InvalidInput, TunegateError, Unreachable
from components.oci.answers import Body
from components.oci.client import RegistryClient, Unavailable
from components.oci.image import (
    INDEX_TYPES,
    MANIFEST_TYPE,
    MANIFEST_TYPES,
    MAX_DOCUMENT_BYTES,
    Descriptor,
    assert_room,
    damaged,
)
from components.storage import atomic_write
from components.web import quoted, shown

ATTEMPTS = 4
RETRY_WAIT = wait_random_exponential(multiplier=0.5, max=8)
CHUNKED_ABOVE_BYTES, UPLOAD_CHUNK_BYTES = 256 << 20, 64 << 20  # smaller blobs are sent in one piece

NAME = re.compile(
    r"(?P<host>localhost(?::\d+)?|\[[0-9a-f:]+\](?::\d+)?|[\w-]+:\d+|[\w-]+(?:\.[\w-]+)+(?::\d+)?)"
    r"/(?P<path>[a-z0-9]+(?:(?:\.|_|__|-+)[a-z0-9]+)*(?:/[a-z0-9]+(?:(?:\.|_|__|-+)[a-z0-9]+)*)*)",
    re.IGNORECASE,
)

T = TypeVar("T")


def repository_name(name: str) -> re.Match[str] | None:
    """Return `host` and `path` of a repository's name, `host[:port]/name`; None if it is none."""
    return NAME.fullmatch(name) if name == name.lower() else None


class RegistryRepository:
    """An image store in one repository of a registry.

    Credentials come from docker's config (`docker login`; `DOCKER_CONFIG` names another directory than
    `~/.docker`). Plain http is spoken with this machine, and with the hosts of the setting
    `insecure_registries`; with everyone else TLS.

    Args:
        name: `host[:port]/name`.
        named_by_data: Whether a dataset's parameter names it: then, as for any file of rows, only public
            addresses and those of the setting `private_datasets` are asked, unless whoever runs this machine
            knows the registry: has a login for it, or has it in `insecure_registries`.

    Raises:
        InvalidInput: That is no name of a repository.
    """

    def __init__(self, name: str, named_by_data: bool = False) -> None:
        found = repository_name(name)
        if found is None:
            raise InvalidInput(
                f"image repository {name!r}",
                ["wanted host[:port]/name in lower case, without a tag, or nothing for a directory here"],
            )
        self.name, self.host = name, found["host"]
        self._client = RegistryClient(self.host, found["path"], named_by_data)

    def check(self) -> None:
        """Refuse a repository that we may not push to: an upload is begun and given up."""
        begun = self._persist(
            lambda: self._client.do_request(
                f"{self._client.prefix}://{self._client.repository.upload_blob_url()}", "POST"
            )
        )
        # A registry that can't be told drops it by itself after a while; nobody else is told to delete.
        with contextlib.suppress(TunegateError, Unavailable, requests.RequestException):
            place = self._client.place_of(begun)
            if place.origin == self._client.address.origin:
                self._client.do_request(str(place), "DELETE")

    def put_blob(self, content: Path, descriptor: Descriptor) -> None:
        """Upload a blob that the repository does not have yet."""
        layer = {"digest": descriptor.digest, "size": descriptor.size}
        chunked = descriptor.size > CHUNKED_ABOVE_BYTES
        self._persist(
            lambda: self._client.upload_blob(
                str(content),
                self._client.repository,
                layer,
                do_chunked=chunked,
                chunk_size=UPLOAD_CHUNK_BYTES,
            )
        )

    def put_manifest(self, manifest: bytes, tag: str) -> str:
        """Upload a manifest under a tag and return the reference by digest."""
        digest = f"sha256:{hashlib.sha256(manifest).hexdigest()}"
        # Not upload_manifest(): that writes the JSON anew, and with it another digest.
        answer = self._persist(
            lambda: self._client.do_request(
                self._client.manifest_url(tag), "PUT", data=manifest, headers={"Content-Type": MANIFEST_TYPE}
            )
        )
        stored = answer.headers.get("Docker-Content-Digest", digest)
        if stored != digest:
            raise damaged(f"{self.name}:{tag} as the registry stored it", quoted(stored), digest)
        return f"{self.name}@{digest}"

    def manifest(self, digest: str) -> bytes:
        """Download a manifest, not verified; of one that is too long, a little more than the limit."""
        headers = {"Accept": ", ".join(MANIFEST_TYPES + INDEX_TYPES)}

        def download() -> bytes:
            with self._client.do_request(
                self._client.manifest_url(digest), "GET", headers=headers, stream=True
            ) as answer:
                content = bytearray()
                for chunk in Body(answer).chunks():
                    content += chunk
                    if len(content) > MAX_DOCUMENT_BYTES:
                        break
                return bytes(content)

        return self._persist(download)

    def blob(self, descriptor: Descriptor, scratch: Path) -> Path:
        """Download a blob into `scratch`, not verified; more than was announced is not taken.

        Raises:
            TunegateError: It has no room on the disk, or the registry refuses or can't be reached.
        """
        place = scratch / descriptor.digest.replace(":", "-")
        assert_room(scratch, descriptor.size, f"{self.name}@{descriptor.digest}")

        def download() -> None:
            size = 0
            with (
                self._client.get_blob(self._client.repository, descriptor.digest, stream=True) as answer,
                atomic_write(place) as out,
            ):
                for chunk in Body(answer).chunks():
                    size += len(chunk)
                    if size > descriptor.size:
                        raise damaged(
                            f"{self.name}@{descriptor.digest}",
                            f"more than {descriptor.size:,} bytes",
                            f"{descriptor.size:,}",
                        )
                    out.write(chunk)

        self._persist(download)
        return place

    def _persist(self, operation: Callable[[], T]) -> T:
        """Try again while the registry can't be reached or has trouble of its own."""
        try:
            return Retrying(
                stop=stop_after_attempt(ATTEMPTS),
                wait=RETRY_WAIT,
                retry=retry_if_exception(_passes),
                reraise=True,
            )(operation)
        except requests.exceptions.SSLError as error:
            raise TunegateError(
                f"registry {self.host}: no trusted TLS connection ({_reason(error)}); "
                "if it speaks plain http and you trust the network, set "
                f"TUNEGATE_INSECURE_REGISTRIES={self.host}"
            ) from error
        except Unavailable as error:
            raise Unreachable(
                f"registry {self.host}: answered {error}, {ATTEMPTS} times; "
                "the trouble is on its side: look at its log, or run again later"
            ) from error
        except requests.RequestException as error:
            raise Unreachable(
                f"registry {self.host}: can't be reached, tried {ATTEMPTS} times ({_reason(error)}); "
                "check the host in image_repository, that the registry runs, and the network"
            ) from error


def _passes(error: BaseException) -> bool:
    """Say whether trouble may be over at the next try."""
    if isinstance(error, requests.exceptions.SSLError):
        return False
    return isinstance(
        error,
        (
            Unavailable,
            requests.ConnectionError,
            requests.Timeout,
            requests.exceptions.ChunkedEncodingError,
        ),
    )


def _reason(error: requests.RequestException) -> str:
    """Return what went wrong at the bottom, without what was wrapped around it."""
    reason = getattr(error.args[0], "reason", None) if error.args else None
    return quoted(shown(str(reason or error)))
