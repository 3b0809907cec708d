"""What can be wrong with one row."""

import math
from typing import Literal, get_args

from components.web import quoted

Kind = Literal[
    "not_json",
    "not_csv",
    "not_an_object",
    "no_known_form",
    "ambiguous",
    "missing_field",
    "wrong_type",
    "not_text",
    "wrong_turns",
    "has_media",
    "preference",
    "unwanted_answer",
    "empty_prompt",
    "empty_answer",
    "control_token",
    "template_refused",
    "too_long",
    "leaks_eval",
    "duplicate",
]
KINDS: tuple[Kind, ...] = get_args(Kind)
EXCERPT_CHARACTERS = 40


class RowFlaw(Exception):
    """Why one row can't be used.

    Args:
        kind: One word of `KINDS`.
        why: What stands there and what was wanted, for a person.
    """

    def __init__(self, kind: Kind, why: str) -> None:
        super().__init__(why)
        self.kind, self.why = kind, why

    def __reduce__(self) -> tuple[type["RowFlaw"], tuple[Kind, str]]:
        """Survive pickling with both arguments."""
        return type(self), (self.kind, self.why)


def described(value: object) -> str:
    """Say what a value is, with a short excerpt where that helps."""
    names = {bool: "true or false", int: "a number", float: "a number", str: "a text", list: "a list"}
    names |= {dict: "an object", type(None): "null"}
    name = names.get(type(value), f"a value of type {type(value).__name__}")
    if isinstance(value, int) and not isinstance(value, bool) and value.bit_length() > 128:
        return f"{name} of {int(value.bit_length() * math.log10(2))} digits"
    return f"{name} ({excerpt(str(value))})" if isinstance(value, str | int | float) else name


def excerpt(text: str) -> str:
    """Shorten a stranger's text so that a reason can hold it."""
    if len(text) <= EXCERPT_CHARACTERS and text.isidentifier() and text.isascii():
        return text
    text = text[: 2 * EXCERPT_CHARACTERS].encode("utf-8", "backslashreplace").decode()
    return quoted(text, EXCERPT_CHARACTERS)
