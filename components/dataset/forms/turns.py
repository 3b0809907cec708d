"""Lists of turns, as OpenAI's API, ShareGPT and their relatives write them."""

from typing import Any, Literal

from components.conversations import Message
from components.dataset.flaws import RowFlaw, described, excerpt
from components.dataset.forms import made
from components.dataset.forms.fields import MEDIA
from components.dataset.forms.tagged import responses, with_calls
from components.dataset.forms.texts import read_content, read_list, read_text, sound
from components.dataset.forms.tools import read_calls

Role = Literal["system", "user", "assistant", "tool", "call"]
TURNS = "a list of turns"
ROLES: dict[str, Role] = {
    "system": "system",
    "developer": "system",
    "user": "user",
    "human": "user",
    "assistant": "assistant",
    "gpt": "assistant",
    "model": "assistant",
    "tool": "tool",
    "function": "tool",
    "observation": "tool",
    "ipython": "tool",
    "tool_response": "tool",
    "function_call": "call",
    "tool_call": "call",
}
ROLE_FIELDS, TEXT_FIELDS = ("role", "from"), ("content", "value")
REASONING_FIELDS = ("reasoning_content", "reasoning", "thinking")
CALL_FIELDS = ("tool_calls", "function_call")
LEARNED_FIELDS = ("weight", "train", "loss")  # OpenAI's, axolotl's, ms-swift's
THINK, THOUGHT = "<think>", "</think>"


def asked(text: str) -> Message:
    """Return a user's turn; white space around it is cut."""
    return made.turn("user", text.strip())


def answered(text: str) -> Message:
    """Return the assistant's turn; it is kept from its first character on, white space behind it is cut.

    What stands in `<think>` at its head is its reasoning.
    """
    if "<" in text[:64] and (found := _thought(text)):
        return found
    return made.turn("assistant", text.rstrip())


def _thought(text: str) -> Message | None:
    head = text.lstrip()
    if not head.startswith(THINK):
        return None
    reasoning, end, content = head.removeprefix(THINK).partition(THOUGHT)
    if not end:
        return None
    return made.turn("assistant", content.lstrip("\r\n").rstrip(), reasoning=reasoning.strip())


def read_turns(value: object, place: str, unused: set[str]) -> list[Message]:
    """Read a list of turns, which may be kept as JSON text.

    Calls that ShareGPT keeps in a turn of their own (`function_call`) become part of the assistant's turn.

    Args:
        value: What stands in the field.
        place: What the field is called.
        unused: Gets the names of what was not used in the turns.

    Raises:
        RowFlaw: It is none, or a turn can't be used.
    """
    turns: list[Message] = []
    items = value if type(value) is list else read_list(value, place, TURNS)
    for number, turn in enumerate(items, start=1):
        # Nearly all turns are of these two fields; the long way would read them just the same.
        if type(turn) is dict and len(turn) == 2 and "role" in turn and "content" in turn:
            role, text = turn["role"], turn["content"]
            if type(role) is type(text) is str:
                if not text.isascii():
                    sound(text, f"{place}, turn {number}: content")
                if role == "user":
                    turns.append(asked(text))
                    continue
                if role == "assistant":
                    turns.append(answered(text))
                    continue
                if role == "system":
                    turns.append(made.turn("system", text.strip()))
                    continue
        if turn is not None:
            _add(turns, turn, f"{place}, turn {number}", place, unused)
    return turns


def _add(turns: list[Message], turn: object, here: str, place: str, unused: set[str]) -> None:
    if not isinstance(turn, dict):
        raise RowFlaw("wrong_type", f"{here}: got {described(turn)}, wanted an object")
    message = _message(turn, here, place, unused)
    last = turns[-1] if turns else None
    if (
        message.tool_calls
        and not message.content
        and last
        and last.role == "assistant"
        and last.learned == message.learned
        and not message.reasoning
    ):
        turns[-1] = last.model_copy(update={"tool_calls": (*last.tool_calls, *message.tool_calls)})
    elif message.role == "tool":
        if last and last.role == "assistant":
            turns[-1] = with_calls(last)
        turns += responses(message)
    else:
        turns.append(message)


def _message(turn: dict[str, Any], here: str, place: str, unused: set[str]) -> Message:
    role_field = _first(turn, ROLE_FIELDS)
    text_field = _one_text_field(turn, here)
    named = read_text(turn.get(role_field), f"{here}: {role_field}").strip()
    role = ROLES.get(named) or ROLES.get(named.lower())
    if role is None:
        known = ", ".join(ROLES)
        raise RowFlaw("wrong_turns", f"{here}: {role_field} is {excerpt(named)!r}, wanted one of {known}")
    used = {role_field, text_field}
    for name in turn:
        if name in MEDIA and turn[name]:
            raise RowFlaw("has_media", f"{here}: has {name}; only text can be trained on here")
    content = turn.get(text_field)
    label = f"{here}: {text_field}"
    if role == "call":
        message = made.turn("assistant", "", tool_calls=read_calls(content, label))
    elif role == "assistant":
        message = _assistant(turn, content, here, label)
        used.update(REASONING_FIELDS, CALL_FIELDS)
    elif role == "tool":
        text = "" if content is None else read_content(content, label)[0].rstrip()
        optional = {name: turn.get(name) for name in ("name", "tool_call_id")}
        given = {name: read_text(own, f"{here}: {name}") for name, own in optional.items() if own is not None}
        message, used = made.turn("tool", text, **given), used | set(optional)
    else:
        message = made.turn(role, read_content(content, label)[0].strip())
    if message.role == "assistant":
        used.update(LEARNED_FIELDS)
        if not _learned(turn, here):
            message = message.model_copy(update={"learned": False})
    unused.update(
        f"{excerpt(place)}[].{name[:100]}"
        for name, own in turn.items()
        if own not in (None, "", [], {}) and name not in used
    )
    return message


def _first(turn: dict[str, Any], names: tuple[str, ...]) -> str:
    """Return the name that has a value; the first where none has."""
    return next((name for name in names if turn.get(name) is not None), names[0])


def _one_text_field(turn: dict[str, Any], here: str) -> str:
    name = _first(turn, TEXT_FIELDS)
    if name != "value" and turn.get("value") not in (None, turn.get(name)):
        raise RowFlaw("ambiguous", f"{here}: has content and value, which differ; wanted one of them")
    if turn.get(name) is None and "value" in turn and "content" not in turn:
        return "value"
    return name


def _assistant(turn: dict[str, Any], content: object, here: str, label: str) -> Message:
    calls = [
        call
        for name in CALL_FIELDS
        if turn.get(name) not in (None, "", [], {})
        for call in read_calls(turn[name], f"{here}: {name}")
    ]
    text, thought = ("", "") if content is None and calls else read_content(content, label)
    message = answered(text)
    others = [read_content(turn[name], f"{here}: {name}")[0] for name in REASONING_FIELDS if turn.get(name)]
    reasonings = {own.strip() for own in (thought, message.reasoning, *others)} - {""}
    if len(reasonings) > 1:
        raise RowFlaw("ambiguous", f"{here}: its reasoning is given more than once, and differs")
    return message.model_copy(update={"tool_calls": tuple(calls), "reasoning": "".join(reasonings)})


def _learned(turn: dict[str, Any], here: str) -> bool:
    """Tell whether the assistant's turn may be learned: OpenAI's `weight` of 0 says no."""
    learned = True
    for name in LEARNED_FIELDS:
        value = turn.get(name)
        if value is None:
            continue
        if not isinstance(value, bool | int | float) or value not in (0, 1):
            raise RowFlaw("wrong_type", f"{here}: {name}: got {described(value)}, wanted 0 or 1")
        learned = learned and bool(value)
    return learned
