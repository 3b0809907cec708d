"""Where in a text something was found that nobody is to read."""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Literal, get_args

What = Literal["secret", "card", "iban", "email", "phone"]
WHATS: tuple[What, ...] = get_args(What)
Found = tuple[str, ...]  # what is in a row, each kind once: `email`, `secret: github-pat`
Search = Callable[[Sequence[str]], Sequence[Found]]  # says what is in each of some texts that nobody may read


@dataclass(frozen=True, order=True)
class Span:
    """A part of a text.

    Attributes:
        start: Its first character.
        end: The character after its last.
        what: What it is.
        rule: What kind of secret, in the detector's words; empty for the others.
    """

    start: int
    end: int
    what: What
    rule: str = ""


def masked(text: str, spans: Iterable[Span]) -> str:
    """Return the text with a marker such as [email] in the place of each span; of two that overlap one."""
    parts, position = [], 0
    for start, end, what in _merged(spans):
        parts += [text[position:start], f"[{what}]"]
        position = end
    return "".join([*parts, text[position:]])


def _merged(spans: Iterable[Span]) -> list[tuple[int, int, What]]:
    """Join those that overlap, under the name that comes first in `WHATS`."""
    merged: list[tuple[int, int, What]] = []
    for span in sorted(spans):
        if merged and span.start < merged[-1][1]:
            start, end, what = merged[-1]
            merged[-1] = (start, max(end, span.end), min(what, span.what, key=WHATS.index))
        else:
            merged.append((span.start, span.end, span.what))
    return merged
