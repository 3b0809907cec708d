"""Tools, calls and what calls give back, in the ways in which files write them."""

import json
from typing import Any

import pytest

from components.conversations import Conversation
from components.dataset.rows import RowFlaw, to_conversation

FIND = {"name": "find", "description": "Find a shelf.", "parameters": {"type": "object", "properties": {}}}
TOOL = {"type": "function", "function": FIND}
ASK = {"role": "user", "content": "Where?"}
CALL = {"name": "find", "arguments": {"item": "ball"}}
SAY = {"role": "assistant", "content": "Here."}


def openai(*calls: dict[str, Any], given_back: str = "aisle 4") -> dict[str, Any]:
    """A row in which the assistant calls, is answered, and says."""
    back = [{"role": "tool", "tool_call_id": "c1", "content": given_back} for _ in calls]
    asked = {"role": "assistant", "content": None, "tool_calls": list(calls)}
    return {"messages": [ASK, asked, *back, SAY]}


def nested(depth: int) -> dict[str, Any]:
    return {"a": nested(depth - 1)} if depth else {}


def roles(conversation: Conversation) -> list[str]:
    return [message.role for message in conversation.messages]


@pytest.mark.parametrize(
    "tools",
    [
        pytest.param([TOOL], id="openai"),
        pytest.param([FIND], id="bare"),
        pytest.param(json.dumps([TOOL]), id="json-text"),
        pytest.param(json.dumps([FIND]), id="bare-json-text"),
        pytest.param([json.dumps(FIND)], id="list-of-json-texts"),
        pytest.param(TOOL, id="one"),
        pytest.param(
            [{"type": "function", "function": {**FIND, "strict": None}, "name": None}], id="padded-with-null"
        ),
    ],
)
@pytest.mark.parametrize("name", ["tools", "functions"])
@pytest.mark.parametrize(
    "row",
    [
        pytest.param({"messages": [ASK, SAY]}, id="messages"),
        pytest.param({"instruction": "Where?", "output": "Here."}, id="pair"),
    ],
)
def test_tools_beside_a_row_are_kept(row: dict[str, Any], name: str, tools: object):
    conversation = to_conversation({**row, name: tools})
    assert conversation.tools == (TOOL,)
    assert roles(conversation) == ["user", "assistant"]


@pytest.mark.parametrize(
    "call",
    [
        pytest.param({"id": "c1", "type": "function", "function": CALL}, id="openai"),
        pytest.param(
            {"id": "c1", "type": "function", "function": {**CALL, "arguments": '{"item": "ball"}'}},
            id="arguments-as-json-text",
        ),
        pytest.param({"id": "c1", **CALL}, id="bare"),
        pytest.param({"id": "c1", "name": "find", "parameters": {"item": "ball"}}, id="parameters"),
        pytest.param(
            {"id": "c1", "function": {**CALL, "arguments": {"item": "ball", "colour": None}}},
            id="padded-with-null",
        ),
    ],
)
def test_calls_are_read_with_their_arguments_and_answers(call: dict[str, Any]):
    conversation = to_conversation(openai(call))
    assert roles(conversation) == ["user", "assistant", "tool", "assistant"]
    (read,) = conversation.messages[1].tool_calls
    assert (read.name, read.arguments, read.id) == ("find", {"item": "ball"}, "c1")
    assert conversation.messages[2].tool_call_id == "c1"
    assert conversation.messages[2].content == "aisle 4"


@pytest.mark.parametrize(
    ("call", "back"),
    [
        pytest.param("function_call", "observation", id="sharegpt"),
        pytest.param("tool_call", "tool_response", id="tool-response"),
        pytest.param("function_call", "function", id="function"),
        pytest.param("function_call", "ipython", id="ipython"),
    ],
)
@pytest.mark.parametrize(
    "written", [json.dumps(CALL), CALL, json.dumps([CALL])], ids=["text", "object", "list"]
)
def test_calls_in_turns_of_their_own(call: str, back: str, written: object):
    turns = [("human", "Where?"), (call, written), (back, '{"aisle": 4}'), ("gpt", "Here.")]
    conversation = to_conversation({"conversations": [{"from": f, "value": v} for f, v in turns]})
    assert roles(conversation) == ["user", "assistant", "tool", "assistant"]
    assert conversation.messages[1].tool_calls[0].arguments == {"item": "ball"}
    assert conversation.messages[2].content == '{"aisle": 4}'


def test_a_null_that_somebody_wrote_stays_an_argument():
    conversation = to_conversation(openai({"name": "find", "arguments": '{"item": null}'}))
    assert conversation.messages[1].tool_calls[0].arguments == {"item": None}


def test_calls_behind_what_the_assistant_says_are_one_turn_with_it():
    turns = [("human", "Where?"), ("gpt", "Let me see."), ("function_call", CALL), ("function_call", CALL)]
    turns += [("observation", "4"), ("observation", "5"), ("gpt", "Here.")]
    conversation = to_conversation({"conversations": [{"from": f, "value": v} for f, v in turns]})
    assert roles(conversation) == ["user", "assistant", "tool", "tool", "assistant"]
    assert conversation.messages[1].content == "Let me see."
    assert len(conversation.messages[1].tool_calls) == 2


def tagged(call: str, *back: str) -> dict[str, Any]:
    turns = [("human", "Where?"), ("gpt", call), *(("tool", text) for text in back), ("gpt", "Here.")]
    return {"conversations": [{"from": role, "value": text} for role, text in turns]}


def test_calls_in_tags_are_calls_where_a_tool_answers():
    call = f"Let me see.\n<tool_call>\n{json.dumps(CALL)}\n</tool_call>"
    row = tagged(
        f"{call}\n{call.partition('.')[2]}",
        "<tool_response>\n4\n</tool_response><tool_response>5</tool_response>",
    )
    conversation = to_conversation(row)
    assert roles(conversation) == ["user", "assistant", "tool", "tool", "assistant"]
    assert conversation.messages[1].content == "Let me see."
    assert [read.name for read in conversation.messages[1].tool_calls] == ["find", "find"]
    assert [back.content for back in conversation.messages[2:4]] == ["4", "5"]


def test_a_call_in_tags_that_no_tool_answers_is_text():
    call = f"<tool_call>{json.dumps(CALL)}</tool_call>"
    answer = to_conversation({"prompt": "Where?", "completion": call}).messages[-1]
    assert (answer.content, answer.tool_calls) == (call, ())


@pytest.mark.parametrize(
    "call",
    [
        pytest.param("<tool_call>{'name': 'find'}</tool_call>", id="no-json"),
        pytest.param("<tool_call>{} never ends", id="no-end"),
        pytest.param(f"<tool_call>{json.dumps(CALL)}</tool_call> Done.", id="text-behind-it"),
    ],
)
def test_tags_that_hold_no_call_are_refused_where_a_tool_answers(call: str):
    with pytest.raises(RowFlaw, match="a tool's follows a call"):
        to_conversation(tagged(call, "4"))


def test_the_old_function_call_is_a_call():
    asked = {"role": "assistant", "content": None, "function_call": {"name": "find", "arguments": "{}"}}
    back = {"role": "function", "name": "find", "content": "aisle 4"}
    conversation = to_conversation({"messages": [ASK, asked, back, SAY], "functions": [FIND]})
    assert conversation.messages[1].tool_calls[0].name == "find"
    assert conversation.messages[2].name == "find"
    assert conversation.tools == (TOOL,)


def test_a_row_may_end_with_a_call():
    asked = {"role": "assistant", "content": "", "tool_calls": [CALL]}
    assert to_conversation({"messages": [ASK, asked]}).messages[-1].tool_calls[0].name == "find"


@pytest.mark.parametrize(
    ("row", "kind", "words"),
    [
        pytest.param({"messages": [ASK, SAY], "tools": "find"}, "wrong_type", "tools: got a text", id="text"),
        pytest.param({"messages": [ASK, SAY], "tools": ["find"]}, "wrong_type", "tool 1: got", id="names"),
        pytest.param({"messages": [ASK, SAY], "tools": [{}]}, "wrong_type", "tool 1: has no", id="no-name"),
        pytest.param(
            {"messages": [ASK, SAY], "tools": [{"name": "a\ud800"}]}, "not_text", "half a", id="half"
        ),
        pytest.param(
            {"messages": [ASK, SAY], "tools": [{"name": "a", "parameters": nested(100)}]},
            "wrong_type",
            "nested over 50 deep",
            id="deep-tools",
        ),
        pytest.param(
            openai({"name": "find", "arguments": json.dumps(nested(100))}),
            "wrong_type",
            "nested over 50 deep",
            id="deep-arguments",
        ),
        pytest.param(openai({"function": {"arguments": {}}}), "wrong_type", "call 1: has no name", id="call"),
        pytest.param(
            openai({"name": "find", "arguments": "ball"}), "wrong_type", "arguments: got a text", id="args"
        ),
        pytest.param(
            openai({"name": "find", "arguments": [1]}), "wrong_type", "arguments: got a list", id="args-list"
        ),
        pytest.param(
            openai({"name": "find", "arguments": '{"item": "bed", "item": "food"}'}),
            "ambiguous",
            "has item more than once",
            id="a-name-twice-in-args",
        ),
        pytest.param(
            {"messages": [ASK, SAY], "tools": ['{"name": "find", "name": "other"}']},
            "ambiguous",
            "has name more than once",
            id="a-name-twice-in-a-tool",
        ),
        pytest.param(
            {"messages": [ASK, {"role": "assistant", "content": "A", "tool_calls": [CALL]}, ASK, SAY, SAY]},
            "wrong_turns",
            "assistant",
            id="two-answers",
        ),
        pytest.param(
            {"messages": [ASK, SAY], "tools": [FIND], "functions": [{"name": "other"}]},
            "ambiguous",
            "tools and functions",
            id="two-lists",
        ),
    ],
)
def test_flaws(row: dict[str, Any], kind: str, words: str):
    with pytest.raises(RowFlaw) as caught:
        to_conversation(row)
    assert caught.value.kind == kind
    assert words in caught.value.why
