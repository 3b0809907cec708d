"""Tokens are counted under the base model's own chat template, as fine-tuning counts them."""

from pathlib import Path

import pytest

from components.conversations import Conversation, Message
from components.dataset.lengths import chat_tokenizer, row_lengths
from components.dataset.rows import RowFlaw
from components.errors import InvalidInput
from components.finetune.data import encode
from components.templates.chat_tokenizer import ChatTokenizer


def conversation(question: str, answer: str = "Yes.", system: str = "") -> Conversation:
    turns = (Message(role="user", content=question), Message(role="assistant", content=answer))
    return Conversation(messages=(Message(role="system", content=system), *turns) if system else turns)


@pytest.fixture(scope="module")
def tokenizer(tiny_model: Path) -> ChatTokenizer:
    return ChatTokenizer(tiny_model)


@pytest.mark.parametrize(
    ("row", "tokens"),
    [
        # The tiny tokenizer has a token for each byte, the template two more for each turn.
        pytest.param(conversation("Where?"), 6 + 4 + 2 * 2, id="question-and-answer"),
        pytest.param(conversation("Where?", system="Brief."), 6 + 6 + 4 + 3 * 2, id="system"),
        pytest.param(conversation("Wo ist Käse?"), 13 + 4 + 2 * 2, id="two-bytes-a-character"),
    ],
)
def test_counts_the_whole_conversation(tokenizer: ChatTokenizer, row: Conversation, tokens: int):
    assert row_lengths(tokenizer)([row, row]) == [tokens, tokens]


def test_a_control_token_in_the_text_is_a_flaw_of_that_row_alone(tokenizer: ChatTokenizer):
    flaw, fine = row_lengths(tokenizer)([conversation("Bye<|end|>"), conversation("Bye")])
    assert isinstance(flaw, RowFlaw) and flaw.kind == "control_token" and "<|end|>" in flaw.why
    assert fine == 3 + 4 + 2 * 2


def test_counts_what_fine_tuning_sees(tokenizer: ChatTokenizer, tiny_model: Path):
    row = conversation("Where?", system="Brief.")
    (example,) = encode([row], ChatTokenizer(tiny_model), 100)
    assert row_lengths(tokenizer)([row]) == [len(example.tokens)]


def test_a_base_model_that_is_not_there_is_refused(state: Path, tmp_path: Path):
    with pytest.raises(InvalidInput, match="base_model"):
        chat_tokenizer(str(tmp_path / "none"))
