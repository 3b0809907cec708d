"""Whose turn it is when."""

from collections.abc import Sequence
from typing import Any

from components.conversations import Conversation, Message
from components.dataset.flaws import RowFlaw, excerpt
from components.dataset.forms import made

WANTED = (
    "wanted user, assistant by turns (a system's may lead, a tool's follows a call), the assistant's last"
)
FOLLOWS = {
    "system": ("",),
    "user": ("", "system", "assistant", "call"),
    "assistant": ("user", "tool"),
    "tool": ("call", "tool"),
}
NOT_LEARNED_TAIL = "turns behind the last answer to learn"


def in_turn(turns: Sequence[Message], tools: tuple[dict[str, Any], ...], unused: set[str]) -> Conversation:
    """Accept a system's turn (or none), then user and assistant by turns, the assistant last.

    A tool's turns follow a call. What stands behind the last answer that may be learned would teach nothing
    and could not be evaluated: it is left out and noted as not used.

    Args:
        turns: In their order.
        tools: The tools that may be called.
        unused: Gets what was left out.

    Raises:
        RowFlaw: They are out of turn, empty, or none may be learned.
    """
    kept = [turn for turn in turns if turn.content or turn.role != "system"]
    before, learned, empty = "", 0, ""
    for number, turn in enumerate(kept, start=1):
        role = turn.role
        if before not in FOLLOWS[role]:
            raise _out_of_turn(kept)
        before = role
        if role == "assistant":
            if turn.learned:
                learned = number
            if turn.tool_calls:
                before = "call"
                continue
        if not turn.content and role != "tool":
            empty = empty or role
    if before not in ("assistant", "call"):
        raise _out_of_turn(kept)
    if empty == "user":
        raise RowFlaw("empty_prompt", "the prompt is empty; wanted a question or a task")
    if empty:
        raise RowFlaw("empty_answer", "the answer is empty; wanted what the model should say")
    if not learned:
        raise RowFlaw("unwanted_answer", "no answer may be learned: each has a weight of 0")
    if learned < len(kept):
        unused.add(NOT_LEARNED_TAIL)
    return made.conversation(tuple(kept[:learned]), tools)


def _out_of_turn(turns: Sequence[Message]) -> RowFlaw:
    got = ", ".join(turn.role for turn in turns[:10]) or "none"
    return RowFlaw("wrong_turns", f"turns are {excerpt(got)}; {WANTED}")
