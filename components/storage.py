"""Reading what a person names (a path or a URL) and writing so that nothing half-done is left."""

import errno
import fcntl
import hashlib
import os
import threading
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO

from components.errors import InvalidInput, TunegateError

CHUNK_BYTES = 1 << 20
_FULL = {errno.ENOSPC, errno.EDQUOT, errno.EFBIG}
# What the stores' clients are told by the scheme. These two ask the environment for a proxy only if told to.
_HTTP = {"client_kwargs": {"trust_env": True}}
_OPTIONS = {"http": _HTTP, "https": _HTTP, "gs": {"session_kwargs": {"trust_env": True}}}
# Packages of the stores' clients: their errors have no class in common.
_CLIENTS = {"aiohttp", "azure", "botocore", "gcsfs", "google"}


@contextmanager
def open_source(name: str) -> Iterator[IO[bytes]]:
    """Open a path or URL (https, s3, gs, az, hf) for reading, as bytes; `.gz` is unpacked.

    Proxy, credentials and a store's own address are taken from the environment.

    Raises:
        InvalidInput: It is not there, can't be reached or is no valid gzip.
    """
    import fsspec

    try:
        options = _OPTIONS.get(name.partition("://")[0], {})
        with fsspec.open(name, "rb", compression="infer", **options) as file:
            yield file
    except FileNotFoundError as error:
        raise InvalidInput(name, ["no such file; check the path (relative to where you started)"]) from error
    except IsADirectoryError as error:
        raise InvalidInput(name, ["is a directory; name one file in it"]) from error
    except ImportError as error:
        raise InvalidInput(name, [f"this kind of address needs one more package: {error}"]) from error
    except zlib.error as error:
        raise InvalidInput(name, [f"is no valid gzip ({error}); fetch or pack it again"]) from error
    except (EOFError, OSError, ValueError) as error:
        if isinstance(error, InvalidInput):
            raise
        raise InvalidInput(name, [f"could not be read: {error or type(error).__name__}"]) from error
    except Exception as error:
        if type(error).__module__.partition(".")[0] not in _CLIENTS:
            raise
        first_line = str(error).partition("\n")[0]
        raise InvalidInput(name, [f"could not be read: {first_line or type(error).__name__}"]) from error


def content_digest(*names: str) -> str:
    """Return `sha256:...` over the content of the named files, in order; empty names are skipped."""
    digest = hashlib.sha256()
    for name in filter(None, names):
        part = hashlib.sha256()
        with open_source(name) as file:
            while chunk := file.read(CHUNK_BYTES):
                part.update(chunk)
        digest.update(part.digest())
    return f"sha256:{digest.hexdigest()}"


@contextmanager
def atomic_write(path: Path) -> Iterator[IO[bytes]]:
    """Write a file that appears whole or not at all.

    Raises:
        TunegateError: The disk is full; what was written so far is gone.
    """
    unfinished = path.with_name(f".{path.name}.{os.getpid()}-{threading.get_ident()}.unfinished")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with unfinished.open("wb") as file:
            yield file
            file.flush()
            os.fsync(file.fileno())
        unfinished.replace(path)
    except OSError as error:
        if error.errno in _FULL:
            raise TunegateError(
                f"{path}: {error.strerror}; nothing was kept of it. Free some space and run again"
            ) from error
        raise
    finally:
        unfinished.unlink(missing_ok=True)


@contextmanager
def locked(path: Path) -> Iterator[None]:
    """Hold a lock file; other processes that want it wait, and the kernel frees it if this one dies."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield
