"""Rows of CSV and its kin."""

import csv
import json
from collections import Counter
from collections.abc import Iterator, Sequence
from itertools import chain

from components.dataset.files.source_row import SourceRow, beginning
from components.dataset.files.text import MAX_ROW_CHARACTERS, table_lines
from components.dataset.rows import RowFlaw
from components.errors import InvalidInput

# What parts the fields of a line, by the ending of the file; the first one if none of them is in its header.
DELIMITERS = {".csv": (",", ";", "\t"), ".tsv": ("\t",)}


def table_rows(pieces: Iterator[str], suffix: str, name: str) -> Iterator[SourceRow]:
    """Read rows of a table whose header names its columns; comments (`# ...`) before it are no rows.

    Args:
        pieces: The file's text.
        suffix: The ending of its name, one of `DELIMITERS`.
        name: What it is called in an error.

    Raises:
        InvalidInput: Its header names a column twice, or a line is longer than a row may be.
    """
    found = table_lines(pieces, name)
    skipped, header = 0, ""
    for header in found:
        if header.strip() and not header.startswith("# "):
            break
        skipped, header = skipped + 1, ""
    if not header:
        return
    delimiter = max(DELIMITERS[suffix], key=header.count)
    csv.field_size_limit(MAX_ROW_CHARACTERS)
    reader = csv.reader(chain([header], found), delimiter=delimiter, strict=True)
    named = next(_lines(reader))
    if isinstance(named, csv.Error):
        raise InvalidInput(name, [f"has no header that names its columns: {named}"])
    columns = [column if column.strip() else f"column {place}" for place, column in enumerate(named, start=1)]
    _check_columns(columns, name)
    line = skipped + reader.line_num + 1
    for fields in _lines(reader):
        if isinstance(fields, csv.Error):
            yield SourceRow(line, "", flaw=RowFlaw("not_csv", f"is no CSV: {fields}"), file=name)
        elif fields:
            yield _row(line, columns, fields, delimiter, name)
        line = skipped + reader.line_num + 1


def _lines(reader: Iterator[list[str]]) -> Iterator[list[str] | csv.Error]:
    while True:
        try:
            yield next(reader)
        except StopIteration:
            return
        except csv.Error as error:
            yield error


def _row(line: int, columns: Sequence[str], fields: Sequence[str], delimiter: str, name: str) -> SourceRow:
    value = dict(zip(columns, fields, strict=False))
    text = beginning(json.dumps(value, ensure_ascii=False))
    if len(fields) <= len(columns):
        return SourceRow(line, text, value, size=sum(map(len, fields)), file=name)
    why = f"has {len(fields)} fields, the header {len(columns)}; quote text that has a {delimiter!r}"
    return SourceRow(line, text, flaw=RowFlaw("not_csv", why), size=sum(map(len, fields)), file=name)


def _check_columns(columns: Sequence[str], name: str) -> None:
    twice = [column for column, count in Counter(columns).items() if count > 1]
    if twice:
        # By number: where there is no header, these are what the first row says.
        places = [str(place) for place, column in enumerate(columns, start=1) if column == twice[0]]
        why = f"columns {' and '.join(places[:3])} have one name, so that one would hide another; rename them"
        raise InvalidInput(name, [why])
