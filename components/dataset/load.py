"""Read a file of training rows, whatever its format, into rows that know where they stood."""

import csv
import io
import json
import re
from collections.abc import Iterator
from dataclasses import dataclass, field

from components.dataset.parquet import read_parquet
from components.dataset.rows import RowFlaw
from components.errors import InvalidInput
from components.settings import free_memory_bytes
from components.sources.address import Source, parse_source
from components.sources.content import open_source

TEXT_FORMATS = {".csv": ",", ".tsv": "\t"}
UTF16_MARKS = (b"\xff\xfe", b"\xfe\xff")
WHITESPACE = re.compile(r"[ \t\r\n]*")
# json.loads raises these on text that is no JSON, or nested or written too absurdly to be a row.
NOT_JSON = (ValueError, RecursionError)


@dataclass(frozen=True)
class SourceRow:
    """One row as it stood in a file.

    Attributes:
        line: Line on which it begins, from 1; in Parquet, which has no lines, the row's number.
        text: The row as text, for people to recognise it by.
        value: What was read, where it could be.
        flaw: Why it could not be read.
        file: What it stood in; empty where the whole set is of one file.
    """

    line: int
    text: str
    value: object = None
    flaw: RowFlaw | None = None
    file: str = ""


@dataclass(frozen=True)
class Rows:
    """What a file holds.

    Attributes:
        rows: Its rows, in their order.
        digest: The `sha256:...` of the content that they were read from, unpacked; empty for no file.
        size_bytes: How much that is.
    """

    rows: list[SourceRow] = field(default_factory=list)
    digest: str = ""
    size_bytes: int = 0


def read_rows(named: str | Source, limit_bytes: int, before_bytes: int = 0) -> Rows:
    """Read every row of a JSONL, JSON, CSV, TSV or Parquet file; blank lines are no rows.

    Args:
        named: A path or URL, packed or not. The ending says the format; any other is read as JSON.
        limit_bytes: The most that may arrive, and the most that it may unpack to.
        before_bytes: What the files before it, of the same parameter, have taken of that.

    Raises:
        InvalidInput: It is not there, can't be read, is too large, damaged, empty or no UTF-8, or has no
            rows.
    """
    source = parse_source(named) if isinstance(named, str) else named
    name = source.shown
    # The rows are held in memory: better to be told so than to be ended by the system.
    free = free_memory_bytes()
    with open_source(source, limit_bytes, before_bytes) as file:
        content = bytearray()
        while chunk := file.read():
            content += chunk
            _check_room(len(content), free, name)
        suffix, digest, size_bytes = file.file.suffix.lower(), file.digest, file.count
    if not content.strip():
        raise InvalidInput(name, ["is empty; wanted one row a line, each a JSON object"])
    if suffix == ".parquet" or content.startswith(b"PAR1"):
        rows = []
        for size, number, value in read_parquet(content, name, limit_bytes):
            _check_room(len(content) + size, free, name)
            rows.append(SourceRow(number, json.dumps(value, ensure_ascii=False, default=str), value))
    else:
        text = _decode(content, name)
        if suffix in TEXT_FORMATS:
            rows = list(_csv(text, TEXT_FORMATS[suffix]))
        elif suffix == ".jsonl" or not _is_one_document(text):
            rows = list(_json_lines(text))
        else:
            rows = list(_json_array(text, name))
    if not rows:
        raise InvalidInput(name, ["has no rows; wanted one row a line, each a JSON object"])
    return Rows(rows, digest, size_bytes)


def _check_room(size: int, free: int, name: str) -> None:
    if size > free:
        raise InvalidInput(
            name,
            [
                f"takes more than the {free:,} bytes of memory that are free here; its rows are held there "
                "all at once: take a machine with more, or fewer rows"
            ],
        )


def _decode(content: bytearray, name: str) -> str:
    try:
        return content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = content.count(b"\n", 0, error.start) + 1
        byte = content[error.start]
        problem = f"byte {error.start} (line {line}): 0x{byte:02x} is not UTF-8"
        hint = "UTF-16" if content.startswith(UTF16_MARKS) else "another encoding"
        raise InvalidInput(name, [f"{problem}; it looks like {hint}, save it as UTF-8"]) from error


def _json_lines(text: str) -> Iterator[SourceRow]:
    # Only a line feed ends a line: str.splitlines() would also split at characters legal inside JSON text.
    for number, line in enumerate(text.split("\n"), start=1):
        line = line.strip()
        if not line:
            continue
        try:
            yield SourceRow(number, line, json.loads(line))
        except NOT_JSON as error:
            yield SourceRow(number, line, flaw=RowFlaw("not_json", f"is no JSON: {_json_problem(error)}"))


def _is_one_document(text: str) -> bool:
    """Tell a JSON document from JSON lines: an array, or an object that spans lines."""
    text = text.strip()
    if text.startswith("["):
        return True
    first, _, rest = text.partition("\n")
    try:
        json.loads(first)
    except NOT_JSON:
        try:
            json.loads(text)
        except NOT_JSON:
            return False
        return bool(rest)
    return False


def _json_array(text: str, name: str) -> Iterator[SourceRow]:
    """Read the elements of an array one by one, so that each knows its line."""
    position = _skip(text, 0)
    if text[position] != "[":
        raise InvalidInput(name, ["holds a single JSON object; wanted an array of rows, or one row a line"])
    decoder, line, counted = json.JSONDecoder(), 1, 0
    position = _skip(text, position + 1)
    try:
        while text[position : position + 1] != "]":
            line, counted = line + text.count("\n", counted, position), position
            value, end = decoder.raw_decode(text, position)
            yield SourceRow(line, text[position:end], value)
            position = _skip(text, end)
            if text[position : position + 1] == ",":
                position = _skip(text, position + 1)
            elif text[position : position + 1] != "]":
                raise json.JSONDecodeError("a comma or ] is missing", text, position)
    except NOT_JSON as error:
        raise InvalidInput(name, [f"is no JSON array: {_json_problem(error, lines=True)}"]) from error


def _skip(text: str, position: int) -> int:
    found = WHITESPACE.match(text, position)
    return found.end() if found else position


def _json_problem(error: Exception, lines: bool = False) -> str:
    if not isinstance(error, json.JSONDecodeError):
        return "nested too deeply" if isinstance(error, RecursionError) else str(error)
    place = f"line {error.lineno}, column {error.colno}" if lines else f"column {error.colno}"
    message = error.msg.removesuffix(" at")
    return f"{message[0].lower()}{message[1:]} at {place}"


def _csv(text: str, delimiter: str) -> Iterator[SourceRow]:
    csv.field_size_limit(max(len(text), csv.field_size_limit()))
    reader = csv.DictReader(io.StringIO(text, newline=""), delimiter=delimiter, restkey="")
    reader.fieldnames  # noqa: B018  # reads the header, so that line_num stands at its end
    while True:
        line = reader.line_num + 1
        try:
            value = next(reader)
        except StopIteration:
            return
        except csv.Error as error:
            yield SourceRow(line, "", flaw=RowFlaw("not_csv", f"is no CSV: {error}"))
            continue
        extra = value.pop("", None)
        excerpt = json.dumps(value, ensure_ascii=False)
        if isinstance(extra, list):
            wanted = len(reader.fieldnames or ())
            why = (
                f"has {wanted + len(extra)} fields, the header {wanted}; quote text that has a {delimiter!r}"
            )
            yield SourceRow(line, excerpt, flaw=RowFlaw("not_csv", why))
        else:
            yield SourceRow(line, excerpt, value)
