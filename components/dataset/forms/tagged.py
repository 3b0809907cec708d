"""Calls and their answers where a file writes them into the text, in tags of the chat template's."""

from components.conversations import Message
from components.dataset.flaws import RowFlaw
from components.dataset.forms.tools import read_calls

CALL, RESPONSE = "tool_call", "tool_response"


def with_calls(turn: Message) -> Message:
    """Return an assistant's turn whose text ends in `<tool_call>{...}</tool_call>` as one that calls.

    Only a tool's answer behind it tells that it is one: a text that is none stays as it is.
    """
    said, blocks = _blocks(turn.content, CALL)
    if not blocks or turn.tool_calls:
        return turn
    try:
        calls = tuple(call for block in blocks for call in read_calls(block, CALL))
    except RowFlaw:
        return turn
    return turn.model_copy(update={"content": said.rstrip(), "tool_calls": calls})


def responses(turn: Message) -> list[Message]:
    """Return a tool's turn without its `<tool_response>`; one turn for each, where there are several."""
    said, blocks = _blocks(turn.content, RESPONSE)
    if not blocks or said.strip():
        return [turn]
    return [turn.model_copy(update={"content": block}) for block in blocks]


def _blocks(text: str, tag: str) -> tuple[str, list[str]]:
    """Return what a text says before the tagged blocks that end it, and what is in those."""
    said, *pieces = text.split(f"<{tag}>")
    blocks = []
    for piece in pieces:
        block, end, rest = piece.partition(f"</{tag}>")
        if not end or rest.strip():
            return text, []
        blocks.append(block.strip())
    return said, blocks
