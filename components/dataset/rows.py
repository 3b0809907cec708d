"""One row becomes a conversation, whatever its form, or it is told why it can't."""

from collections.abc import Sequence
from typing import Any

from components.conversations import Conversation, Message
from components.dataset.flaws import KINDS, Kind, RowFlaw, described, excerpt
from components.dataset.forms import made
from components.dataset.forms.columns import Columns
from components.dataset.forms.fields import FORMS, Fields, fields_of
from components.dataset.forms.missing import check_named, no_known_form, other_half
from components.dataset.forms.not_used import NotUsed
from components.dataset.forms.order import in_turn
from components.dataset.forms.pairs import one_text, read_answer, read_history, read_question, several
from components.dataset.forms.texts import NO_JSON, sound
from components.dataset.forms.tools import read_tools
from components.dataset.forms.turns import answered, asked, read_turns
from components.dataset.forms.wanted import Preferences, check_wanted
from components.dataset.json_values import read_json

__all__ = ["KINDS", "NO_COLUMNS", "Columns", "Kind", "NotUsed", "Preferences", "RowFlaw", "to_conversation"]

NO_COLUMNS = Columns()
# What files say in a field for reasoning that tell only whether the model was to think.
SWITCHES = {"on", "off", "true", "false", "yes", "no", "enabled", "disabled"}


def to_conversation(
    value: object,
    columns: Columns = NO_COLUMNS,
    preferences: Preferences = "refuse",
    not_used: NotUsed | None = None,
) -> Conversation:
    """Turn a row of any known form into a conversation.

    Null, an empty text and an empty list mean that a field is absent. White space around questions is cut;
    an answer is kept from its first character on, and cut behind its last. Two fields that would mean the
    same thing have to say the same: nothing is guessed.

    Args:
        value: The row.
        columns: Which field is what; what it does not name is told by its name.
        preferences: Whether rows with a chosen and a rejected answer are refused, or the chosen one is used.
        not_used: Counts the fields that were not used, if the row is read.

    Raises:
        RowFlaw: The row can't be used.
    """
    if not isinstance(value, dict):
        raise RowFlaw("not_an_object", f"is {described(value)}; wanted an object with {FORMS}")
    fields = fields_of(
        tuple([name for name, own in value.items() if own or own is False or own == 0]), columns
    )
    if columns.named:
        check_named(value, columns)
    unused: set[str] = set()
    tools: tuple[dict[str, Any], ...] = ()
    if fields.plain:
        turns = _plain(value, fields, columns, unused)
    elif fields.known:
        check_wanted(value, fields, preferences, unused)
        turns = _turns(value, fields, columns, unused)
        tools = _tools(value, fields.tools)
    else:
        raise no_known_form(value, columns)
    conversation = in_turn(turns, tools, unused)
    if not_used is not None and (unused or fields.unused):
        not_used.note((*fields.unused, *unused))
    return conversation


def _plain(row: dict[str, Any], fields: Fields, columns: Columns, unused: set[str]) -> Sequence[Message]:
    """Read the rows that nearly all rows are, without looking for what they do not have."""
    if fields.messages:
        name = fields.messages[0]
        return read_turns(row[name], excerpt(name), unused)
    question, answer = row[fields.prompts[0]], row[fields.completions[0]]
    context = row[fields.contexts[0]] if fields.contexts else ""
    if not type(question) is type(answer) is type(context) is str:
        return _turns(row, fields, columns, unused)
    if context:
        context = sound(context, fields.contexts[0]).strip()
    question = sound(question, fields.prompts[0])
    if context:
        question = f"{question.strip()}\n\n{context}"
    return asked(question), answered(sound(answer, fields.completions[0]))


def _turns(row: dict[str, Any], fields: Fields, columns: Columns, unused: set[str]) -> Sequence[Message]:
    """Put together what stands in a row's fields, in the order in which it is said."""
    listed = _one([read_turns(row[name], excerpt(name), unused) for name in fields.messages], fields.messages)
    answer = _answer(row, fields, unused)
    turns: Sequence[Message]
    if listed:
        turns = _beside_list(row, fields, listed, answer, unused)
    elif fields.messages and not fields.prompts:
        turns = []
    else:
        question = read_question(row, fields, unused)
        whole = bool(answer) and answer[0].role in ("user", "system")
        if not (question or whole) or not answer:
            raise other_half(row, fields, columns, question=not question)
        histories = [read_history(row[name], excerpt(name), unused) for name in fields.histories]
        turns = _joined([*_one(histories, fields.histories), *question], answer)
    return _with_reasoning(row, fields, _with_system(row, fields, turns), unused)


def _one(found: Sequence[Sequence[Any]], names: Sequence[str]) -> Sequence[Any]:
    """Return what fields of one meaning hold, which has to be the same; nothing for no field."""
    if any(own != found[0] for own in found):
        raise several(names)
    return found[0] if found else ()


def _answer(row: dict[str, Any], fields: Fields, unused: set[str]) -> list[Message]:
    """Return the answer; the chosen one, where there is one, is it."""
    answer = read_answer(row, fields.completions, unused)
    if not fields.chosen:
        return answer
    chosen = read_answer({name: _unpacked(row[name]) for name in fields.chosen}, fields.chosen, unused)
    if answer and chosen and answer[-1] != chosen[-1]:
        raise several(fields.completions + fields.chosen)
    return chosen


def _unpacked(value: object) -> object:
    """Return turns that are kept as JSON text; any other value as it is."""
    if isinstance(value, str) and value.startswith("[{"):
        try:
            turns = read_json(value)
        except NO_JSON:
            return value
        if all(isinstance(turn, dict) and ("role" in turn or "from" in turn) for turn in turns):
            return turns
    return value


def _joined(before: Sequence[Message], answer: Sequence[Message]) -> Sequence[Message]:
    """Put an answer behind what comes before; one that is the whole conversation has to begin with that."""
    if not answer or answer[0].role in ("assistant", "tool"):
        return [*before, *answer]
    lead = [turn for turn in before if turn.role == "system" and turn.content]
    own = [turn for turn in answer if turn.role != "system"]
    wanted = [turn for turn in before if turn.role != "system"]
    if own[: len(wanted)] != wanted or (lead and answer[0].role == "system" and answer[0] != lead[0]):
        raise RowFlaw("ambiguous", "the answer is a whole conversation, but does not begin with the prompt")
    return answer if answer[0].role == "system" else [*lead, *answer]


def _beside_list(
    row: dict[str, Any], fields: Fields, listed: Sequence[Message], answer: list[Message], unused: set[str]
) -> Sequence[Message]:
    """Return the turns of a list, if what stands beside it says the same or answers it."""
    turns = _joined(listed, answer) if listed[-1].role in ("user", "tool") else listed
    if answer and answer[-1] != turns[-1]:
        raise several(fields.messages + fields.completions + fields.chosen)
    if fields.contexts or fields.histories:
        raise several(fields.messages + fields.contexts + fields.histories)
    question = read_question(row, fields, unused)
    spoken_turns = [turn for turn in turns if turn.role != "system"]
    asked_turns = [turn for turn in question if turn.role != "system"]
    users = [turn for turn in turns if turn.role == "user"]
    same = spoken_turns[: len(asked_turns)] == asked_turns or asked_turns == users[-1:]
    if not same:
        raise several(fields.messages + fields.prompts)
    return turns


def _with_system(row: dict[str, Any], fields: Fields, turns: Sequence[Message]) -> Sequence[Message]:
    """Put the system's own field in front, unless the turns begin with the same."""
    text = one_text(row, fields.systems).strip()
    if not text:
        return turns
    if turns and turns[0].role == "system" and turns[0].content:
        if turns[0].content != text:
            raise several((*fields.systems, "a system's turn"))
        return turns
    return [made.turn("system", text), *turns]


def _with_reasoning(
    row: dict[str, Any], fields: Fields, turns: Sequence[Message], unused: set[str]
) -> Sequence[Message]:
    """Give the last answer the reasoning that stands in a field of its own."""
    switches = [name for name in fields.reasonings if _is_switch(row[name])]
    unused.update(switches)
    names = [name for name in fields.reasonings if name not in switches]
    text = one_text(row, names).strip()
    if not text or not turns or turns[-1].role != "assistant":
        return turns
    if turns[-1].reasoning not in ("", text):
        raise RowFlaw("ambiguous", f"{excerpt(names[0])} and the answer's own reasoning differ")
    return [*turns[:-1], turns[-1].model_copy(update={"reasoning": text})]


def _is_switch(value: object) -> bool:
    return isinstance(value, bool | int) or (isinstance(value, str) and value.strip().lower() in SWITCHES)


def _tools(row: dict[str, Any], names: Sequence[str]) -> tuple[dict[str, Any], ...]:
    return tuple(_one([read_tools(row[name], excerpt(name)) for name in names], names))
