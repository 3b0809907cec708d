"""Whatever bytes a file holds: one error that names it, or each row is accepted or set aside."""

import bz2
import csv
import gzip
import io
import json
import lzma
import tempfile
import zipfile
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import pyarrow
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as some
from pyarrow import parquet

from components.dataset.files import json_document, json_rows, source_row, table_rows, text
from components.dataset.files.load import RowFile, RowFiles
from components.dataset.files.source_row import SourceRow
from components.dataset.flaws import KINDS
from components.dataset.intake import Intake
from components.dataset.screen import Screen
from components.errors import InvalidInput
from components.sources import content as content_module
from components.sources.folders import ENDINGS
from components.sources.packing import PACKINGS
from tests.hostile.memory import little_memory

SETTINGS = settings(max_examples=200, deadline=None, derandomize=True)
LIMIT_BYTES = 1 << 20  # for a file of a few kilobytes
ROW_CHARACTERS, MANY_BYTES = 512, 100 << 10
TALK = [{"role": "user", "content": "Où?"}, {"role": "assistant", "content": "Aisle 4.\n"}]
ROWS: list[dict[str, Any]] = [
    {"prompt": "Where is it?", "completion": "Aisle 4."},
    {"prompt": "Een rij,\nover two", "completion": 'with "quotes"'},
    {"messages": TALK, "prompt": None, "completion": None},
    {"prompt": "", "completion": "no prompt"},
]


def as_lines(rows: list[dict[str, Any]]) -> bytes:
    return "".join(f"{json.dumps(row)}\n" for row in rows).encode()


def as_array(rows: list[dict[str, Any]]) -> bytes:
    return json.dumps(rows, indent=1, ensure_ascii=False).encode()


def as_wrapped(rows: list[dict[str, Any]]) -> bytes:
    return json.dumps({"version": 1, "train": rows[:2], "test": rows[2:]}).encode()


def as_table(rows: list[dict[str, Any]], delimiter: str = ",") -> bytes:
    """Write a table: null as nothing, whatever else is no text as JSON."""
    columns = list(dict.fromkeys(name for row in rows for name in row))
    out = io.StringIO()
    table = csv.DictWriter(out, columns, delimiter=delimiter)
    table.writeheader()
    table.writerows(
        {name: value if isinstance(value, str | None) else json.dumps(value) for name, value in row.items()}
        for row in rows
    )
    return out.getvalue().encode()


def as_tabs(rows: list[dict[str, Any]]) -> bytes:
    return as_table(rows, "\t")


def as_parquet(rows: list[dict[str, Any]]) -> bytes:
    columns = list(dict.fromkeys(name for row in rows for name in row))
    out = io.BytesIO()
    parquet.write_table(pyarrow.Table.from_pylist([dict.fromkeys(columns) | row for row in rows]), out)
    return out.getvalue()


FORMATS: dict[str, tuple[Callable[[list[dict[str, Any]]], bytes], ...]] = {
    ".jsonl": (as_lines,),
    ".ndjson": (as_lines,),
    ".json": (as_array, as_wrapped, as_lines),
    ".csv": (as_table,),
    ".tsv": (as_tabs,),
    ".parquet": (as_parquet,),
    ".txt": (as_lines, as_array),  # any other ending, and none: read as JSON
    "": (as_array,),
}


def zipped(content: bytes) -> bytes:
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("rows", content)
    return packed.getvalue()


PACK: dict[str, Callable[[bytes], bytes]] = {
    "": bytes,
    ".gz": gzip.compress,
    ".bz2": bz2.compress,
    ".xz": lzma.compress,
    ".zst": lambda content: bytes(pyarrow.compress(content, "zstd", asbytes=True)),
    ".zip": zipped,
}


def test_every_ending_that_is_read_is_tried():
    assert {*ENDINGS} <= {*FORMATS} and {*PACKINGS} == {*PACK} - {""}


SIGNS = [
    "{",
    "}",
    "[",
    "]",
    '"',
    "\\",
    ",",
    ":",
    ";",
    "#",
    "//",
    "\n",
    "\r\n",
    "\r",
    "\t",
    "\x00",
    "\ufeff",
    "\u2028",
    "\x1d",
    "9",
    "-",
    "1e999",
    "null",
    "NaN",
    "true",
    '"prompt"',
    '"completion"',
    '"messages"',
    '"data"',
    '"test"',
    '"role"',
    "prompt,completion",
    "prompt\tcompletion",
    "PAR1",
    "a",
    "é",
]
pieces = some.lists(
    some.sampled_from([sign.encode() for sign in SIGNS]) | some.binary(max_size=4), max_size=30
)
any_bytes = some.binary(max_size=200) | pieces.map(b"".join)


@some.composite
def damaged(draw: some.DrawFn, content: bytes) -> bytes:
    """Draw the same bytes with some turned, cut, doubled or put in."""
    for _ in range(draw(some.integers(1, 3))):
        place = draw(some.integers(0, len(content)))
        end = min(len(content), place + draw(some.sampled_from([1, 2, 9, 100, 10_000])))
        put = draw(
            some.sampled_from([b"", content[place:end] * 2, content[:place], b"\xff" * 8])
            | some.binary(max_size=4)
        )
        content = content[:place] + put + content[end:]
    return content


@some.composite
def files(draw: some.DrawFn) -> tuple[str, bytes]:
    """Draw a name and what stands in it: anything, or rows that were damaged before or after packing."""
    ending, packing = draw(some.sampled_from([*FORMATS])), draw(some.sampled_from([*PACK]))
    write = draw(some.sampled_from(FORMATS[ending]))
    content = write(ROWS * draw(some.integers(1, 3)))
    kind = draw(some.sampled_from(["rows", "damaged", "packed and damaged", "anything", "anything packed"]))
    if kind.startswith("anything"):
        content = draw(any_bytes)
    if kind == "damaged":
        content = draw(damaged(content))
    packed = content if kind == "anything" else PACK[packing](content)
    return f"rows{ending}{packing}", draw(damaged(packed)) if kind == "packed and damaged" else packed


def length(rows: Any) -> list[int | Any]:
    return [sum(len(turn.content.split()) for turn in row.messages) for row in rows]


def screened_or_refused(path: Path) -> bool:
    """Read a file as the stage does; return whether it could be read."""
    read: list[SourceRow] = []
    found = RowFiles(str(path), LIMIT_BYTES, lambda text: None)

    def rows() -> Iterator[SourceRow]:
        for row in found:
            read.append(row)
            yield row

    try:
        screened = Screen(Intake(1000, lambda: length, 1)).with_split((str(path), rows()), 0.3)
    except InvalidInput as error:
        assert str(path) in str(error)
        assert all(line.isprintable() for line in str(error).splitlines())
        return False
    assert read
    placed = [(row.file, row.line) for row in (*screened.train, *screened.eval, *screened.quarantined)]
    assert sorted(placed) == sorted((str(path), row.line) for row in read)
    assert screened.rows_in == len(read)
    assert {row.kind for row in screened.quarantined} <= {*KINDS}
    return True


@SETTINGS
@given(file=files())
def test_any_file_is_refused_or_each_of_its_rows_is_accounted_for(file: tuple[str, bytes]):
    name, content = file
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / name
        path.write_bytes(content)
        screened_or_refused(path)


# What may come over and over, in parts that are a row, a piece of one, or nothing.
endless = some.sampled_from(
    [
        b"\n",
        b"\r",
        b" ",
        b"a",
        b",",
        b'","\n',
        b'"\n',
        b"[",
        b"[]",
        b"{}",
        b"[1],",
        b'{"a":',
        b'"a":1,',
        b"9",
        b"\\",
    ]
) | some.lists(some.sampled_from([sign.encode() for sign in SIGNS]), min_size=1, max_size=4).map(b"".join)


@settings(SETTINGS, max_examples=20)
@example(".csv", b"", b"a")  # a line without an end
@example(".csv", b'a,b\n"', b'","\n')  # a row without an end
@example(".json", b'{"data": [{"a": 1}]}', b" ")
@example(".json", b'{"data": [{"a": 1}]', b',"name":1')
@given(
    ending=some.sampled_from([ending for ending in FORMATS if ending != ".parquet"]),
    head=any_bytes
    | some.sampled_from(
        [b'"', b"[", b'{"data": [{"a": 1}],', b'{"data": [{"a": 1}]}', b"a,b\n", b'a,b\n"', b'{"data": [']
    ),
    part=endless,
)
def test_what_goes_on_for_ever_takes_no_more_memory_than_a_row_may(ending: str, head: bytes, part: bytes):
    with tempfile.TemporaryDirectory() as folder, pytest.MonkeyPatch.context() as patched:
        for module in (text, source_row, json_document, table_rows):
            patched.setattr(module, "MAX_ROW_CHARACTERS", ROW_CHARACTERS)
        patched.setattr(json_rows, "HEAD_CHARACTERS", ROW_CHARACTERS)
        patched.setattr(content_module, "CHUNK_BYTES", ROW_CHARACTERS)
        path = Path(folder) / f"rows{ending}"
        path.write_bytes(head + part * (MANY_BYTES // len(part)))
        with little_memory(MANY_BYTES), suppress(InvalidInput):
            for _ in RowFile(str(path), 1 << 30):
                pass
