"""What a row lacks that has no known form, or half of one."""

from collections.abc import Sequence
from typing import Any

from components.dataset.flaws import RowFlaw, excerpt
from components.dataset.forms.columns import EXAMPLE, Columns
from components.dataset.forms.fields import FORMS, Fields, fields_of

# What is missing where one half of a pair is there.
OTHER_HALF = {
    "instruction": "output",
    "output": "instruction",
    "input": "output",
    "prompt": "completion",
    "completion": "prompt",
    "question": "answer",
    "answer": "question",
    "query": "response",
    "response": "prompt",
}


def check_named(row: dict[str, Any], columns: Columns) -> None:
    """Refuse a row that lacks a field which `columns` names; one that is null is there.

    Raises:
        RowFlaw: A field is missing.
    """
    missing = [(meaning, name) for meaning, name in columns.named if meaning != "unused" and name not in row]
    if missing:
        said = ", ".join(f"{excerpt(name)} ({meaning})" for meaning, name in missing[:3])
        raise RowFlaw("missing_field", f"{said}: missing, though columns names it")


def other_half(row: dict[str, Any], fields: Fields, columns: Columns, question: bool) -> RowFlaw:
    """Say which half of a pair is missing, or empty: the question or the answer."""
    everything = fields_of(tuple(row), columns)
    empty = everything.prompts if question else everything.completions
    if any(row[name] is not None for name in empty):
        if question:
            return RowFlaw("empty_prompt", "the prompt is empty; wanted a question or a task")
        return RowFlaw("empty_answer", "the answer is empty; wanted what the model should say")
    there = fields.completions if question else fields.prompts or fields.contexts
    name = excerpt(empty[0]) if empty else _other(there, "prompt" if question else "completion")
    return RowFlaw("missing_field", f"{name}: missing; wanted a text")


def _other(names: Sequence[str], otherwise: str) -> str:
    return OTHER_HALF.get(names[0].strip().lower(), otherwise) if names else otherwise


def no_known_form(row: dict[str, Any], columns: Columns) -> RowFlaw:
    """Say why a row without a known field that has a value can't be used."""
    everything = fields_of(tuple(row), columns)
    if everything.messages:
        name = everything.messages[0]
        if isinstance(row[name], list):
            return RowFlaw("wrong_turns", f"{excerpt(name)}: turns are none; wanted a question and an answer")
        return RowFlaw("missing_field", f"{excerpt(name)}: missing; wanted a list of turns")
    if everything.prompts or everything.completions:
        return other_half(row, everything, columns, question=bool(everything.prompts))
    if [name.strip().lower() for name in row] == ["text"]:
        why = "has text alone, which does not say what is asked and what is answered"
        return RowFlaw("no_known_form", f"{why}; wanted {FORMS}")
    found = excerpt(", ".join(list(row)[:20])) or "no field at all"
    return RowFlaw("no_known_form", f"has {found}; wanted {FORMS}; or say which is what: columns={EXAMPLE}")
