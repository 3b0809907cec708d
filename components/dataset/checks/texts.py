"""Every text of a conversation, wherever it stands, to be looked at or put in another's place."""

from collections.abc import Callable, Iterator
from typing import Any

from components.conversations import Conversation, Message, ToolCall

Replace = Callable[[str], str]
# A number this short is neither a card's nor a phone's.
SHORT_NUMBER = 7


def texts_of(conversation: Conversation) -> list[str]:
    """Return the texts of all turns and tools, in the order in which `with_texts` puts others there."""
    if not conversation.tools and not any(message.tool_calls for message in conversation.messages):
        return [
            text
            for turn in conversation.messages
            for text in (turn.content, *filter(None, (turn.reasoning, turn.name, turn.tool_call_id)))
        ]
    found: list[str] = []

    def note(text: str) -> str:
        found.append(text)
        return text

    _walk(conversation, note)
    return found


def with_texts(conversation: Conversation, texts: list[str]) -> Conversation:
    """Return the conversation with these texts in the place of those that `texts_of` returned."""
    remaining = iter(texts)
    return _walk(conversation, lambda _: next(remaining))


def texts_in(value: object) -> Iterator[str]:
    """Yield every text of a JSON value: keys, long numbers and those within included.

    Lists and objects may stand within one another as deep as they like.
    """
    waiting = [value]
    while waiting:
        value = waiting.pop()
        if isinstance(value, dict):
            waiting += [*value, *value.values()]
        elif isinstance(value, list | tuple):
            waiting += value
        elif (text := _as_text(value)) is not None:
            yield text


def _walk(conversation: Conversation, replace: Replace) -> Conversation:
    return Conversation(
        messages=tuple(_turn(message, replace) for message in conversation.messages),
        tools=tuple(_value(tool, replace) for tool in conversation.tools),
    )


def _turn(message: Message, replace: Replace) -> Message:
    changed: dict[str, Any] = {"content": replace(message.content)}
    for field in ("reasoning", "name", "tool_call_id"):
        if text := getattr(message, field):
            changed[field] = replace(text)
    if message.tool_calls:
        changed["tool_calls"] = tuple(
            ToolCall(
                name=replace(call.name),
                arguments=_value(call.arguments, replace),
                id=replace(call.id) if call.id else "",
            )
            for call in message.tool_calls
        )
    return message.model_copy(update=changed)


def _value(value: Any, replace: Replace) -> Any:
    """Replace the texts of a JSON value; a number that is replaced becomes a text."""
    if isinstance(value, dict):
        return {replace(key): _value(entry, replace) for key, entry in value.items()}
    if isinstance(value, list | tuple):
        return [_value(entry, replace) for entry in value]
    text = _as_text(value)
    if text is None:
        return value
    other = replace(text)
    return value if other == text else other


def _as_text(value: object) -> str | None:
    if isinstance(value, str):
        return value
    if isinstance(value, int | float) and not isinstance(value, bool):
        try:
            text = str(value)
        except ValueError:  # Python writes no number of more than 4,300 digits
            return None
        return text if len(text) >= SHORT_NUMBER else None
    return None
