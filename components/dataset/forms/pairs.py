"""Rows that hold a question and an answer in fields of their own."""

from collections.abc import Sequence
from typing import Any

from components.conversations import Message
from components.dataset.flaws import RowFlaw, excerpt
from components.dataset.forms.fields import Fields
from components.dataset.forms.texts import read_list, read_text
from components.dataset.forms.turns import answered, asked, read_turns

PAIRS = "a list of [question, answer]"


def read_question(row: dict[str, Any], fields: Fields, unused: set[str]) -> list[Message]:
    """Return what is asked: a user's turn, the context in a paragraph of its own, or a list of turns.

    Raises:
        RowFlaw: It is no text and no list of turns, or there are several.
    """
    lists = [name for name in fields.prompts if isinstance(row[name], list)]
    if lists:
        turns = [read_turns(row[name], excerpt(name), unused) for name in fields.prompts if name in lists]
        if len(lists) < len(fields.prompts) or fields.contexts or any(own != turns[0] for own in turns):
            raise several(fields.prompts + fields.contexts)
        return turns[0]
    question = one_text(row, fields.prompts)
    context = one_text(row, fields.contexts)
    text = "\n\n".join(filter(None, (question.strip(), context.strip())))
    return [asked(text)] if fields.prompts or fields.contexts else []


def read_answer(row: dict[str, Any], names: Sequence[str], unused: set[str]) -> list[Message]:
    """Return what is answered: the assistant's turn, a turn that is an object, or a list of turns.

    Raises:
        RowFlaw: It is none of these, or there are several that differ.
    """
    found: list[list[Message]] = []
    for name in names:
        value, place = row[name], excerpt(name)
        if isinstance(value, dict) and ("role" in value or "from" in value):
            value = [value]
        if isinstance(value, list):
            found.append(read_turns(value, place, unused))
        else:
            found.append([answered(read_text(value, place))])
    if any(turns != found[0] for turns in found):
        raise several(names)
    return found[0] if found else []


def one_text(row: dict[str, Any], names: Sequence[str]) -> str:
    """Return what all of these fields say; empty for none.

    Raises:
        RowFlaw: One is no text, or they differ.
    """
    texts = [read_text(row[name], excerpt(name)) for name in names]
    said = {text.strip(): text for text in texts if text.strip()}
    if len(said) > 1:
        raise several(names)
    return next(iter(said.values()), "")


def read_history(value: object, place: str, unused: set[str]) -> list[Message]:
    """Return earlier questions and answers, from pairs or from turns.

    Raises:
        RowFlaw: They are neither.
    """
    turns: list[Message] = []
    items = read_list(value, place, PAIRS)
    if items and all(isinstance(item, dict) for item in items):
        return read_turns(items, place, unused)
    for number, pair in enumerate(items, start=1):
        if pair is None:
            continue
        here = f"{place}, pair {number}"
        if not isinstance(pair, list) or len(pair) != 2:
            raise RowFlaw("wrong_type", f"{here}: wanted [question, answer]")
        turns += [asked(read_text(pair[0], here)), answered(read_text(pair[1], here))]
    return turns


def several(names: Sequence[str]) -> RowFlaw:
    """Say that fields of one meaning differ, and how to tell them apart."""
    found = " and ".join(excerpt(name) for name in names[:3])
    return RowFlaw(
        "ambiguous",
        f"has {found}, which do not say the same; say with columns which is what (prompt=..., unused=...)",
    )
