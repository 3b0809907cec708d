"""Rows of JSON: one a line, an array of them, one after another, or wrapped in an object by name."""

import json
import re
from collections.abc import Iterator

from components.dataset.files.json_document import NOT_JSON, Document, json_problem
from components.dataset.files.source_row import SourceRow, beginning, too_long
from components.dataset.files.text import Line, lines
from components.dataset.forms.fields import KNOWN
from components.dataset.forms.not_used import MOST_NAMES, NAME_CHARACTERS
from components.dataset.json_values import JsonValues
from components.dataset.rows import RowFlaw
from components.errors import InvalidInput
from components.web import quoted

LINE_FORMATS = (".jsonl", ".ndjson")
# What an object calls the rows that it wraps.
ROWS = ("data", "rows", "examples", "samples", "records", "instances", "items", "dataset")
TRAIN, EVAL = ("train", "training"), ("test", "eval", "evaluation", "validation", "valid", "dev")
HEAD_CHARACTERS = 64 << 10  # so much is looked at to tell what a file is
_TEXT = r'"(?:[^"\\]|\\.)*"'
# Beside what wraps rows there may be a version, a licence or a count; a task or an answer makes it a row.
_NO_TASK = r"(?!\"(?:instruction|prompt|question|query|input|context|output|completion|response|answer)\")"
_WRAPPED = re.compile(
    rf"\{{(?:\s*{_NO_TASK}{_TEXT}\s*:\s*(?:{_TEXT}|[-+.\deE]+|true|false|null)\s*,)*"
    rf'\s*"(?:{"|".join(ROWS + TRAIN + EVAL)})"\s*:\s*\[\s*(?:\]|\{{\s*"(?!role"|from"))',
    re.IGNORECASE,
)


def json_rows(pieces: Iterator[str], suffix: str, name: str, beside: list[str]) -> Iterator[SourceRow]:
    """Read rows of JSON, however they stand in the file; comments at its head are no rows.

    Args:
        pieces: The file's text.
        suffix: The ending of its name.
        name: What it is called in an error.
        beside: Gets the fields that an object has beside the rows that it wraps.

    Raises:
        InvalidInput: It is a document and no valid one, or something that rows need stands beside them.
    """
    document = Document(pieces, name)
    document.skip_comments()
    if _is_one_document(document, suffix):
        return _of_document(document, beside)
    return _of_lines(lines(document.rest()), document.line - 1, name)


def _is_one_document(document: Document, suffix: str) -> bool:
    """Tell a document from one row a line: its first line is no JSON by itself, or wraps all there is."""
    if document.skip_blank() not in ("[", "{"):
        return False
    document.hold(HEAD_CHARACTERS)
    first = document.first_line()
    try:
        json.loads(first)
    except NOT_JSON:
        # Rows of which the first is broken are still rows.
        return document.peek() == "[" or _wraps(document) or document.can_decode()
    if document.peek() == "[":
        return suffix not in LINE_FORMATS
    return _wraps(document) and document.is_all(first)


def _wraps(document: Document) -> bool:
    return bool(_WRAPPED.match(document.text, document.position))


def _of_lines(found: Iterator[Line], skipped: int, name: str) -> Iterator[SourceRow]:
    values = JsonValues()
    decode = values.decoder.decode
    for number, text, is_whole in found:
        line = text.strip()
        if not line:
            continue
        if not is_whole:
            yield SourceRow(number + skipped, beginning(line), flaw=too_long(), size=len(line), file=name)
            continue
        try:
            value = decode(line)
            flaw = values.flaw()
        except NOT_JSON as error:
            values.flaw()
            value, flaw = None, RowFlaw("not_json", f"is no JSON: {json_problem(error)}")
        value = None if flaw else value
        yield SourceRow(number + skipped, beginning(line), value, flaw, size=len(line), file=name)


def _of_document(document: Document, beside: list[str]) -> Iterator[SourceRow]:
    try:
        if document.skip_blank() == "[":
            yield from document.elements("")
            document.require_end()
            return
        while document.skip_blank():
            yield from _of_object(document, beside)
    except NOT_JSON as error:
        raise InvalidInput(document.name, [f"is no JSON document: {document.problem(error)}"]) from error


def _of_object(document: Document, beside: list[str]) -> Iterator[SourceRow]:
    """Read the rows that an object wraps, or the one that it is."""
    if not _wraps(document):
        yield document.element("")
        return
    document.expect("{")
    while document.skip_blank() != "}":
        key = str(document.decode())
        document.skip_blank()
        document.expect(":")
        if document.skip_blank() == "[" and key.lower() in ROWS + TRAIN + EVAL:
            yield from document.elements(_side(key.lower()))
        else:
            _check_beside(key, document.decode(), document.name)
            _note(key, beside)
        if document.skip_blank() != "}":
            document.expect(",")
    document.expect("}")


def _note(key: str, beside: list[str]) -> None:
    """Note a name, cut as whoever counts them cuts it; of a million of them no more than are told apart."""
    key = quoted(key, NAME_CHARACTERS)
    if len(beside) <= MOST_NAMES and key not in beside:
        beside.append(key)


def _check_beside(key: str, value: object, name: str) -> None:
    """Refuse what would be dropped beside rows and is more than a word about the file."""
    if isinstance(value, list) and value and all(isinstance(entry, dict) for entry in value):
        wanted = ", ".join(ROWS + TRAIN + EVAL)
        raise InvalidInput(
            name,
            [f"has another list of objects beside its rows, called none of {wanted}; put it in a file alone"],
        )
    if key.strip().lower() in KNOWN and value not in (None, "", []):
        raise InvalidInput(
            name,
            [f"has {key.strip().lower()!r} beside its rows, which would not reach them; write it into each"],
        )


def _side(key: str) -> str:
    return "eval" if key in EVAL else "train" if key in TRAIN else ""
