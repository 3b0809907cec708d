"""Forms of rows: each known one becomes a conversation, every other one says what is wrong."""

from typing import Any

import pytest

from components.conversations import Conversation
from components.dataset.rows import RowFlaw, to_conversation


def turns(conversation: Conversation) -> list[tuple[str, str]]:
    return [(message.role, message.content) for message in conversation.messages]


ASKED = [("user", "Where?"), ("assistant", "Here.")]


@pytest.mark.parametrize(
    ("row", "expected"),
    [
        pytest.param({"instruction": "Where?", "output": "Here."}, ASKED, id="instruction"),
        pytest.param({"instruction": " Where? ", "input": None, "output": "Here.\n"}, ASKED, id="stripped"),
        pytest.param(
            {"instruction": "Name the aisle.", "input": "Where?", "output": "Here."},
            [("user", "Name the aisle.\n\nWhere?"), ("assistant", "Here.")],
            id="instruction-and-input",
        ),
        pytest.param({"instruction": "", "input": "Where?", "output": "Here."}, ASKED, id="only-input"),
        pytest.param(
            {"system": "Be brief.", "instruction": "Where?", "output": "Here.", "id": 7},
            [("system", "Be brief."), *ASKED],
            id="system-and-unknown-field",
        ),
        pytest.param({"prompt": "Where?", "completion": " Here."}, ASKED, id="prompt"),
        pytest.param(
            {
                "prompt": [{"role": "user", "content": "Where?"}],
                "completion": [{"role": "assistant", "content": "Here."}],
            },
            ASKED,
            id="prompt-of-messages",
        ),
        pytest.param(
            {"messages": [{"role": r, "content": c} for r, c in [("system", "S"), *ASKED, *ASKED]]},
            [("system", "S"), *ASKED, *ASKED],
            id="messages-of-several-turns",
        ),
        pytest.param(
            {"messages": [{"role": r, "content": c} for r, c in [("system", " "), *ASKED]]},
            ASKED,
            id="empty-system-is-none",
        ),
        pytest.param(
            {"conversations": [{"from": "human", "value": "Where?"}, {"from": "gpt", "value": "Here."}]},
            ASKED,
            id="sharegpt",
        ),
    ],
)
def test_known_forms(row: dict[str, Any], expected: list[tuple[str, str]]):
    assert turns(to_conversation(row)) == expected


def messages(*roles_and_texts: tuple[Any, Any]) -> dict[str, Any]:
    return {"messages": [{"role": role, "content": text} for role, text in roles_and_texts]}


@pytest.mark.parametrize(
    ("row", "kind", "words"),
    [
        pytest.param([1], "not_an_object", "is a list; wanted an object", id="list"),
        pytest.param(None, "not_an_object", "is null", id="null"),
        pytest.param(
            {"question": "Q", "answer": "A"}, "no_known_form", "has question, answer; wanted", id="form"
        ),
        pytest.param({}, "no_known_form", "no field at all", id="nothing"),
        pytest.param({"instruction": "Q"}, "missing_field", "output: missing", id="no-output"),
        pytest.param({"output": "A"}, "missing_field", "instruction: missing", id="no-instruction"),
        pytest.param({"completion": "A"}, "missing_field", "prompt: missing", id="no-prompt"),
        pytest.param({"messages": None}, "missing_field", "messages: missing", id="no-messages"),
        pytest.param(
            {"messages": [{"role": "user"}]}, "missing_field", "turn 1: content: missing", id="no-content"
        ),
        pytest.param(
            {"instruction": "Q", "output": 5}, "wrong_type", "output: got a number (5)", id="number"
        ),
        pytest.param({"prompt": {}, "completion": "A"}, "wrong_type", "prompt: got an object", id="object"),
        pytest.param(
            {"messages": "Q"}, "wrong_type", "messages: got a text (Q), wanted a list", id="no-list"
        ),
        pytest.param({"messages": ["Q"]}, "wrong_type", "turn 1: got a text (Q)", id="no-turn"),
        pytest.param(
            {"prompt": "Q", "completion": "\ud800"}, "not_text", "\\ud800 is half a character", id="half"
        ),
        pytest.param({"messages": []}, "wrong_turns", "turns are none", id="no-turns"),
        pytest.param(messages(("tool", "x")), "wrong_turns", "role is 'tool', wanted one of", id="role"),
        pytest.param(messages(("user", "Q")), "wrong_turns", "turns are user; wanted", id="no-answer"),
        pytest.param(messages(("assistant", "A")), "wrong_turns", "turns are assistant", id="no-question"),
        pytest.param(messages(("user", "Q"), ("user", "Q")), "wrong_turns", "user, user", id="out-of-turn"),
        pytest.param(
            messages(("user", "Q"), ("system", "S"), ("assistant", "A")),
            "wrong_turns",
            "system",
            id="late-system",
        ),
        pytest.param(
            {"instruction": " ", "output": "A"}, "empty_prompt", "prompt is empty", id="empty-prompt"
        ),
        pytest.param(
            {"prompt": "Q", "completion": "\n"}, "empty_answer", "answer is empty", id="empty-answer"
        ),
    ],
)
def test_flaws(row: object, kind: str, words: str):
    with pytest.raises(RowFlaw) as caught:
        to_conversation(row)
    assert caught.value.kind == kind
    assert words in caught.value.why
