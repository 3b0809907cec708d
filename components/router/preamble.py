"""What a stream sends before its first text: nothing of it is lost if another replica begins anew."""

import json
import re
from typing import Any

_END_OF_EVENT = re.compile(rb"\r?\n\r?\n")
# The events of /v1/responses and /v1/messages that only say that an answer will come.
_OPENINGS = {
    "response.created",
    "response.in_progress",
    "response.queued",
    "response.output_item.added",
    "response.content_part.added",
    "response.reasoning_part.added",
    "message_start",
    "content_block_start",
    "ping",
}


def has_text(sent: bytes) -> bool:
    """Return whether a stream's beginning holds more than the announcement of an answer.

    Whatever is not known to be an announcement counts as text, so that nothing is held back for long.
    """
    *events, _unfinished = _END_OF_EVENT.split(sent)
    return any(not _announces(event) for event in events)


def _announces(event: bytes) -> bool:
    data = b"".join(line[5:].strip() for line in event.splitlines() if line.startswith(b"data:"))
    if not data:
        return True  # a comment, or a name alone
    try:
        said = json.loads(data)
    except (ValueError, RecursionError):
        return False
    if not isinstance(said, dict):
        return False
    if said.get("type") in _OPENINGS:
        return True
    choices = said.get("choices")
    return isinstance(choices, list) and bool(choices) and all(map(_is_empty, choices))


def _is_empty(choice: Any) -> bool:
    """Return whether a choice of a chat only says who speaks."""
    if not isinstance(choice, dict) or choice.get("finish_reason"):
        return False
    delta = choice.get("delta")
    return isinstance(delta, dict) and not any(value for key, value in delta.items() if key != "role")
