"""How long a row is to the model: tokens under the chat template that it is trained and served with."""

from collections.abc import Callable, Sequence

from components.conversations import Conversation
from components.dataset.rows import RowFlaw
from components.models import prepare_tokenizer
from components.templates.chat_tokenizer import ChatTokenizer
from components.templates.example import LearnTurns, Refused


def chat_tokenizer(base_model: str) -> ChatTokenizer:
    """Return the tokenizer of a base model, made ready on this machine first, without the weights.

    Raises:
        InvalidInput: There is no such model, or it has no chat template.
    """
    return ChatTokenizer(prepare_tokenizer(base_model))


def row_lengths(
    tokenizer: ChatTokenizer, learn: LearnTurns = "all"
) -> Callable[[Sequence[Conversation]], list[int | RowFlaw]]:
    """Return what counts the tokens of rows; a flaw where the chat template refuses one."""

    def lengths(rows: Sequence[Conversation]) -> list[int | RowFlaw]:
        found = tokenizer.lengths(rows, learn)
        return [RowFlaw(row.kind, row.why) if isinstance(row, Refused) else row for row in found]

    return lengths
