"""The training set as examples: what the model sees of each row, and what it learns."""

from collections.abc import Callable, Iterable, Iterator
from itertools import islice
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING

from components.conversations import Conversation, Conversations
from components.errors import InvalidInput
from components.finetune.config import FinetuneConfig
from components.oci.hashing import file_digest
from components.templates.chat_tokenizer import ChatTokenizer
from components.templates.encoded import MadeWith, Unusable, open_encoded, write_encoded
from components.templates.example import LearnTurns, Refused
from components.templates.examples import Examples, record_batch
from components.templates.work import BATCH_ROWS

if TYPE_CHECKING:
    import pyarrow


def training_examples(
    config: FinetuneConfig,
    train_path: Path,
    tokens_path: Path | None,
    base_path: Path,
    say: Callable[[str], None],
) -> Examples:
    """Open the tokens of a training set, or make them where they are not those of this run.

    They follow from the training set and the base model alone, so it makes no other adapter.

    Args:
        config: The knobs.
        train_path: Conversations as JSON lines.
        tokens_path: The same rows as tokens, as the dataset stage wrote them; None: there are none.
        base_path: Directory of the base model.
        say: Is told why given tokens are not used.

    Raises:
        InvalidInput: There is no usable row, or the chat template can't be trained on.
        TunegateError: The disk is full.
    """
    tokenizer = ChatTokenizer(base_path)
    if tokens_path is not None:
        wanted = MadeWith(tokenizer.digest, config.learn_turns, file_digest(train_path))
        try:
            batches = open_encoded(tokens_path, wanted)
        except Unusable as error:
            say(f"the training set is tokenised again: train_tokens is {error}")
        else:
            return _usable(Examples(batches, config.max_length), config.max_length, config.learn_turns)
    return encode(Conversations(train_path), tokenizer, config.max_length, config.learn_turns)


def encode(
    rows: Iterable[Conversation], tokenizer: ChatTokenizer, max_length: int, learn_turns: LearnTurns = "all"
) -> Examples:
    """Put rows through the base model's chat template and mark what is learned.

    Their tokens are kept in a file that has no name any more when this returns.

    Args:
        rows: The training rows.
        tokenizer: Of the base model.
        max_length: Longest row, tokens.
        learn_turns: Which turns of the assistant are learned.

    Returns:
        The examples of the rows that are short enough.

    Raises:
        InvalidInput: There is no row, none is short enough, or the chat template can't be trained on.
        TunegateError: The disk is full.
    """
    with TemporaryDirectory(prefix="tunegate-") as folder:
        path = Path(folder) / "tokens.arrow"
        write_encoded(path, _batches(rows, tokenizer, learn_turns))
        examples = Examples(open_encoded(path), max_length)
    return _usable(examples, max_length, learn_turns)


def _batches(
    rows: Iterable[Conversation], tokenizer: ChatTokenizer, learn_turns: LearnTurns
) -> Iterator["pyarrow.RecordBatch"]:
    left, done = iter(rows), 0
    while batch := list(islice(left, BATCH_ROWS)):
        found = []
        for number, row in enumerate(tokenizer.encode(batch, learn_turns), start=done + 1):
            if isinstance(row, Refused):
                problem = f"training row {number}: {row.why}"
                raise InvalidInput("chat template of the base model", [problem])
            found.append(row)
        done += len(batch)
        yield record_batch(found)


def _usable(examples: Examples, max_length: int, learn_turns: LearnTurns) -> Examples:
    """Refuse a training set of which nothing is learned."""
    if len(examples):
        return examples
    if not examples.rows:
        problem = "holds no row; at least one is needed"
    elif examples.shortest is None:
        problem = f"no row has a turn to be learned (learn_turns: {learn_turns})"
    else:
        problem = (
            f"max_length: got {max_length}, but the shortest row has {examples.shortest} tokens; raise it"
        )
    raise InvalidInput("training set", [problem])
