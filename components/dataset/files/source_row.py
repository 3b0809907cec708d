"""A row as it stood in a file."""

from dataclasses import dataclass

from components.dataset.rows import RowFlaw

EXCERPT_CHARACTERS = 240
# So much of a row is held: whatever begins in its excerpt and is not to be shown is told by its whole.
HELD_CHARACTERS = 16 << 10


@dataclass(frozen=True)
class SourceRow:
    """One row as it stood in a file.

    Attributes:
        line: Line on which it begins, from 1; in Parquet, which has no lines, the row's number.
        text: The beginning of the row as text, of which people are shown an excerpt.
        value: What was read, where it could be.
        flaw: Why it could not be read.
        size: How many characters it had.
        file: What it stood in; empty where the whole set is of one file.
        side: `train` or `eval` where the file itself says so.
    """

    line: int
    text: str
    value: object = None
    flaw: RowFlaw | None = None
    size: int = 0
    file: str = ""
    side: str = ""


def beginning(text: str) -> str:
    """Return as much of a row as its excerpt is made of."""
    return text[:HELD_CHARACTERS].encode("utf-8", "backslashreplace").decode()
