"""Tools that a row describes, and calls of them."""

from collections.abc import Iterator
from typing import Any

from components.conversations import ToolCall
from components.dataset.flaws import RowFlaw, described
from components.dataset.forms.texts import NO_JSON, read_list, read_text, sound, writable
from components.dataset.json_values import read_json

TOOLS = "a list of tools, each with a name, a description and parameters"
CALLS = "a list of calls, each with a name and arguments"


def read_tools(value: object, place: str) -> tuple[dict[str, Any], ...]:
    """Return tools as OpenAI's API and chat templates describe them: `{"type": "function", "function": ...}`.

    Args:
        value: A list of them, or of bare functions; the list and each tool may be kept as JSON text.
        place: What the field is called.

    Raises:
        RowFlaw: It is none, or a tool has no name.
    """
    found = []
    for here, tool in _objects(value, place, "tool", TOOLS):
        function = tool.get("function")
        if function is None:
            function = {name: own for name, own in tool.items() if (name, own) != ("type", "function")}
        if not isinstance(function, dict) or not isinstance(function.get("name"), str):
            raise RowFlaw("wrong_type", f"{here}: has no function with a name; wanted {TOOLS}")
        found.append(writable({"type": "function", **tool_extras(tool), "function": function}, here))
    return tuple(found)


def tool_extras(tool: dict[str, Any]) -> dict[str, Any]:
    """Return what stands beside a tool's function; a bare function has nothing beside it."""
    return tool if tool.get("function") is not None else {}


def read_calls(value: object, place: str) -> tuple[ToolCall, ...]:
    """Return calls: OpenAI's `{"id", "type", "function": {"name", "arguments"}}` or the inner object alone.

    Args:
        value: A call or a list of them; the whole and each one's arguments may be kept as JSON text.
        place: What the field is called.

    Raises:
        RowFlaw: It is none, or a call has no name, or arguments that are no object.
    """
    calls = []
    for here, call in _objects(value, place, "call", CALLS):
        inner = call.get("function")
        function = call if inner is None else inner
        if not isinstance(function, dict) or not isinstance(function.get("name"), str):
            raise RowFlaw("wrong_type", f"{here}: has no name; wanted {CALLS}")
        arguments = function.get("arguments")
        if arguments is None:
            arguments = function.get("parameters")
        calls.append(
            ToolCall(
                name=sound(function["name"], here),
                arguments=_arguments(arguments, f"{here}: arguments"),
                id=read_text(call.get("id") or "", f"{here}: id"),
            )
        )
    return tuple(calls)


def _objects(value: object, place: str, what: str, wanted: str) -> Iterator[tuple[str, dict[str, Any]]]:
    """Yield the objects of a list, or one that stands alone, each with its place."""
    items = [value] if isinstance(value, dict) else read_list(value, place, wanted)
    for number, item in enumerate(items, start=1):
        here = f"{place}, {what} {number}"
        yield here, _object(item, here)


def _object(value: object, place: str) -> dict[str, Any]:
    """Return an object, which may be kept as JSON text, without what is null in it."""
    try:
        if isinstance(value, str):
            value = read_json(value)
    except NO_JSON:
        pass
    if not isinstance(value, dict):
        raise RowFlaw("wrong_type", f"{place}: got {described(value)}, wanted an object")
    return value


def _arguments(value: object, place: str) -> dict[str, Any]:
    if value is None or value == "":
        return {}
    found, written = value, isinstance(value, str)
    if isinstance(value, str):
        try:
            found = read_json(value)
        except NO_JSON:
            found = value
    if not isinstance(found, dict):
        raise RowFlaw("wrong_type", f"{place}: got {described(value)}, wanted an object")
    # A null in a text was written by somebody; one in an object may be Arrow's.
    return dict(writable(found, place, nulls=written))
