"""A few accepted rows as the model sees them, for the report."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from components.conversations import Conversation
from components.dataset.row_store import Row

# Returns pieces of text in their order, each with whether it is learned.
Marked = Callable[[Conversation], list[tuple[str, bool]]]
ROWS_SHOWN = 3
PIECE_CHARACTERS, ROW_CHARACTERS = 500, 1500


@dataclass(frozen=True)
class Sample:
    """One accepted row.

    Attributes:
        row: The row.
        seen: What the model sees of it, each piece with whether it is learned; empty where that is not known.
        cut: Whether there is more of it than is shown.
    """

    row: Row
    seen: list[tuple[str, bool]]
    cut: bool


def samples(rows: Sequence[Row], marked: Marked | None) -> list[Sample]:
    """Return rows from the beginning, the middle and the end.

    Args:
        rows: The accepted rows.
        marked: Tells what the model sees; None where there is no base model to ask.
    """
    places = (
        sorted({place * (len(rows) - 1) // (ROWS_SHOWN - 1) for place in range(ROWS_SHOWN)}) if rows else []
    )
    return [_sample(rows[place], marked(rows[place].view) if marked else []) for place in places]


def _sample(row: Row, pieces: list[tuple[str, bool]]) -> Sample:
    seen: list[tuple[str, bool]] = []
    room, cut = ROW_CHARACTERS, False
    for text, learned in pieces:
        if not room:
            return Sample(row, seen, cut=True)
        limit = min(room, PIECE_CHARACTERS)
        seen.append((_middle_out(text, limit), learned))
        cut = cut or len(text) > limit
        room -= min(len(text), limit)
    return Sample(row, seen, cut)


def _middle_out(text: str, limit: int) -> str:
    """Leave the middle of a long text out: how it begins and how it ends is what tells."""
    return text if len(text) <= limit else f"{text[: limit // 2]} … {text[len(text) - limit // 2 :]}"
