"""The train and eval sets as the stages exchange them: JSON lines of `messages`."""

import json
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field


class ToolCall(BaseModel):
    """A call of a tool that the assistant asks for."""

    model_config = ConfigDict(frozen=True)

    name: str
    arguments: dict[str, Any]
    id: str = ""


class Message(BaseModel):
    """One turn of a conversation.

    Attributes:
        role: Whose turn it is; a `tool`'s is what a call gave back.
        content: What is said; empty where the assistant only calls tools.
        reasoning: What the assistant thinks before it answers.
        tool_calls: What the assistant calls.
        name: The tool that a `tool`'s turn comes from, where that was said.
        tool_call_id: The call that a `tool`'s turn answers, where that was said.
        learned: Whether the assistant's turn may be learned.
    """

    model_config = ConfigDict(frozen=True)

    role: Literal["system", "user", "assistant", "tool"]
    content: str
    reasoning: str = ""
    tool_calls: tuple[ToolCall, ...] = ()
    name: str = ""
    tool_call_id: str = ""
    learned: bool = True

    def as_chat(self, for_api: bool = False) -> dict[str, Any]:
        """Return the turn as chat templates take it, or as the API does: there a call's arguments are a text.

        What it does not have is left out.
        """
        optional: dict[str, Any] = {
            # vLLM reads the first and gives templates both.
            "reasoning": self.reasoning,
            "reasoning_content": "" if for_api else self.reasoning,
            "tool_calls": [_call(call, for_api) for call in self.tool_calls],
            "name": self.name,
            "tool_call_id": self.tool_call_id,
        }
        return {"role": self.role, "content": self.content} | {
            key: value for key, value in optional.items() if value
        }


def _call(call: ToolCall, for_api: bool) -> dict[str, Any]:
    arguments = json.dumps(call.arguments, ensure_ascii=False) if for_api else call.arguments
    named = {"id": call.id} if call.id else {}
    # In the order that vLLM hands them on: there are templates that write a call as it stands.
    return {**named, "function": {"arguments": arguments, "name": call.name}, "type": "function"}


class Conversation(BaseModel):
    """One row: the turns, of which the last is the assistant's answer, the completion.

    Attributes:
        messages: The turns.
        tools: The tools that the assistant may call, as OpenAI's API and chat templates describe them.
    """

    model_config = ConfigDict(frozen=True)

    messages: tuple[Message, ...] = Field(min_length=2)
    tools: tuple[dict[str, Any], ...] = ()

    @property
    def prompt(self) -> list[dict[str, Any]]:
        """Every turn before the answer, as the OpenAI API takes them."""
        return self.turns(for_api=True)[:-1]

    def turns(self, for_api: bool = False) -> list[dict[str, Any]]:
        """Return every turn as chat templates take it, or as the API does.

        Calls without a name of their own, and what answers them, get one: clients of the API have to
        name them, so there is always one where the model is served.
        """
        if all(message.role != "tool" and not message.tool_calls for message in self.messages):
            return [message.as_chat(for_api) for message in self.messages]
        turns: list[dict[str, Any]] = []
        number, open_ids = 0, list[str]()
        for message in self.messages:
            turn = message.as_chat(for_api)
            for position, call in enumerate(turn.get("tool_calls", ())):
                number += 1
                turn["tool_calls"][position] = call = {"id": f"call{number:05}", **call}
                open_ids.append(call["id"])
            if message.role == "tool":
                answered = message.tool_call_id or next(iter(open_ids), "")
                if answered in open_ids:
                    open_ids.remove(answered)
                turn |= {"tool_call_id": answered} if answered else {}
            turns.append(turn)
        return turns

    @property
    def completion(self) -> str:
        """The text of the answer."""
        return self.messages[-1].content

    def as_json(self) -> str:
        """Return it as JSON on one line, without what it does not have."""
        return json.dumps(self.model_dump(exclude_defaults=True), ensure_ascii=False)


def write_conversations(path: Path, rows: Iterable[Conversation]) -> int:
    """Write rows as JSON lines and return their number."""
    path.parent.mkdir(parents=True, exist_ok=True)
    count = 0
    with path.open("w", encoding="utf-8") as file:
        for row in rows:
            file.write(row.as_json() + "\n")
            count += 1
    return count


def read_conversations(path: Path) -> list[Conversation]:
    """Read what `write_conversations` wrote."""
    return list(_lines(path))


def _lines(path: Path) -> Iterator[Conversation]:
    with path.open(encoding="utf-8") as file:
        for line in file:
            yield Conversation.model_validate_json(line)
