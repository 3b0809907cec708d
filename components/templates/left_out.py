"""What a chat template leaves out of a row: it would be trained, and served, without it."""

import json
import re
from collections import Counter
from collections.abc import Iterator
from typing import Any

from components.conversations import Conversation, Message, ToolCall
from components.templates.rendering import Renderer, as_served


def texts(row: Conversation) -> Iterator[str]:
    """Yield every text that a row brings into the prompt or the answer."""
    for message in row.messages:
        yield message.content
        if message.reasoning:
            yield message.reasoning
        for call in message.tool_calls:
            yield call.name
            yield call.id
            yield from _leaves(call.arguments)
        if message.role == "tool":
            yield message.name
            yield message.tool_call_id
    yield from _leaves(list(row.tools))


def missing_tools(row: Conversation, whole: str, renderer: Renderer) -> str:
    """Return what is left out of tools and calls, found by rendering the row without them; empty: nothing."""
    tools = as_served(row.tools)
    turns = row.turns()
    if tools and renderer.render(turns) == whole:
        return "the base model's chat template has no place for tools, and the row has some"
    if any("tool_calls" in turn for turn in turns):
        bare = [{key: value for key, value in turn.items() if key != "tool_calls"} for turn in turns]
        if renderer.render(bare, tools) == whole:
            return "the base model's chat template leaves out the calls of tools"
    return ""


def missing_text(row: Conversation, whole: str) -> str:
    """Return which turn before the answer lacks its text in the rendering; empty: none.

    What the assistant said before is not looked for: templates shorten it on purpose.
    """
    for number, message in enumerate(row.messages[:-1], start=1):
        if message.role != "assistant" and not _holds(whole, message.content):
            return f"the base model's chat template leaves out the text of turn {number} ({message.role})"
    return ""


def missing_answer(message: Message, number: int, answer: str) -> str:
    """Return what a learned turn lacks in its own rendering; empty: nothing."""
    place = f"turn {number}; what is left out can't be learned"
    if not _holds(answer, message.content):
        return f"the base model's chat template leaves out the text of {place}"
    if message.reasoning and not _holds(answer, message.reasoning):
        return f"the base model's chat template leaves out the reasoning of {place}"
    # Two calls of one tool say its name twice: how often a part is there counts, not only whether.
    parts = Counter(part for call in message.tool_calls for part in _parts(call))
    for part, times in parts.items():
        is_number = isinstance(part, _Number)
        found = _count_number(answer, part) if is_number else _count(answer, part)
        if found < times + (0 if is_number else message.content.count(part)):
            return f"the base model's chat template leaves out a part of the call of a tool in {place}"
    return ""


class _Number(str):
    """A number, true or false as JSON has it."""

    __slots__ = ()


def _parts(call: ToolCall) -> Iterator[str]:
    """Yield what a call brings: texts without white space around them, and numbers."""
    for value in (call.name, *_scalars(call.arguments)):
        if isinstance(value, str):
            yield value.strip()
        elif value is not None:  # which templates may leave out: it says that there is nothing
            yield _Number(json.dumps(value))


def _count(rendering: str, text: str) -> int:
    """Return how often a text stands in a rendering, in the ways that `_holds` knows."""
    escaped = _unescaped(json.dumps(text, ensure_ascii=False)[1:-1])
    in_json = _unescaped(rendering).count(escaped)
    return max(rendering.count(text), in_json) if escaped == text else rendering.count(text) + in_json


def _count_number(rendering: str, number: str) -> int:
    """Return how often a number stands in a rendering and is no part of a name or a longer one."""
    return len(re.findall(rf"(?<!\w){re.escape(number)}(?!\w)", rendering, re.IGNORECASE))  # True, true


def _holds(rendering: str, text: str) -> bool:
    """Whether a text stands in a rendering: as it is, or as a part of a JSON text, or of one in another."""
    text = text.strip()
    if text in rendering:
        return True
    return _unescaped(json.dumps(text, ensure_ascii=False)[1:-1]) in _unescaped(rendering)


def _unescaped(text: str) -> str:
    return text.replace("\\", "")


def _leaves(value: Any) -> Iterator[str]:
    """Yield every key and text of a JSON value."""
    return (scalar for scalar in _scalars(value) if isinstance(scalar, str))


def _scalars(value: Any) -> Iterator[Any]:
    """Yield every key of a JSON value, and every value in it that holds no other."""
    waiting = [value]
    while waiting:
        value = waiting.pop()
        if isinstance(value, dict):
            waiting += [*value, *value.values()]
        elif isinstance(value, list | tuple):
            waiting += value
        else:
            yield value
