"""What a chat template leaves out of a row: it would be trained, and served, without it."""

import json
import re
from collections import Counter
from collections.abc import Container, Iterator
from functools import cached_property
from typing import Any

from components.conversations import Conversation, Message
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
    rendering = _Rendering(whole)
    for number, message in enumerate(row.messages[:-1], start=1):
        if message.role != "assistant" and not rendering.holds(message.content):
            return f"the base model's chat template leaves out the text of turn {number} ({message.role})"
    return ""


def missing_answer(message: Message, number: int, answer: str) -> str:
    """Return what a learned turn lacks in its own rendering; empty: nothing."""
    place, rendering = f"turn {number}; what is left out can't be learned", _Rendering(answer)
    if not rendering.holds(message.content):
        return f"the base model's chat template leaves out the text of {place}"
    if message.reasoning and not rendering.holds(message.reasoning):
        return f"the base model's chat template leaves out the reasoning of {place}"
    if message.tool_calls and not _has_calls(message, rendering):
        return f"the base model's chat template leaves out a part of the call of a tool in {place}"
    return ""


def _has_calls(message: Message, rendering: "_Rendering") -> bool:
    """Tell whether each part of the calls is rendered as often as it is there, beside what else is said."""
    said = f"{message.content}\n{message.reasoning}"
    texts, numbers = Counter[str](), Counter[str]()
    for call in message.tool_calls:
        for value in (call.name, *_scalars(call.arguments)):
            if isinstance(value, str):
                texts[value.strip()] += 1
            elif value is not None:  # which templates may leave out: it says that there is nothing
                numbers[json.dumps(value).lower()] += 1
    del texts[""]
    for text, times in texts.items():
        wanted = times + said.count(text)
        if not (rendering.holds(text) if wanted == 1 else rendering.count(text) >= wanted):
            return False
    if not numbers:
        return True
    found, apart = _count_numbers(rendering.text, numbers), _count_numbers(said, numbers)
    return all(found[number] >= times + apart[number] for number, times in numbers.items())


# What may be a number, at each place where one may begin: -1.5e-07 is three runs of letters and digits.
_NUMBER = re.compile(r"(?<!\w)(?=(-?\w+)([.+-]\w+)?([.+-]\w+)?)")


def _count_numbers(text: str, numbers: Container[str]) -> Counter[str]:
    """Count numbers, true and false where they are no part of a name or a longer number; True is true."""
    found = Counter[str]()
    for runs in _NUMBER.findall(text.lower()):
        number = ""
        for run in filter(None, runs):
            number += run
            if number in numbers:
                found[number] += 1
    return found


class _Rendering:
    """What a template made of something, and ways to look for what it was made of.

    Args:
        text: It.
    """

    def __init__(self, text: str) -> None:
        self.text = text

    @cached_property
    def _bare(self) -> str:
        return _unescaped(self.text)

    def holds(self, text: str) -> bool:
        """Tell whether a text stands in it: as it is, or as a part of a JSON text, or of one in another."""
        text = text.strip()
        return text in self.text or _in_json(text) in self._bare

    def count(self, text: str) -> int:
        """Return how often a text stands in it, in the ways that `holds` knows."""
        in_json = _in_json(text)
        plain, bare = self.text.count(text), self._bare.count(in_json)
        return max(plain, bare) if in_json == text else plain + bare


def _in_json(text: str) -> str:
    return _unescaped(json.dumps(text, ensure_ascii=False)[1:-1])


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
