"""Which field of a row is what, where somebody said so: `prompt=question, completion=answer`."""

from dataclasses import dataclass, field
from typing import Literal, get_args

from components.dataset.flaws import excerpt
from components.errors import InvalidInput

Meaning = Literal[
    "prompt",
    "context",
    "completion",
    "messages",
    "system",
    "history",
    "tools",
    "reasoning",
    "label",
    "chosen",
    "rejected",
    "unused",
]
MEANINGS: tuple[Meaning, ...] = get_args(Meaning)
MOST_COLUMNS = 100
EXAMPLE = "prompt=question, completion=answer"


@dataclass(frozen=True)
class Columns:
    """What fields were said to be.

    Attributes:
        named: Pairs of a meaning and a field, in the order in which they were given.
        text: What was given; it stands for the whole in comparisons, so that looking one up is cheap.
    """

    named: tuple[tuple[Meaning, str], ...] = field(default=(), compare=False)
    text: str = ""

    def meaning_of(self, name: str) -> Meaning | None:
        """Return what a field was said to be."""
        return next((meaning for meaning, column in self.named if column == name), None)


def read_columns(text: str) -> Columns:
    """Read `meaning=field, meaning=field`; the meanings are those of `MEANINGS`.

    Every meaning names one field, `unused` any number. A field's name may hold anything but a comma.

    Raises:
        InvalidInput: It can't be read, a meaning is unknown or given twice, or a field is given twice.
    """
    problems: list[str] = []
    named: list[tuple[Meaning, str]] = []
    pieces = [piece.strip() for piece in text.split(",")] if text.strip() else []
    for piece in pieces[:MOST_COLUMNS]:
        word, sign, column = (part.strip() for part in piece.partition("="))
        meaning = next((known for known in MEANINGS if known == word.lower()), None)
        if not sign or not column:
            problems.append(f"{excerpt(piece)!r} names no field; wanted such as {EXAMPLE}")
        elif meaning is None:
            problems.append(f"{excerpt(word)!r} is no meaning; wanted one of {', '.join(MEANINGS)}")
        elif meaning != "unused" and any(meaning == other for other, _ in named):
            problems.append(f"{meaning} is given twice; a row has one (more of the prompt is its context)")
        elif any(column == other for _, other in named):
            problems.append(f"field {excerpt(column)!r} is given twice; it can be one thing")
        else:
            named.append((meaning, column))
    if len(pieces) > MOST_COLUMNS:
        problems.append(f"got {len(pieces)} fields, wanted at most {MOST_COLUMNS}")
    meant = {meaning for meaning, _ in named}
    if "messages" in meant and meant & {"prompt", "context", "history"}:
        problems.append("messages hold the prompt already; name messages, or prompt and completion")
    if problems:
        raise InvalidInput("columns", problems)
    return Columns(tuple(named), text)


def known_columns(text: str) -> str:
    """Return `columns` as it was given.

    Raises:
        ValueError: It can't be read; every problem is named.
    """
    try:
        read_columns(text)
    except InvalidInput as error:
        raise ValueError("; ".join(error.problems)) from error
    return text
