"""The training set as examples: what the model sees of each row, and what it learns."""

from collections.abc import Sequence
from pathlib import Path

from components.conversations import Conversation
from components.errors import InvalidInput
from components.templates.chat_tokenizer import ChatTokenizer
from components.templates.example import Example, LearnTurns, Refused


def encode(
    rows: Sequence[Conversation], base_path: Path, max_length: int, learn_turns: LearnTurns = "all"
) -> tuple[list[Example], int]:
    """Put rows through the base model's chat template and mark what is learned.

    Args:
        rows: The training rows.
        base_path: Directory of the base model.
        max_length: Longest row, tokens.
        learn_turns: Which turns of the assistant are learned.

    Returns:
        The examples of the rows that are short enough, and the number of rows left out because they are
        not, or because nothing of them is to be learned.

    Raises:
        InvalidInput: There is no row, none is short enough, or the chat template can't be trained on.
    """
    tokenizer = ChatTokenizer(base_path)
    if not rows:
        raise InvalidInput("training set", ["holds no row; at least one is needed"])
    examples: list[Example] = []
    left_out = 0
    shortest: int | None = None
    for number, row in enumerate(tokenizer.encode(rows, learn_turns), start=1):
        if isinstance(row, Refused):
            problem = f"training row {number}: {row.why}"
            raise InvalidInput("chat template of the base model", [problem])
        longest = max((len(example.tokens) for example in row), default=0)
        if row:
            shortest = min(shortest or longest, longest)
        if row and longest <= max_length:
            examples += row
        else:
            left_out += 1
    if not examples and shortest is None:
        problem = f"no row has a turn to be learned (learn_turns: {learn_turns})"
        raise InvalidInput("training set", [problem])
    if not examples:
        problem = f"max_length: got {max_length}, but the shortest row has {shortest} tokens; raise it"
        raise InvalidInput("training set", [problem])
    return examples, left_out
