"""A row is rendered for training as vLLM renders what a client sends of it."""

import json
from typing import Any

import pytest

from components.conversations import Conversation
from components.templates.rendering import as_served

TOOLS = [
    pytest.param({"type": "function", "function": {"name": "price"}}, id="a-name-alone"),
    pytest.param(
        {
            "function": {
                "parameters": {"type": "object", "properties": {"b": {}, "a": {}}},
                "description": "What it costs",
                "name": "price",
                "strict": True,
                "returns": "a number",
            },
            "type": "function",
        },
        id="another-order-and-a-field-that-is-not-known",
    ),
]


@pytest.mark.parametrize("tool", TOOLS)
def test_tools(tool: dict[str, Any]) -> None:
    pytest.importorskip("vllm")
    from vllm.entrypoints.openai.chat_completion.protocol import ChatCompletionToolsParam

    served = [ChatCompletionToolsParam.model_validate(tool).model_dump()]

    assert json.dumps(as_served([tool])) == json.dumps(served)  # order included


def test_turns_with_calls_results_and_reasoning() -> None:
    pytest.importorskip("vllm")
    from vllm.entrypoints.openai.chat_completion.protocol import ChatCompletionRequest

    call = {"name": "price", "arguments": {"b": [1], "a": "Käse"}}
    row = Conversation.model_validate(
        {
            "messages": [
                {"role": "user", "content": "Cost?"},
                {"role": "assistant", "content": "", "reasoning": "Look.", "tool_calls": [call, call]},
                {"role": "tool", "content": "1", "name": "price"},
                {"role": "tool", "content": "2", "tool_call_id": "call00002"},
                {"role": "assistant", "content": "2"},
            ]
        }
    )
    request = ChatCompletionRequest.model_validate({"messages": row.prompt, "tools": None})
    received = [dict(message) for message in request.messages]
    calls: Any = list(received[1]["tool_calls"])

    ours = row.turns()[:-1]
    assert [call["id"] for call in calls] == ["call00001", "call00002"]
    for theirs, own in zip(calls, ours[1]["tool_calls"], strict=True):
        theirs["function"]["arguments"] = json.loads(theirs["function"]["arguments"])  # as vLLM does
        assert json.dumps(own) == json.dumps(theirs)
    received[1] |= {"tool_calls": calls, "reasoning_content": received[1]["reasoning"]}  # as vLLM does
    assert received == ours
