"""Find what nobody should read in a batch of rows, and keep it out of what is trained on and shown."""

import json
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Literal

from components.conversations import Conversation
from components.dataset.checks.personal import find_personal
from components.dataset.checks.secrets import find_secrets
from components.dataset.checks.spans import WHATS, Found, Span, What, masked
from components.dataset.checks.texts import texts_in, texts_of, with_texts

Policy = Literal["report", "redact", "refuse"]
_ESCAPED = re.compile(r"\\(?:u([0-9a-fA-F]{4})|([nrtbf])|(.))")


@dataclass(frozen=True)
class Sifted:
    """A row after the search.

    Attributes:
        conversation: What is trained on or evaluated with: what the policies put up with is still in it.
        shown: What people may see: nothing that was found is in it.
        found: What was found.
    """

    conversation: Conversation
    shown: Conversation
    found: Found = ()


def sift(rows: Sequence[Conversation], secrets: Policy, personal_data: Policy) -> list[Sifted]:
    """Search conversations and return each with markers in the place of what was found.

    Where a policy is `report`, what it is about stays in what is trained on.

    Raises:
        ScanFailed: The search for secrets failed.
    """
    texts = [texts_of(row) for row in rows]
    by_row: dict[int, dict[int, list[Span]]] = {}
    for (row, text), spans in find(texts).items():
        by_row.setdefault(row, {})[text] = spans
    return [
        _sifted(row, texts[number], by_row[number], secrets, personal_data)
        if number in by_row
        else Sifted(row, row)
        for number, row in enumerate(rows)
    ]


def _sifted(
    row: Conversation, texts: list[str], spans: dict[int, list[Span]], secrets: Policy, personal_data: Policy
) -> Sifted:
    def without(whats: set[What]) -> Conversation:
        return with_texts(
            row,
            [
                masked(text, [span for span in spans.get(number, ()) if span.what in whats])
                for number, text in enumerate(texts)
            ],
        )

    kept = {what for what in WHATS if (secrets if what == "secret" else personal_data) == "report"}
    return Sifted(
        conversation=without(set(WHATS) - kept),
        shown=without(set(WHATS)),
        found=_names(span for found in spans.values() for span in found),
    )


def find(rows: Sequence[Sequence[str]]) -> dict[tuple[int, int], list[Span]]:
    """Return what stands in rows of texts, by the number of the row and of the text in it.

    Raises:
        ScanFailed: The search for secrets failed.
    """
    found = find_secrets(rows)
    places = [(row, text) for row, texts in enumerate(rows) for text in range(len(texts))]
    flat = [text for texts in rows for text in texts]
    for number, spans in find_personal(flat).items():
        found.setdefault(places[number], []).extend(spans)
    return found


def found_in_raw(rows: Sequence[str]) -> list[Found]:
    """Return what is found in rows as they stand in a file, which may be JSON, broken JSON or anything.

    An excerpt of a row with something in it is not to be shown at all: one that is cut, or written in
    escapes, would be no match of what was found.

    Raises:
        ScanFailed: The search for secrets failed.
    """
    found: list[list[Span]] = [[] for _ in rows]
    for (row, _), spans in find([_raw_texts(text) for text in rows]).items():
        found[row] += spans
    return [_names(spans) for spans in found]


def _raw_texts(text: str) -> list[str]:
    unescaped = _ESCAPED.sub(_unescape, text) if "\\" in text else text
    try:
        decoded = list(texts_in(json.loads(text)))
    except (ValueError, RecursionError):
        decoded = []
    return [text, *([unescaped] if unescaped != text else ()), *decoded]


def _unescape(found: re.Match[str]) -> str:
    if found[1]:
        return chr(int(found[1], 16))
    return " " if found[2] else found[3]


def _names(spans: Iterable[Span]) -> Found:
    return tuple(sorted({f"{span.what}: {span.rule}" if span.rule else span.what for span in spans}))


@dataclass(frozen=True)
class Sieve:
    """The search under its policies.

    Attributes:
        secrets: What becomes of keys and tokens.
        personal_data: What becomes of card numbers, IBANs, e-mail addresses and phone numbers.
    """

    secrets: Policy
    personal_data: Policy

    def conversations(self, rows: Sequence[Conversation]) -> list[Sifted]:
        """See `sift`."""
        return sift(rows, self.secrets, self.personal_data)
