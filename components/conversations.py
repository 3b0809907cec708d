"""The train and eval sets as the stages exchange them: JSON lines of `messages`."""

import json
import random
from array import array
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any, Literal, overload

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
        """Return the turn as chat templates take it, without what it does not have.

        Args:
            for_api: As OpenAI's API takes it: the arguments of a call are a text there.
        """
        chat: dict[str, Any] = {"role": self.role, "content": self.content}
        if not (self.reasoning or self.tool_calls or self.name or self.tool_call_id):
            return chat  # as most are
        optional: dict[str, Any] = {
            # vLLM reads the first and gives templates both.
            "reasoning": self.reasoning,
            "reasoning_content": "" if for_api else self.reasoning,
            "tool_calls": [_call(call, for_api) for call in self.tool_calls],
            "name": self.name,
            "tool_call_id": self.tool_call_id,
        }
        return chat | {key: value for key, value in optional.items() if value}


def _call(call: ToolCall, for_api: bool) -> dict[str, Any]:
    arguments = json.dumps(call.arguments, ensure_ascii=False) if for_api else call.arguments
    named = {"id": call.id} if call.id else {}
    # In the order that vLLM hands them on: there are templates that write a call as it stands.
    return {**named, "function": {"arguments": arguments, "name": call.name}, "type": "function"}


class Prompt(BaseModel):
    """What a model is asked.

    Attributes:
        messages: The turns, of which the last is not the assistant's.
        tools: The tools that the assistant may call.
    """

    model_config = ConfigDict(frozen=True)

    messages: tuple[Message, ...] = Field(min_length=1)
    tools: tuple[dict[str, Any], ...] = ()

    def turns(self, for_api: bool = False) -> list[dict[str, Any]]:
        """Return the turns as chat templates take them, or as the API does."""
        return _in_turn(self.messages, for_api)


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
        return self.request.turns(for_api=True)

    @property
    def request(self) -> "Prompt":
        """What is asked: every turn before the answer, and the tools."""
        return Prompt(messages=self.messages[:-1], tools=self.tools)

    def turns(self) -> list[dict[str, Any]]:
        """Return every turn as chat templates take it."""
        return _in_turn(self.messages, for_api=False)

    @property
    def completion(self) -> str:
        """The text of the answer."""
        return self.messages[-1].content

    def as_json(self) -> str:
        """Return it as JSON on one line, without what it does not have."""
        return self.model_dump_json(exclude_defaults=True)


def _in_turn(messages: Sequence[Message], for_api: bool) -> list[dict[str, Any]]:
    """Return turns for a template or the API, in which every call has a name, and what answers it has that.

    Clients of the API have to name calls, so where a model is served there always is one; a row need not.
    """
    if all(message.role != "tool" and not message.tool_calls for message in messages):
        return [message.as_chat(for_api) for message in messages]
    turns: list[dict[str, Any]] = []
    number, unanswered = 0, list[str]()
    taken = {call.id for message in messages for call in message.tool_calls}
    for message in messages:
        turn = message.as_chat(for_api)
        for position, call in enumerate(turn.get("tool_calls", ())):
            number += 1
            while f"call{number:05}" in taken:
                number += 1
            turn["tool_calls"][position] = {"id": f"call{number:05}", **call}  # some templates want 9 signs
            unanswered.append(turn["tool_calls"][position]["id"])
        if message.role == "tool":
            answered = message.tool_call_id or next(iter(unanswered), "")
            if answered in unanswered:
                unanswered.remove(answered)
            turn |= {"tool_call_id": answered} if answered else {}
        turns.append(turn)
    return turns


def write_conversations(path: Path, rows: Iterable[Conversation]) -> int:
    """Write rows as JSON lines and return their number."""
    path.parent.mkdir(parents=True, exist_ok=True)
    count = 0
    with path.open("w", encoding="utf-8") as file:
        for row in rows:
            file.write(row.as_json() + "\n")
            count += 1
    return count


class Conversations(Sequence[Conversation]):
    """The rows that `write_conversations` wrote, read as they are asked for: in memory is where each begins.

    Args:
        path: Their file.
    """

    def __init__(self, path: Path) -> None:
        self._path, self._begins = path, array("Q")
        with path.open("rb") as file:
            begin = 0
            for line in file:
                self._begins.append(begin)
                begin += len(line)

    def __len__(self) -> int:
        return len(self._begins)

    def __iter__(self) -> Iterator[Conversation]:
        with self._path.open("rb") as file:
            for line in file:
                yield Conversation.model_validate_json(line)

    @overload
    def __getitem__(self, index: int) -> Conversation: ...
    @overload
    def __getitem__(self, index: slice) -> list[Conversation]: ...
    def __getitem__(self, index: int | slice) -> Conversation | list[Conversation]:
        if isinstance(index, slice):
            return [self[place] for place in range(len(self))[index]]
        with self._path.open("rb") as file:
            file.seek(self._begins[index])
            return Conversation.model_validate_json(file.readline())


def some_of(rows: Sequence[Conversation], most: int, seed: int) -> list[Conversation]:
    """Choose at most so many rows at random, the same for the same seed, in their order."""
    if len(rows) <= most:
        return list(rows)
    return [rows[index] for index in sorted(random.Random(seed).sample(range(len(rows)), most))]


def read_conversations(path: Path) -> list[Conversation]:
    """Read all that `write_conversations` wrote, where that is little."""
    return list(Conversations(path))
