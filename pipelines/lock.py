"""One release at a time in one state directory."""

import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager

from components.errors import TunegateError
from components.settings import home


class Busy(TunegateError):
    """Another command is changing the same state directory."""


def holder() -> str:
    """Return what holds the state directory now; empty if nothing does."""
    path = home() / "lock"
    if not path.is_file():
        return ""
    with path.open() as file:
        try:
            fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
        except BlockingIOError:
            return file.read().strip()
    return ""


@contextmanager
def exclusive(what: str) -> Iterator[None]:
    """Hold the state directory for one command; the kernel lets go of it however the process ends.

    Args:
        what: What holds it, in the words that another command will show.

    Raises:
        Busy: Another command holds it.
    """
    path = home() / "lock"
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("a+") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            file.seek(0)
            raise Busy(
                f"{home()} is in use by {file.read().strip() or 'another command'}: "
                "wait for it or end it with Ctrl-C; TUNEGATE_HOME names another state directory"
            ) from None
        file.truncate(0)
        file.write(f"{what} (process {os.getpid()})")
        file.flush()
        yield
