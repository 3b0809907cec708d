"""Open one file, wherever it lies, and know afterwards whether it was written to meanwhile."""

import os
import stat
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

from components.errors import InvalidInput
from components.sources.address import Source
from components.sources.stores import OPTIONS
from components.sources.transfer import Transfer
from components.web import WEB

# By what the stores tell one version of a file from the next.
_VERSION = ("size", "etag", "generation", "md5Hash", "blob_id")


@dataclass(frozen=True)
class Opened:
    """A file that is open.

    Attributes:
        file: What is read from.
        size: Its length, where that is known.
        has_changed: Tells whether it was written to since.
        encoding: How a server says that it has packed it for the way; empty if it has not.
    """

    file: IO[bytes]
    size: int | None
    has_changed: Callable[[], bool]
    encoding: str = ""


def open_file(source: Source) -> Opened:
    """Open a file of this machine, of a web server or of a store.

    Raises:
        Exception: What its client says.
    """
    if not source.scheme:
        return _open_path(source)
    if source.scheme in WEB:
        transfer: Any = Transfer(source)  # which sees to it that all of it is of one version
        return Opened(transfer, transfer.size, lambda: False, transfer.encoding)
    return _open_in_store(source)


def _open_path(source: Source) -> Opened:
    path = Path(source.target).expanduser()
    found = path.stat()
    if stat.S_ISDIR(found.st_mode):
        raise IsADirectoryError
    if not stat.S_ISREG(found.st_mode):
        raise InvalidInput(source.shown, ["is a device, a pipe or a socket, which has no end; wanted a file"])
    file = path.open("rb")
    before = os.fstat(file.fileno())

    def has_changed() -> bool:
        now = os.fstat(file.fileno())
        return (now.st_size, now.st_mtime_ns) != (before.st_size, before.st_mtime_ns)

    return Opened(file, before.st_size, has_changed)


def _open_in_store(source: Source) -> Opened:
    from fsspec.core import url_to_fs

    store, path = url_to_fs(source.target, **OPTIONS.get(source.scheme, {}))
    file = store.open(path, "rb")
    before = getattr(file, "details", None)

    def has_changed() -> bool:
        # It is read in pieces, each of the version that is there by then; S3 is asked for one version.
        if source.scheme == "s3" or not isinstance(before, Mapping):
            return False
        store.invalidate_cache()
        now = store.info(path)
        return any(before[name] != now[name] for name in _VERSION if name in before and name in now)

    return Opened(file, getattr(file, "size", None), has_changed)
