"""How long a row is to the model: tokens under the chat template that it is trained and served with."""

from collections.abc import Callable, Sequence

from components.conversations import Conversation
from components.dataset.encoded_rows import EncodedRows
from components.dataset.rows import RowFlaw
from components.models import prepare_tokenizer
from components.templates.chat_tokenizer import ChatTokenizer
from components.templates.example import LearnTurns, Refused
from components.templates.work import BATCH_ROWS


def chat_tokenizer(base_model: str) -> ChatTokenizer:
    """Return the tokenizer of a base model, made ready on this machine first, without the weights.

    Raises:
        InvalidInput: There is no such model, or it has no chat template.
    """
    return ChatTokenizer(prepare_tokenizer(base_model))


def row_lengths(
    tokenizer: ChatTokenizer, learn: LearnTurns = "all", encoded: EncodedRows | None = None
) -> Callable[[Sequence[Conversation]], list[int | RowFlaw]]:
    """Return what counts the tokens of rows; a flaw where the chat template refuses one.

    Args:
        tokenizer: Of the base model.
        learn: Which turns of the assistant are learned.
        encoded: Keeps the tokens of all rows that are counted, in their order; None: they are not kept.
    """

    def lengths(rows: Sequence[Conversation]) -> list[int | RowFlaw]:
        found: list[int | RowFlaw] = []
        for first in range(0, len(rows), BATCH_ROWS):
            measured = tokenizer.measure(rows[first : first + BATCH_ROWS], learn)
            if encoded is not None:
                encoded.add([() if isinstance(row, Refused) else row.examples for row in measured])
            found += [
                RowFlaw(row.kind, row.why) if isinstance(row, Refused) else row.tokens for row in measured
            ]
        return found

    return lengths
