"""Reading files: every format gives rows that know their line; what can't be read says why."""

import gzip
import json
import pickle
from collections.abc import Callable, Iterator
from pathlib import Path
from random import Random
from typing import Any

import pyarrow
import pytest

from components.dataset.files.json_rows import json_rows
from components.dataset.files.load import RowFile
from components.dataset.files.source_row import SourceRow
from components.dataset.files.text import decode
from components.errors import InvalidInput

ROW = {"instruction": "Where?", "input": "", "output": "Aisle 4."}
LINE = json.dumps(ROW)
PRETTY = json.dumps(ROW, indent=2)
LIMIT = 1 << 30  # bytes


def zstd(text: str) -> bytes:
    return bytes(pyarrow.compress(text.encode(), "zstd", asbytes=True))


def arrow(opened: Callable[..., Any]) -> bytes:
    """Return a row as Arrow writes it."""
    table, made = pyarrow.table({"a": [1]}), pyarrow.BufferOutputStream()
    with opened(made, table.schema) as writer:
        writer.write(table)
    return bytes(made.getvalue())


def write(path: Path, content: str | bytes) -> str:
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    return str(path)


@pytest.mark.parametrize(
    ("name", "content", "expected"),
    [
        pytest.param("a.jsonl", f"{LINE}\n{LINE}\n", [(1, ROW), (2, ROW)], id="jsonl"),
        pytest.param(
            "a.jsonl", f"\ufeff{LINE}\r\n\r\n  \n{LINE}", [(1, ROW), (4, ROW)], id="jsonl-bom-crlf-blank"
        ),
        pytest.param(
            "a.jsonl", '{"a": "x\u2028y"}\n', [(1, {"a": "x\u2028y"})], id="a-line-separator-is-text"
        ),
        pytest.param("a.json", f"{LINE}\n{LINE}", [(1, ROW), (2, ROW)], id="json-lines-named-json"),
        pytest.param("a.json", f"[{LINE},{LINE}]", [(1, ROW), (1, ROW)], id="array-on-one-line"),
        pytest.param("a.json", f"\n[\n{LINE},\n\n{LINE}\n]\n", [(3, ROW), (5, ROW)], id="array-over-lines"),
        pytest.param("data", f"[\n{LINE}]", [(2, ROW)], id="array-without-ending"),
        pytest.param("a.jsonl", "[1, 2]\n", [(1, [1, 2])], id="a-list-on-a-line-is-a-row"),
        pytest.param(
            "a.jsonl", f"# by hand\n// in May\n\n{LINE}\n", [(4, ROW)], id="comments-at-the-head-of-lines"
        ),
        pytest.param("a.json", f"// x\n[\n{LINE}]", [(3, ROW)], id="comment-at-the-head-of-an-array"),
        pytest.param(
            "a.json", f'{{"version": 1, "data": [{LINE},\n{LINE}]}}', [(1, ROW), (2, ROW)], id="wrapped"
        ),
        pytest.param("a.json", f'{{"Rows":[{LINE}], "note": {{}}}}\n', [(1, ROW)], id="wrapped-on-one-line"),
        pytest.param("a.jsonl", f"{PRETTY}\n{PRETTY}", [(1, ROW), (6, ROW)], id="one-object-after-another"),
        pytest.param("a.json", PRETTY, [(1, ROW)], id="one-row-over-lines"),
        pytest.param(
            "a.json",
            '{"instruction": "Where?",\n"examples": [{"input": "x"}]}',
            [(1, {"instruction": "Where?", "examples": [{"input": "x"}]})],
            id="a-row-with-a-list-of-objects-wraps-nothing",
        ),
        pytest.param(
            "a.jsonl",
            f'{{"data": [{LINE}]}}\n{LINE}',
            [(1, {"data": [ROW]}), (2, ROW)],
            id="what-is-followed-by-rows-wraps-none",
        ),
        pytest.param("a.jsonl.gz", gzip.compress(f"{LINE}\n".encode()), [(1, ROW)], id="gzip"),
        pytest.param("a.jsonl.zst", zstd(f"{LINE}\n"), [(1, ROW)], id="zstd"),
        pytest.param(
            "a.csv",
            "# by hand\ninstruction;output\nA, b;c\n",
            [(3, {"instruction": "A, b", "output": "c"})],
            id="csv-with-semicolons-and-a-comment",
        ),
        pytest.param(
            "a.csv", "prompt,completion\r\nA,B\r\n", [(2, {"prompt": "A", "completion": "B"})], id="csv-crlf"
        ),
        pytest.param(
            "a.csv",
            "prompt,completion\rA,B\rC,D",
            [(2, {"prompt": "A", "completion": "B"}), (3, {"prompt": "C", "completion": "D"})],
            id="csv-cr",
        ),
        pytest.param(
            "a.csv",
            'instruction,input,output\nWhere?,,Aisle 4.\n"Two\nlines?",,Yes.\nWhere?,,Aisle 4.\n',
            [(2, ROW), (3, {"instruction": "Two\nlines?", "input": "", "output": "Yes."}), (5, ROW)],
            id="csv-with-a-row-over-two-lines",
        ),
        pytest.param(
            "a.tsv",
            "prompt\tcompletion\nA, b?\tYes.\n",
            [(2, {"prompt": "A, b?", "completion": "Yes."})],
            id="tsv",
        ),
    ],
)
def test_reads_rows_with_their_lines(
    tmp_path: Path, name: str, content: str | bytes, expected: list[tuple[int, object]]
):
    rows = list(RowFile(write(tmp_path / name, content), LIMIT))
    assert [(row.line, row.value) for row in rows] == expected
    assert not any(row.flaw for row in rows)


@pytest.mark.parametrize("seed", range(20))
def test_a_damaged_file_loses_no_line(tmp_path: Path, seed: int):
    random = Random(seed)
    content = bytearray((LINE + "\n").encode() * 50)
    for _ in range(random.randint(1, 200)):
        content[random.randrange(len(content))] = random.choice(b'\n\r {}[]",:\\\x00\x1d a1')
    lines = [n for n, line in enumerate(content.split(b"\n"), start=1) if line.decode().strip()]
    assert [row.line for row in RowFile(write(tmp_path / "a.jsonl", bytes(content)), LIMIT)] == lines


def test_reads_parquet(tmp_path: Path):
    from pyarrow import parquet

    nested = {"messages": [{"role": "user", "content": "Where?"}, {"role": "assistant", "content": "Here."}]}
    path = tmp_path / "rows.parquet"
    parquet.write_table(pyarrow.Table.from_pylist([nested, nested]), path)
    assert [(row.line, row.value) for row in RowFile(str(path), LIMIT)] == [
        (1, nested),
        (2, nested),
    ]


@pytest.mark.parametrize(
    ("name", "content", "flaws"),
    [
        pytest.param("a.jsonl", f'{LINE}\n{{"a": \n{LINE}', {2: "not_json"}, id="cut-off"),
        pytest.param("a.jsonl", f"{LINE}\n{'[' * 100_000}\n", {2: "not_json"}, id="nested-too-deeply"),
        pytest.param("a.jsonl", f"{LINE}\n{'9' * 5000}\n", {2: "not_json"}, id="absurd-number"),
        pytest.param("a.csv", "prompt,completion\nA,B\nA,b,c\n", {3: "not_csv"}, id="csv-too-many-fields"),
    ],
)
def test_a_row_that_cannot_be_read_is_one_flaw(
    tmp_path: Path, name: str, content: str, flaws: dict[int, str]
):
    rows = list(RowFile(write(tmp_path / name, content), LIMIT))
    assert {row.line: row.flaw.kind for row in rows if row.flaw} == flaws


TWICE = '{"prompt": "A", "completion": "B", "prompt": "C"}'


@pytest.mark.parametrize(
    ("name", "content", "line"),
    [
        pytest.param("a.jsonl", f"{LINE}\n{TWICE}\n{LINE}\n", 2, id="lines"),
        pytest.param(
            "a.jsonl", f'{LINE}\n{{"messages": [{{"prompt": 1, "prompt": 2}}]}}\n{LINE}', 2, id="inside"
        ),
        pytest.param("a.jsonl", f'{LINE}\n{{"prompt": "A", "pr\\u006fmpt": "A"}}\n{LINE}', 2, id="escaped"),
        pytest.param("a.json", f"[{LINE},\n{TWICE},\n{LINE}]", 2, id="array"),
        pytest.param(
            "a.json", f'{{"data": [{LINE},\n{TWICE}, {LINE}], "by": {{"a": 1, "a": 2}}}}', 2, id="wrapped"
        ),
        pytest.param("a.json", f"{PRETTY}\n{TWICE}\n{PRETTY}", 6, id="one-after-another"),
    ],
)
def test_a_row_that_gives_a_name_twice_is_set_aside(tmp_path: Path, name: str, content: str, line: int):
    first, twice, last = RowFile(write(tmp_path / name, content), LIMIT)
    assert first.value == last.value == ROW and not first.flaw and not last.flaw
    assert twice.line == line and twice.value is None and twice.flaw and twice.flaw.kind == "ambiguous"
    assert twice.flaw.why == "has prompt more than once in one object; wanted it once"


@pytest.mark.parametrize(
    ("name", "content", "words"),
    [
        pytest.param("a.jsonl", b"", ["is empty", "one row a line"], id="empty"),
        pytest.param("a.jsonl", b" \n\n\t\n", ["is empty"], id="blank"),
        pytest.param("a.json", b"[]", ["has no rows"], id="empty-array"),
        pytest.param("a.csv", b"prompt,completion\n", ["has no rows"], id="only-a-header"),
        pytest.param(
            "a.jsonl",
            b'{"a": 1}\n{"a": "caf\xe9"}\n',
            ["byte 19", "line 2", "0xe9 is not UTF-8", "save it as UTF-8"],
            id="latin-1",
        ),
        pytest.param("a.jsonl", LINE.encode("utf-16"), ["byte 0", "looks like UTF-16"], id="utf-16"),
        pytest.param(
            "a.jsonl.gz",
            gzip.compress(LINE.encode() * 99)[:40],
            ["no sound gzip", "cut short"],
            id="gzip-cut-off",
        ),
        pytest.param("a.jsonl.gz", LINE.encode(), ["no sound gzip", "Not a gzipped file"], id="not-gzip"),
        pytest.param(
            "a.jsonl.gz", gzip.compress(LINE.encode())[:10] + b"\xff" * 40, ["gzip"], id="gzip-damaged"
        ),
        pytest.param("a.json", b'{"rows":\n[]}', ["has no rows"], id="no-wrapped-rows"),
        pytest.param(
            "a.json", b'[{"a": 1},\n{"a" 2}]', ["no JSON document", "line 2, column 6"], id="broken-array"
        ),
        pytest.param("a.json", b'[{"a": 1}\n{"a": 2}]', ["comma or ] is missing", "line 2"], id="no-comma"),
        pytest.param("a.json", b'[{"a": 1},', ["no JSON document"], id="array-cut-off"),
        pytest.param(
            "a.json", b'[{"a": 1}] {}', ["goes on after its end", "line 1, column 12"], id="after-array"
        ),
        pytest.param("a.csv", b"a,b,a\n1,2,3\n", ["columns 1 and 3 have one name"], id="column-twice"),
        pytest.param(
            "a.json",
            b'{"system": "Brief.", "data": [{"a": 1}]}',
            ["has 'system' beside its rows"],
            id="system-beside",
        ),
        pytest.param(
            "a.json",
            b'{"data": [{"a": 1}], "more": [{"a": 2}]}',
            ["another list of objects"],
            id="rows-beside",
        ),
        pytest.param(
            "a.json",
            b'{"items": [{"name": "x"}], "prompt": "p"}',
            ["has 'prompt' beside"],
            id="a-row-of-items",
        ),
        pytest.param("a.parquet", b"PAR1 and no more", ["no valid Parquet"], id="broken-parquet"),
        pytest.param("a.xlsx", b"PK\x03\x04" + bytes(40), ["a workbook", "as CSV"], id="workbook"),
        pytest.param("a.arrow", arrow(pyarrow.ipc.new_file), ["an Arrow file", "as Parquet"], id="arrow"),
        pytest.param("a.arrow", arrow(pyarrow.ipc.new_stream), ["an Arrow stream"], id="arrow-stream"),
        pytest.param("a.pkl", pickle.dumps([{"a": 1}]), ["a pickle", "JSON lines"], id="pickle"),
    ],
)
def test_a_file_that_cannot_be_read_says_why(tmp_path: Path, name: str, content: bytes, words: list[str]):
    source = write(tmp_path / name, content)
    with pytest.raises(InvalidInput) as caught:
        list(RowFile(source, LIMIT))
    assert all(word in str(caught.value) for word in [source, *words])


def test_a_file_that_is_not_there_says_so(tmp_path: Path):
    with pytest.raises(InvalidInput, match="no such file"):
        list(RowFile(str(tmp_path / "nothing.jsonl"), LIMIT))


def test_rows_know_the_side_that_their_file_puts_them_on(tmp_path: Path):
    content = f'{{"train": [{LINE}, {LINE}], "validation": [{LINE}], "data": [{LINE}]}}'
    rows = RowFile(write(tmp_path / "a.json", content), LIMIT)
    assert [row.side for row in rows] == ["train", "train", "eval", ""]


@pytest.mark.parametrize(
    ("name", "before", "after"),
    [
        pytest.param("a.jsonl", f"{LINE}\n", f"\n{LINE}\n", id="line"),
        pytest.param("a.jsonl", "", f"\n{LINE}\n", id="first-line"),
        pytest.param("a.jsonl", f"{LINE}\n", "", id="last-line"),
    ],
)
def test_a_line_longer_than_a_row_may_be_is_set_aside_and_not_held(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str, before: str, after: str
):
    monkeypatch.setattr("components.dataset.files.text.MAX_ROW_CHARACTERS", 1000)
    monkeypatch.setattr("components.dataset.files.json_document.MAX_ROW_CHARACTERS", 1000)
    long = json.dumps({"instruction": "x" * 5000, "output": "y"})
    found = list(RowFile(write(tmp_path / name, before + long + after), LIMIT))
    assert len(found) == 1 + bool(before) + bool(after)
    (flawed,) = (row for row in found if row.flaw)
    assert flawed.flaw and flawed.flaw.kind == "too_long"
    assert flawed.line == 1 + bool(before)


@pytest.mark.parametrize(
    "before", ["# note " * 9 + "\n", "\n" * 70, "// a\n\n# b\n"], ids=["one", "blank", "two"]
)
@pytest.mark.parametrize("size", [1, 16, 50])
def test_what_stands_before_rows_costs_none_of_them(before: str, size: int):
    content = before + f"{LINE}\n" * 5
    pieces = (content[begin : begin + size] for begin in range(0, len(content), size))
    rows = list(json_rows(pieces, ".jsonl", "a.jsonl", []))
    assert [(row.line, row.value) for row in rows] == [(before.count("\n") + n, ROW) for n in range(1, 6)]


def test_lines_are_counted_in_a_file_that_begins_with_more_blanks_than_are_read_at_once(tmp_path: Path):
    (row,) = RowFile(write(tmp_path / "a.jsonl", "\n" * 3_000_000 + LINE), LIMIT)
    assert row.line == 3_000_001


def test_what_stands_beside_wrapped_rows_is_noted(tmp_path: Path):
    rows = RowFile(
        write(tmp_path / "a.json", f'{{"version": 1, "data": [{LINE}], "note": {{"by": "x"}}}}'), LIMIT
    )
    assert len(list(rows)) == 1 and rows.beside == ["version", "note"]


def test_a_quote_that_is_not_closed_is_told_where_it_begins(tmp_path: Path):
    rows = list(RowFile(write(tmp_path / "a.csv", 'prompt,completion\na,b\nc,"d\ne,f\ng,h\n'), LIMIT))
    assert [(row.line, row.flaw.kind if row.flaw else "") for row in rows] == [(2, ""), (3, "not_csv")]


def test_columns_without_a_name_and_a_value_are_none(tmp_path: Path):
    rows = list(RowFile(write(tmp_path / "a.csv", "prompt,completion,,\nA,B,,x\n"), LIMIT))
    assert [row.value for row in rows] == [
        {"prompt": "A", "completion": "B", "column 3": "", "column 4": "x"}
    ]


@pytest.mark.parametrize("size", [1, 2, 7, 100])
@pytest.mark.parametrize(
    "content",
    [
        f"[\n{LINE},\n{LINE}\n]",
        f"{PRETTY}\n{PRETTY}",
        f'# x\n{{"n": 12, "data":[{LINE}, {LINE}]}}',
        "[12,\n3]",
    ],
    ids=["array", "objects", "wrapped", "numbers"],
)
def test_a_document_reads_alike_in_pieces_of_any_size(content: str, size: int):
    def read(pieces: Iterator[str]) -> tuple[list[SourceRow], list[str]]:
        beside = list[str]()
        return list(json_rows(pieces, ".json", "a.json", beside)), beside

    pieces = (content[begin : begin + size] for begin in range(0, len(content), size))
    assert read(pieces) == read(iter([content]))


@pytest.mark.parametrize("size", [1, 2, 3, 100])
def test_text_decodes_alike_in_pieces_of_any_size(size: int):
    content = '\ufeff{"a": "caf\u00e9 \U0001f600"}\n'.encode()
    assert "".join(
        decode((content[n : n + size] for n in range(0, len(content), size)), "a")
    ) == content.decode("utf-8-sig")
    with pytest.raises(InvalidInput, match=r"byte 23 \(line 2\): 0xff is not UTF-8"):
        broken = content + b"\xff"
        list(decode((broken[n : n + size] for n in range(0, len(broken), size)), "a"))
