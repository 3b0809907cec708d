"""Rows of CSV and its kin."""

import csv
import json
from collections import Counter
from collections.abc import Iterator, Sequence
from itertools import chain

from components.dataset.files.source_row import SourceRow, beginning, check_columns, too_long
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
        InvalidInput: Its header names a column twice or far too many, or a line is longer than a row may be.
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
    read = _RowByRow(chain([header], found))
    reader = csv.reader(read, delimiter=delimiter, strict=True)
    named = next(_lines(reader))
    if isinstance(named, csv.Error):
        raise InvalidInput(name, [f"has no header that names its columns: {_told(named)}"])
    columns = [column if column.strip() else f"column {place}" for place, column in enumerate(named, start=1)]
    _check_columns(columns, name)
    line = skipped + reader.line_num + 1
    read.size = 0
    for fields in _lines(reader):
        read.size = 0
        if isinstance(fields, _TooLong):
            yield SourceRow(line, "", flaw=too_long(), file=name)
        elif isinstance(fields, csv.Error):
            yield SourceRow(line, "", flaw=RowFlaw("not_csv", f"is no CSV: {_told(fields)}"), file=name)
        elif fields:
            yield _row(line, columns, fields, delimiter, name)
        line = skipped + reader.line_num + 1


class _TooLong(csv.Error):
    """A row goes on and on, line by line."""


class _RowByRow(Iterator[str]):
    """Lines of a table; a row that quotes make longer than one may be is ended where that shows.

    Args:
        lines: Them.

    Attributes:
        size: The characters of the row that is read; whoever has got it sets that to 0.
    """

    def __init__(self, lines: Iterator[str]) -> None:
        self._lines, self.size = lines, 0

    def __next__(self) -> str:
        if self.size > MAX_ROW_CHARACTERS:
            raise _TooLong(f"a row is longer than {MAX_ROW_CHARACTERS:,} characters")
        line = next(self._lines)
        self.size += len(line)
        return line


def _lines(reader: Iterator[list[str]]) -> Iterator[list[str] | csv.Error]:
    while True:
        try:
            yield next(reader)
        except StopIteration:
            return
        except csv.Error as error:
            yield error


def _told(error: csv.Error) -> str:
    return str(error).replace("\t", r"\t")


def _row(line: int, columns: Sequence[str], fields: Sequence[str], delimiter: str, name: str) -> SourceRow:
    value = dict(zip(columns, fields, strict=False))
    text = beginning(json.dumps(value, ensure_ascii=False))
    if len(fields) <= len(columns):
        return SourceRow(line, text, value, size=sum(map(len, fields)), file=name)
    why = f"has {len(fields)} fields, the header {len(columns)}; quote text that has a {delimiter!r}"
    return SourceRow(line, text, flaw=RowFlaw("not_csv", why), size=sum(map(len, fields)), file=name)


def _check_columns(columns: Sequence[str], name: str) -> None:
    check_columns(len(columns), name)
    twice = [column for column, count in Counter(columns).items() if count > 1]
    if twice:
        # By number: where there is no header, these are what the first row says.
        places = [str(place) for place, column in enumerate(columns, start=1) if column == twice[0]]
        why = f"columns {' and '.join(places[:3])} have one name, so that one would hide another; rename them"
        raise InvalidInput(name, [why])
