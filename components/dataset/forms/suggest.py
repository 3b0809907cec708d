"""What to say about a file whose rows have no known form: the fields found, and what they may be."""

import json
import re
from collections import Counter
from collections.abc import Iterable
from difflib import SequenceMatcher
from itertools import islice
from typing import Any

from components.dataset.flaws import EXCERPT_CHARACTERS, excerpt
from components.dataset.forms.columns import Columns
from components.dataset.forms.fields import FORMS, KNOWN, fields_of

ROWS_LOOKED_AT = 100
FIELDS_SHOWN = 12
LEAST_LIKENESS = 0.75
QUESTIONS = [
    "prompt",
    "instruction",
    "question",
    "query",
    "input",
    "ask",
    "problem",
    "task",
    "user",
    "human",
    "source",
    "src",
    "request",
    "utterance",
    "message",
    "title",
    "subject",
    "sentence",
    "text",
    "document",
    "article",
    "passage",
    "premise",
]
ANSWERS = [
    "completion",
    "output",
    "answer",
    "response",
    "reply",
    "solution",
    "target",
    "tgt",
    "assistant",
    "bot",
    "gold",
    "label",
    "summary",
    "translation",
    "intent",
    "category",
    "class",
    "result",
    "body",
    "expected",
]
# A suggestion is copied into a shell: no name in it may say anything there.
HARMLESS = re.compile(r"[\w][\w .-]*")
LISTS = ["messages", "conversations", "conversation", "dialog", "dialogue", "turns", "chat", "log", "thread"]


def suggest_columns(values: Iterable[object]) -> str:
    """Return what to tell about rows that were not understood; empty where there is nothing to tell.

    Args:
        values: Rows as they were read; the first `ROWS_LOOKED_AT` are looked at.
    """
    rows = [value for value in islice(values, ROWS_LOOKED_AT) if isinstance(value, dict)]
    found = Counter(name for row in rows for name in islice(row, 1000) if row[name] not in (None, ""))
    if not found:
        return ""
    shown = ", ".join(excerpt(name) for name, _ in found.most_common(FIELDS_SHOWN))
    more = f" and {len(found) - FIELDS_SHOWN} more" if len(found) > FIELDS_SHOWN else ""
    return f"its rows have the fields {shown}{more}; {_advice(rows, found)}"


def _advice(rows: list[dict[str, Any]], found: Counter[str]) -> str:
    short = [name for name in found if len(name) <= EXCERPT_CHARACTERS and name == name.strip()]
    plain = [name for name in short if HARMLESS.fullmatch(name)]
    lists = [name for name in plain if any(_is_turns(row.get(name)) for row in rows)]
    if lists:
        return f"the nearest form is messages: try --set columns='messages={_nearest(lists, LISTS)}'"
    texts = [name for name in plain if any(isinstance(row.get(name), str | int | float) for row in rows)]
    known = fields_of(tuple(texts), Columns())
    question = known.prompts[0] if known.prompts else _nearest(texts, QUESTIONS, least=LEAST_LIKENESS)
    rest = [name for name in texts if name != question]
    answer = known.completions[0] if known.completions else _nearest(rest, ANSWERS, least=LEAST_LIKENESS)
    # Without a name to go by, the question is what comes first and the answer what comes next.
    others = [name for name in texts if name not in (question, answer) and name.lower() not in KNOWN]
    question = question or next((name for name in others if name != answer), "")
    answer = answer or next((name for name in others if name != question), "")
    if question and answer:
        columns = f"prompt={question}, completion={answer}"
        return f"the nearest form is prompt with completion: try --set columns='{columns}'"
    return f"wanted {FORMS}"


def _nearest(names: list[str], wanted: list[str], least: float = 0.0) -> str:
    """Return the name that is most like a wanted one, of equals the one that comes first; empty for none."""
    best, found = least, ""
    for name in names:
        for word in wanted:
            likeness = _likeness(name.strip().lower(), word)
            if likeness > best or (not found and likeness >= best):
                best, found = likeness, name
    return found


def _likeness(name: str, word: str) -> float:
    if name == word:
        return 1.0
    if word in name.replace("-", "_").replace(" ", "_").split("_"):
        return 0.9
    return SequenceMatcher(None, name, word).ratio()


def _is_turns(value: object) -> bool:
    """Tell whether a value is a list of objects, or the JSON text of one."""
    if isinstance(value, str) and value.startswith("[{") and len(value) < 100_000:
        try:
            value = json.loads(value)
        except (ValueError, RecursionError):
            return False
    return isinstance(value, list) and len(value) > 1 and all(isinstance(turn, dict) for turn in value[:10])
