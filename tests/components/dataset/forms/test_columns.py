"""What `columns` may say, and that every problem with it is told at once."""

import pytest

from components.dataset.forms.columns import known_columns, read_columns
from components.errors import InvalidInput


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        pytest.param("", (), id="empty"),
        pytest.param("  ", (), id="blank"),
        pytest.param("prompt=question", (("prompt", "question"),), id="one"),
        pytest.param(
            " Prompt = My question ,completion=a=b",
            (("prompt", "My question"), ("completion", "a=b")),
            id="spaces-and-signs",
        ),
        pytest.param("unused=a, unused=b", (("unused", "a"), ("unused", "b")), id="unused-twice"),
    ],
)
def test_columns_are_read(text: str, expected: tuple[tuple[str, str], ...]):
    assert read_columns(text).named == expected
    assert known_columns(text) == text


def test_every_problem_is_told_at_once():
    with pytest.raises(InvalidInput) as caught:
        read_columns("question=prompt, prompt, prompt=a, prompt=b, completion=a, =x, tools=")
    told = caught.value.problems
    assert [problem.split(";")[0] for problem in told] == [
        "'question' is no meaning",
        "'prompt' names no field",
        "prompt is given twice",
        "field 'a' is given twice",
        "'' is no meaning",
        "'tools=' names no field",
    ]
    with pytest.raises(ValueError, match="prompt is given twice"):
        known_columns("prompt=a, prompt=b")


def test_messages_leave_no_room_for_a_prompt():
    with pytest.raises(InvalidInput, match="messages hold the prompt already"):
        read_columns("messages=a, prompt=b")


def test_an_endless_list_is_cut():
    with pytest.raises(InvalidInput, match="got 5000 fields, wanted at most 100"):
        read_columns(",".join(f"unused=f{number}" for number in range(5000)))
