"""The errors that a user can act on."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager


class TunegateError(Exception):
    """Something that the user can act on; its text is what they read."""


class InvalidInput(TunegateError):
    """One input was refused; every problem found in it is listed.

    Args:
        what: The input, in the user's own words: a path, a parameter name.
        problems: One line each: place, value got, value wanted, what to do next.
    """

    def __init__(self, what: str, problems: Sequence[str]) -> None:
        self.what = what
        self.problems = list(problems)
        lines = "".join(f"\n  - {problem}" for problem in self.problems)
        super().__init__(f"{what}: {len(self.problems)} problem{'s'[: len(self.problems) != 1]}{lines}")

    def __reduce__(self) -> tuple[type["InvalidInput"], tuple[str, list[str]]]:
        """Survive pickling with both arguments."""
        return type(self), (self.what, self.problems)


@contextmanager
def noted(problems: list[str], kind: type[TunegateError] = TunegateError) -> Iterator[None]:
    """Go on after what is refused and note why, so that all problems can be said at once.

    Args:
        problems: What is noted is added to it.
        kind: Which errors; others are raised as usual.
    """
    try:
        yield
    except kind as error:
        if isinstance(error, InvalidInput):
            problems += [f"{error.what}: {problem}" for problem in error.problems]
        else:
            problems.append(str(error))


class AccessRefused(TunegateError):
    """A service knows who asks, or wants to, and refuses."""


class Unreachable(TunegateError):
    """A service does not answer, or has trouble of its own; it may be over later."""


class DigestMismatch(TunegateError):
    """An adapter is not the one that was evaluated."""


class NotReady(TunegateError):
    """A service did not become ready within its time."""


class Refused(TunegateError):
    """A release was refused, and whoever started it wants that to be a failure."""
