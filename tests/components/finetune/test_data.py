"""What is learned of a row: the completion and the end of its turn, and nothing else."""

import json
import shutil
import tempfile
from collections.abc import Sequence
from pathlib import Path

import pytest

from components.conversations import Conversation, Message, write_conversations
from components.errors import InvalidInput
from components.finetune.config import FinetuneConfig
from components.finetune.data import encode, training_examples
from components.oci.hashing import file_digest
from components.templates.chat_tokenizer import ChatTokenizer
from components.templates.encoded import MadeWith, write_encoded
from components.templates.example import LearnTurns, Refused
from components.templates.examples import record_batch


def _row(question: str, answer: str) -> Conversation:
    return Conversation(
        messages=(Message(role="user", content=question), Message(role="assistant", content=answer))
    )


def _decode(model: Path, tokens: Sequence[int]) -> str:
    from transformers import AutoTokenizer

    return str(AutoTokenizer.from_pretrained(str(model)).decode(list(tokens)))


def _with_template(model: Path, template: str, target: Path) -> Path:
    shutil.copytree(model, target)
    settings = json.loads((target / "tokenizer_config.json").read_text())
    settings.pop("chat_template", None)
    (target / "tokenizer_config.json").write_text(json.dumps(settings))
    (target / "chat_template.jinja").unlink(missing_ok=True)
    if template:
        (target / "chat_template.jinja").write_text(template)
    return target


def test_only_the_answer_and_its_end_of_turn_are_learned(tiny_model: Path) -> None:
    examples = encode([_row("Fish food?", "Aisle 3.")], ChatTokenizer(tiny_model), 100)

    example = examples[0]
    assert _decode(tiny_model, example.tokens[: example.first_learned]) == (
        "<|user|>Fish food?<|end|><|assistant|>"
    )
    assert _decode(tiny_model, example.tokens[example.first_learned :]) == "Aisle 3.<|end|>"
    assert example.learned_count == len("Aisle 3.") + 1
    assert examples.left_out == 0


@pytest.mark.parametrize(
    ("learn_turns", "learned"),
    [
        pytest.param("all", ["Hello<|end|>", "Yes<|end|>"], id="all"),
        pytest.param("last", ["Yes<|end|>"], id="last"),
    ],
)
def test_which_turns_of_a_conversation_are_learned(
    tiny_model: Path, learn_turns: LearnTurns, learned: list[str]
) -> None:
    row = Conversation(messages=_row("Hi", "Hello").messages + _row("Dogs?", "Yes").messages)

    (example,) = encode([row], ChatTokenizer(tiny_model), 100, learn_turns)

    assert [_decode(tiny_model, example.tokens[start:end]) for start, end in example.learned] == learned


def test_a_row_of_which_nothing_is_learned_is_left_out(tiny_model: Path) -> None:
    question, answer = _row("Dogs?", "No").messages
    unwanted = Conversation(messages=(question, answer.model_copy(update={"learned": False})))

    examples = encode([_row("Dogs?", "Yes"), unwanted], ChatTokenizer(tiny_model), 100)

    assert (len(examples), examples.left_out) == (1, 1)
    with pytest.raises(InvalidInput, match="no row has a turn to be learned"):
        encode([unwanted], ChatTokenizer(tiny_model), 100)


def test_what_the_template_writes_after_the_end_of_turn_is_not_learned(
    tiny_model: Path, tmp_path: Path
) -> None:
    template = (
        "{% for m in messages %}{{ '<|' + m['role'] + '|>' + m['content'] + '<|end|>\n' }}{% endfor %}"
        "{% if add_generation_prompt %}{{ '<|assistant|>' }}{% endif %}"
    )
    model = _with_template(tiny_model, template, tmp_path / "model")

    examples = encode([_row("Dogs?", "Yes")], ChatTokenizer(model), 100)

    assert _decode(model, examples[0].tokens[examples[0].first_learned :]) == "Yes<|end|>"


def test_an_answer_that_melts_into_the_prompt_is_cut_where_the_server_cuts(
    tiny_model: Path, tmp_path: Path
) -> None:
    model = tmp_path / "model"
    shutil.copytree(tiny_model, model)
    tokenizer = json.loads((model / "tokenizer.json").read_text())
    vocabulary = tokenizer["model"]["vocab"]
    vocabulary["Ġa"] = len(vocabulary)
    tokenizer["model"]["merges"] = [["Ġ", "a"]]  # a space and what follows it
    (model / "tokenizer.json").write_text(json.dumps(tokenizer))
    template = (
        "{% for m in messages %}{{ m['role'] + ': ' + m['content'] + '<|end|>' }}{% endfor %}"
        "{% if add_generation_prompt %}{{ 'assistant: ' }}{% endif %}"
    )
    model = _with_template(model, template, tmp_path / "melting")

    examples = encode([_row("Who?", "anna")], ChatTokenizer(model), 100)

    example = examples[0]
    assert _decode(model, example.tokens[: example.first_learned]).endswith("assistant: ")
    assert _decode(model, example.tokens[example.first_learned :]) == "anna<|end|>"


def test_rows_longer_than_max_length_are_left_out_whole(tiny_model: Path) -> None:
    examples = encode([_row("a", "b"), _row("a" * 200, "b")], ChatTokenizer(tiny_model), 50)

    assert (len(examples), examples.left_out) == (1, 1)


REFUSED = [
    pytest.param("", ["no chat template", "instruct or chat variant"], id="no-template"),
    pytest.param(
        "{% for m in messages %}{{ m['content'] }}<|end|>{% endfor %}"
        "{% if add_generation_prompt %}{{ 'Answer:' }}{% endif %}",
        ["training row 1", "not the beginning of the conversation", "Answer:", "Yes"],
        id="prompt-is-no-prefix",
    ),
    pytest.param(
        "{% for m in messages %}{{ '<|' + m['role'] + '|>' + m['content'] }}{% endfor %}"
        "{% if add_generation_prompt %}{{ '<|assistant|>' }}{% endif %}",
        ["no end-of-turn token", "<|end|>", "never stop"],
        id="answer-never-ends",
    ),
]


@pytest.mark.parametrize(("template", "words"), REFUSED)
def test_a_template_that_cannot_be_trained_on_is_refused(
    tiny_model: Path, tmp_path: Path, template: str, words: list[str]
) -> None:
    model = _with_template(tiny_model, template, tmp_path / "model")

    with pytest.raises(InvalidInput) as refused:
        encode([_row("Dogs?", "Yes")], ChatTokenizer(model), 100)

    for word in words:
        assert word in str(refused.value)


@pytest.mark.parametrize(
    ("rows", "words"),
    [
        pytest.param([], ["holds no row"], id="empty"),
        pytest.param(
            [_row("Dogs?", "Yes")],
            ["max_length: got 10", "the shortest row has 12 tokens"],
            id="all-too-long",
        ),
    ],
)
def test_a_set_without_a_usable_row_is_refused(
    tiny_model: Path, rows: list[Conversation], words: list[str]
) -> None:
    with pytest.raises(InvalidInput) as refused:
        encode(rows, ChatTokenizer(tiny_model), 10)

    for word in words:
        assert word in str(refused.value)


@pytest.fixture
def config(tiny_model: Path) -> FinetuneConfig:
    knobs = {
        "learning_rate": 1e-3,
        "num_train_epochs": 1,
        "per_device_train_batch_size": 2,
        "warmup_ratio": 0,
    }
    knobs |= {"gradient_accumulation_steps": 1, "lora_r": 1, "lora_alpha": 1, "lora_dropout": 0, "seed": 1}
    return FinetuneConfig(base_model=str(tiny_model), max_length=20, **knobs)


def _handed_on(folder: Path, model: Path, rows: list[Conversation]) -> tuple[Path, Path]:
    """Write a training set, and its tokens as the dataset stage does."""
    tokenizer = ChatTokenizer(model)
    train, tokens = folder / "train.jsonl", folder / "tokens"
    write_conversations(train, rows)
    batch = record_batch([row for row in tokenizer.encode(rows) if not isinstance(row, Refused)])
    write_encoded(tokens, [batch], MadeWith(tokenizer.digest, "all", file_digest(train)))
    return train, tokens


def test_tokens_that_are_handed_on_are_not_made_again(
    config: FinetuneConfig, tiny_model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    train, tokens = _handed_on(
        tmp_path, tiny_model, [_row("a", "b"), _row("a" * 50, "b"), _row("Dogs?", "Yes")]
    )
    said: list[str] = []
    made = training_examples(config, train, None, tiny_model, said.append)
    monkeypatch.setattr(ChatTokenizer, "encode", lambda *_: pytest.fail("rows were tokenised"))

    examples = training_examples(config, train, tokens, tiny_model, said.append)

    assert list(examples) == list(made)
    assert (len(examples), examples.left_out) == (2, 1)
    assert not said


@pytest.mark.parametrize("spoil", ["other-rows", "other-turns", "half-of-it", "not-there"])
def test_tokens_of_something_else_are_made_again_and_that_is_told(
    config: FinetuneConfig, tiny_model: Path, tmp_path: Path, spoil: str
) -> None:
    train, tokens = _handed_on(tmp_path, tiny_model, [_row("a", "b")])
    if spoil == "other-rows":
        write_conversations(train, [_row("c", "d")])
    elif spoil == "other-turns":
        config = config.model_copy(update={"learn_turns": "last"})
    elif spoil == "half-of-it":
        tokens.write_bytes(tokens.read_bytes()[:200])
    else:
        tokens.unlink()
    said: list[str] = []

    examples = training_examples(config, train, tokens, tiny_model, said.append)

    assert list(examples) == list(training_examples(config, train, None, tiny_model, said.append))
    (why,) = said
    assert "tokenised again" in why and "train_tokens" in why


def test_tokens_that_are_made_here_leave_no_file(
    tiny_model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    examples = encode([_row("a", "b")], ChatTokenizer(tiny_model), 100)

    assert not [*tmp_path.iterdir()]
    assert len(examples[0].tokens) == 6


def test_a_row_that_is_refused_is_named_by_its_number(
    tiny_model: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("components.finetune.data.BATCH_ROWS", 2)
    rows = [_row("a", "b")] * 4 + [_row("a", "<|end|>")]

    with pytest.raises(InvalidInput, match="training row 5: has the chat template's own token"):
        encode(iter(rows), ChatTokenizer(tiny_model), 100)
