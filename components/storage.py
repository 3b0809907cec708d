"""Writing so that nothing half-done is left, and locks between processes."""

import errno
import fcntl
import os
import struct
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO

from components.errors import TunegateError

CHUNK_BYTES = 1 << 20
_FULL = {errno.ENOSPC, errno.EDQUOT, errno.EFBIG}
# Of a file that is held: its first byte is locked by whoever has it, its second once it tells who that is.
_HELD, _TOLD = 0, 1
_FLOCK = "hhqqi4x"  # struct flock: type, whence, start, length, process


@contextmanager
def full_disk_told(path: Path) -> Iterator[None]:
    """Tell it in our words when what is written within has no room.

    Args:
        path: What is written, or where.

    Raises:
        TunegateError: The disk is full.
    """
    try:
        yield
    except OSError as error:
        if error.errno in _FULL:
            raise TunegateError(
                f"{path}: {error.strerror}; nothing was kept of it. Free some space and run again"
            ) from error
        raise


@contextmanager
def atomic_write(path: Path) -> Iterator[IO[bytes]]:
    """Write a file that appears whole or not at all.

    Raises:
        TunegateError: The disk is full; what was written so far is gone.
    """
    unfinished = path.with_name(f".{path.name}.{os.getpid()}-{threading.get_ident()}.unfinished")
    try:
        with full_disk_told(path):
            path.parent.mkdir(parents=True, exist_ok=True)
            with unfinished.open("wb") as file:
                yield file
                file.flush()
                os.fsync(file.fileno())
            unfinished.replace(path)
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
