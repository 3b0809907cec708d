"""Reading what a person names (a path or a URL) and writing so that nothing half-done is left."""

import errno
import fcntl
import hashlib
import os
import struct
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
# Of a file that is held: its first byte is locked by whoever has it, its second once it tells who that is.
_HELD, _TOLD = 0, 1
_FLOCK = "hhqqi4x"  # struct flock: type, whence, start, length, process


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


class Taken(TunegateError):
    """Somebody else holds a file.

    Args:
        path: The file.
        by: What they say of themselves; empty where they have not said it yet.
    """

    def __init__(self, path: Path, by: str) -> None:
        super().__init__(f"{path} is held by {by or 'another command'}")
        self.by = by


@contextmanager
def holding(path: Path, who: str) -> Iterator[IO[str]]:
    """Hold a file, with a text that says who does; the kernel lets go of it however the process ends.

    The lock is one of an open file description (fcntl(2), F_OFD_SETLK), not of flock: whether such a lock is
    held can be asked without taking one, so that nobody who only looks is ever in the way of who wants it.

    Args:
        path: The file; it is made if need be, and stays.
        who: What others are told.

    Raises:
        Taken: Somebody else holds it.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("a+", encoding="utf-8") as file:  # closed on exec: no server inherits it
        try:
            _lock(file, _HELD)
        except (BlockingIOError, PermissionError):
            raise Taken(path, holder_of(path)) from None
        file.truncate(0)
        file.write(who)
        file.flush()
        _lock(file, _TOLD)
        yield file


def holder_of(path: Path) -> str:
    """Return what whoever holds a file says of themselves; empty if nobody does, or hasn't said it yet.

    No lock is taken for that.
    """
    try:
        with path.open(encoding="utf-8") as file:
            asked = struct.pack(_FLOCK, fcntl.F_RDLCK, os.SEEK_SET, _TOLD, 1, 0)
            found = fcntl.fcntl(file, fcntl.F_OFD_GETLK, asked)
            is_held = struct.unpack(_FLOCK, found)[0] != fcntl.F_UNLCK
            return file.read().strip() if is_held else ""
    except FileNotFoundError:
        return ""


def _lock(file: IO[str], byte: int) -> None:
    wanted = struct.pack(_FLOCK, fcntl.F_WRLCK, os.SEEK_SET, byte, 1, 0)
    fcntl.fcntl(file, fcntl.F_OFD_SETLK, wanted)
