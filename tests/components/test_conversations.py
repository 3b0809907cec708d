"""The sets as stages exchange them: what is written comes back, whole or row by row."""

import json
from pathlib import Path

import pytest

from components.conversations import (
    Conversation,
    Conversations,
    Message,
    ToolCall,
    read_conversations,
    some_of,
    write_conversations,
)

WEATHER = {"type": "function", "function": {"name": "weather", "parameters": {"type": "object"}}}


def plain(number: int) -> Conversation:
    asked = Message(role="user", content=f"Where is shelf {number}? \N{CAT FACE}\u2028")
    return Conversation(messages=(asked, Message(role="assistant", content="x" * number)))


WITH_TOOLS = Conversation(
    messages=(
        Message(role="user", content="Rain?"),
        Message(role="assistant", content="", tool_calls=(ToolCall(name="weather", arguments={"n": 1}),)),
        Message(role="tool", content="no", name="weather"),
        Message(role="assistant", content="No.", reasoning="It said no.", learned=False),
    ),
    tools=(WEATHER,),
)
ROWS = [*map(plain, range(50)), WITH_TOOLS]


@pytest.fixture
def path(tmp_path: Path) -> Path:
    write_conversations(tmp_path / "rows.jsonl", ROWS)
    return tmp_path / "rows.jsonl"


def test_all_that_is_written_comes_back(path: Path):
    assert read_conversations(path) == ROWS == list(Conversations(path))


def test_a_plain_row_is_written_without_what_it_does_not_have(path: Path):
    first = json.loads(path.read_text(encoding="utf-8").split("\n")[0])
    assert [set(turn) for turn in first["messages"]] == [{"role", "content"}] * 2 and set(first) == {
        "messages"
    }


def test_rows_are_read_as_they_are_asked_for(path: Path):
    rows = Conversations(path)
    assert len(rows) == 51 and rows[0] == ROWS[0] and rows[-1] == WITH_TOOLS
    assert rows[10:13] == ROWS[10:13] and rows[::25] == ROWS[::25]
    with pytest.raises(IndexError):
        rows[51]


@pytest.mark.parametrize("most", [1, 20, 50])
def test_some_rows_are_the_same_for_the_same_seed_and_in_order(path: Path, most: int):
    rows = Conversations(path)
    places = [ROWS.index(row) for row in some_of(rows, most, 3)]
    assert places == sorted(set(places)) and len(places) == most
    assert some_of(rows, most, 3) == some_of(ROWS, most, 3)
    assert some_of(rows, 51, 3) == ROWS


def test_no_rows(tmp_path: Path):
    write_conversations(tmp_path / "none.jsonl", [])
    assert not Conversations(tmp_path / "none.jsonl") and read_conversations(tmp_path / "none.jsonl") == []
