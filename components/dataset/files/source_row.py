"""A row as it stood in a file."""

from dataclasses import dataclass

from components.dataset.files.text import MAX_ROW_CHARACTERS
from components.dataset.rows import RowFlaw
from components.errors import InvalidInput

EXCERPT_CHARACTERS = 240
# So much of a row is held: whatever begins in its excerpt and is not to be shown is told by its whole.
HELD_CHARACTERS = 16 << 10
MAX_COLUMNS = 1000  # of a table


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


def too_long() -> RowFlaw:
    """Return the flaw of a row that is not even read."""
    return RowFlaw("too_long", f"is longer than {MAX_ROW_CHARACTERS:,} characters, which no model takes")


def check_columns(count: int, name: str) -> None:
    """Refuse a table that has more columns than one of rows to train on has.

    Args:
        count: How many it has.
        name: What its file is called in an error.

    Raises:
        InvalidInput: They are too many.
    """
    if count > MAX_COLUMNS:
        problem = f"has {count:,} columns, over {MAX_COLUMNS:,}; write those that mean something"
        raise InvalidInput(name, [problem])


def beginning(text: str) -> str:
    """Return as much of a row as its excerpt is made of."""
    return text[:HELD_CHARACTERS].encode("utf-8", "backslashreplace").decode()
