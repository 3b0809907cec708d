"""A file of tokens is read only where it was made with what is asked for, and whole."""

from array import array
from dataclasses import replace
from pathlib import Path

import pytest

from components.templates.chat_tokenizer import ChatTokenizer
from components.templates.encoded import MadeWith, Unusable, open_encoded, write_encoded
from components.templates.example import Example
from components.templates.examples import Examples, record_batch
from tests.components.templates import families
from tests.components.templates.families import with_template

MADE_WITH = MadeWith("sha256:1", "all", "sha256:2")
EXAMPLE = Example(array("i", [5, 6, 7]), ((1, 3),))


@pytest.fixture
def file(tmp_path: Path) -> Path:
    write_encoded(tmp_path / "tokens", [record_batch([(EXAMPLE,)])] * 2, MADE_WITH, 100)
    return tmp_path / "tokens"


def test_it_is_read_by_who_asks_for_what_it_was_made_with(file: Path):
    examples = Examples(open_encoded(file, MADE_WITH))
    file.unlink()  # what is mapped does not need the name
    assert list(examples) == [EXAMPLE, EXAMPLE]


@pytest.mark.parametrize(
    ("change", "why"),
    [
        pytest.param({"tokenizer": "sha256:3"}, "made with another tokenizer or chat template", id="model"),
        pytest.param({"learn_turns": "last"}, "made with another learn_turns", id="learned-turns"),
        pytest.param({"train_set": "sha256:3"}, "made with another training set", id="rows"),
        pytest.param(
            {"tokenizer": "", "train_set": ""},
            "another tokenizer or chat template and another training set",
            id="all-that-differs-is-told",
        ),
    ],
)
def test_what_it_was_made_with_is_compared(file: Path, change: dict[str, str], why: str):
    with pytest.raises(Unusable, match=why):
        open_encoded(file, replace(MADE_WITH, **change))


@pytest.mark.parametrize("share", [0.0, 0.1, 0.5, 0.99])
def test_a_part_of_it_is_not_read(file: Path, share: float):
    content = file.read_bytes()
    file.write_bytes(content[: int(share * len(content))])
    with pytest.raises(Unusable, match="no whole file of tokens"):
        open_encoded(file, MADE_WITH)


def test_one_that_is_not_there_is_told(tmp_path: Path):
    with pytest.raises(Unusable, match="no whole file of tokens"):
        open_encoded(tmp_path / "none", MADE_WITH)


def test_the_digest_follows_from_what_the_tokenizer_says(tiny_model: Path, tmp_path: Path):
    same = with_template(tiny_model, families.PLAIN, tmp_path / "same")
    copy = with_template(tiny_model, families.PLAIN, tmp_path / "copy")
    other = with_template(tiny_model, families.CHATML_TOOLS, tmp_path / "other")
    used = ChatTokenizer(copy)
    used._tokens.of(["any"])
    assert ChatTokenizer(same).digest == used.digest
    assert ChatTokenizer(same).digest != ChatTokenizer(other).digest
