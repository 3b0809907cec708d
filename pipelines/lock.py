"""One release at a time in one state directory."""

import os
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager

from components.errors import TunegateError
from components.settings import home, make_home
from components.storage import Taken, holder_of, holding


class Busy(TunegateError):
    """Another command is changing the same state directory."""


def holder() -> str:
    """Return what holds the state directory now; empty if nothing does. A look is never in anybody's way."""
    return holder_of(home() / "lock")


@contextmanager
def exclusive(what: str) -> Iterator[None]:
    """Hold the state directory for one command; the kernel lets go of it however the process ends.

    Args:
        what: What holds it, in the words that another command will show.

    Raises:
        Busy: Another command holds it.
    """
    with ExitStack() as held:
        try:
            held.enter_context(holding(make_home() / "lock", f"{what} (process {os.getpid()})"))
        except Taken as taken:
            raise Busy(
                f"{home()} is in use by {taken.by or 'another command'}: "
                "wait for it or end it with Ctrl-C; TUNEGATE_HOME names another state directory"
            ) from None
        yield
