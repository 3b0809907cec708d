"""Near duplicates: which rows are, which short ones are not, and what stands in every row."""

from pathlib import Path
from random import Random

import numpy
import pytest

from components.conversations import Conversation, Message, ToolCall
from components.dataset.checks.near import NearDuplicates, asked_and_answered, near_duplicates
from components.dataset.checks.signatures import NoRoom, Signatures

LONG = (
    "I bought a large bag of food for my dog on Monday and when I opened it at home this morning there were "
    "small insects all over it, so what can I do now"
)


def compared(folder: Path, *rows: tuple[str, str]) -> NearDuplicates:
    signatures = Signatures(folder)
    signatures.add(rows)
    assert len(signatures) == len(rows)
    return near_duplicates(signatures, numpy.arange(len(signatures)))


@pytest.mark.parametrize(
    ("one", "other", "is_near"),
    [
        pytest.param("Where is shelf 3?", "Where is shelf 4?", False, id="a number in four words"),
        pytest.param("Where is shelf 3?", "where is   SHELF 3 !", True, id="case, punctuation, white space"),
        pytest.param("How much is a rabbit bowl?", "How much is a ferret bowl?", False, id="a word in six"),
        pytest.param(LONG, LONG.replace("Monday", "Tuesday"), True, id="a word in many"),
        pytest.param(LONG, f"Hello! {LONG}, please?", True, id="a word before and one behind"),
        pytest.param(LONG, " ".join(reversed(LONG.split())), False, id="the same words in another order"),
        pytest.param(
            "狗粮在哪里可以买到呢请问一下谢谢", "狗粮在哪里可以买到呢请问一下谢谢。", True, id="no spaces"
        ),
        pytest.param("狗粮在哪里", "猫粮多少钱", False, id="no spaces, another question"),
        pytest.param("???", "!!", False, id="no words"),
        pytest.param("\ud800", "x", False, id="half a character"),
    ],
)
def test_prompts(tmp_path: Path, one: str, other: str, is_near: bool):
    found = compared(tmp_path, (one, "Yes."), ("Something else", "No."), (other, "Yes."))
    assert found.by_prompt.tolist() == found.by_row.tolist() == ([0, 1, 0] if is_near else [0, 1, 2])
    assert found.pairs == ([(0, 2)] if is_near else [])


def test_another_answer_makes_another_row_but_no_other_prompt(tmp_path: Path):
    found = compared(
        tmp_path, (LONG, "Bring it back."), (LONG + "?", "Throw it away."), (LONG + "!", "bring it back")
    )
    assert found.by_prompt.tolist() == [0, 0, 0]
    assert found.by_row.tolist() == [0, 1, 0]


def test_what_stands_in_most_rows_makes_none_of_them_near(tmp_path: Path):
    words = [f"word{number}" for number in range(500)]
    questions = [" ".join(Random(number).sample(words, 6)) for number in range(100)]
    rows = [(f"{LONG} {question}", "Yes.") for question in questions]
    found = compared(tmp_path, *rows, (f"{LONG} {questions[7]}?", "Yes."))
    assert found.by_prompt.tolist() == [*range(100), 7]


def test_no_row_and_one_row(tmp_path: Path):
    assert compared(tmp_path).pairs == []
    assert compared(tmp_path, ("a", "b")).by_prompt.tolist() == [0]


def test_a_folder_that_cannot_be_written_to_is_told(tmp_path: Path):
    signatures = Signatures(tmp_path / "none")
    signatures.add([("a", "b"), ("c", "d")])
    with pytest.raises(NoRoom, match="No such file or directory"):
        near_duplicates(signatures, numpy.arange(len(signatures)))


@pytest.mark.parametrize("seed", range(3))
def test_batches_change_nothing_and_copies_are_all_found(tmp_path: Path, seed: int):
    random = Random(seed)
    words = [f"word{number}" for number in range(1000)]
    rows = [(" ".join(random.choices(words, k=30)), " ".join(random.choices(words, k=5))) for _ in range(500)]
    copies = [(f"{prompt} thanks", answer.upper()) for prompt, answer in rows[:100]]
    signatures = Signatures(tmp_path)
    for start in range(0, 600, 70):
        signatures.add([*rows, *copies][start : start + 70])
    found = near_duplicates(signatures, numpy.arange(len(signatures)))
    assert found.by_row.tolist()[:500] == list(range(500))
    assert found.by_row.tolist()[500:] == list(range(100))


def test_what_the_system_says_does_not_count_and_calls_of_tools_do():
    call = ToolCall(name="find", arguments={"shelf": 3})
    row = Conversation(
        messages=(
            Message(role="system", content="Be kind."),
            Message(role="user", content="Where?"),
            Message(role="assistant", content="", tool_calls=(call,)),
        )
    )
    assert asked_and_answered(row) == ("Where?", "\nfind {'shelf': 3}")
