"""Tokens are counted under the base model's own chat template."""

from pathlib import Path

import pytest

from components.conversations import Conversation, Message
from components.dataset.lengths import ChatTokenizer, chat_tokenizer
from components.dataset.rows import RowFlaw
from components.errors import InvalidInput


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
    assert tokenizer.lengths([row, row]) == [tokens, tokens]


def test_a_control_token_in_the_text_is_a_flaw_of_that_row_alone(tokenizer: ChatTokenizer):
    flaw, fine = tokenizer.lengths([conversation("Bye<|end|>"), conversation("Bye")])
    assert isinstance(flaw, RowFlaw) and flaw.kind == "control_token" and "<|end|>" in flaw.why
    assert fine == 3 + 4 + 2 * 2


def with_template(tiny_model: Path, path: Path, template: str) -> Path:
    from transformers import AutoTokenizer

    tokenizer = AutoTokenizer.from_pretrained(str(tiny_model))
    tokenizer.chat_template = template
    tokenizer.save_pretrained(path)
    return path


def test_a_row_that_the_template_refuses_is_a_flaw(tiny_model: Path, tmp_path: Path):
    template = (
        "{% for m in messages %}{% if m['role'] == 'system' %}{{ raise_exception('no system turns') }}"
        "{% endif %}{{ m['content'] }}{% endfor %}"
    )
    tokenizer = ChatTokenizer(with_template(tiny_model, tmp_path, template))
    flaw, fine = tokenizer.lengths([conversation("Q", system="S"), conversation("Q")])
    assert isinstance(flaw, RowFlaw) and flaw.kind == "template_refused" and "no system turns" in flaw.why
    assert fine == 1 + 4


def test_a_base_model_without_a_chat_template_is_refused(tiny_model: Path, tmp_path: Path):
    from transformers import AutoTokenizer

    tokenizer = AutoTokenizer.from_pretrained(str(tiny_model))
    tokenizer.chat_template = None
    tokenizer.save_pretrained(tmp_path)
    with pytest.raises(InvalidInput, match="no chat template; take the model's instruct"):
        ChatTokenizer(tmp_path)


def test_a_base_model_that_is_not_there_is_refused(state: Path, tmp_path: Path):
    with pytest.raises(InvalidInput, match="base_model"):
        chat_tokenizer(str(tmp_path / "none"))
