"""Reading files: every format gives rows that know their line; what can't be read says why."""

import gzip
import json
from pathlib import Path
from random import Random

import pytest

from components.dataset.load import read_rows
from components.errors import InvalidInput

ROW = {"instruction": "Where?", "input": "", "output": "Aisle 4."}
LINE = json.dumps(ROW)
LIMIT = 1 << 30  # bytes


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
        pytest.param("a.jsonl.gz", gzip.compress(f"{LINE}\n".encode()), [(1, ROW)], id="gzip"),
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
    rows = read_rows(write(tmp_path / name, content), LIMIT).rows
    assert [(row.line, row.value) for row in rows] == expected
    assert not any(row.flaw for row in rows)


@pytest.mark.parametrize("seed", range(20))
def test_a_damaged_file_loses_no_line(tmp_path: Path, seed: int):
    random = Random(seed)
    content = bytearray((LINE + "\n").encode() * 50)
    for _ in range(random.randint(1, 200)):
        content[random.randrange(len(content))] = random.choice(b'\n\r {}[]",:\\\x00\x1d a1')
    lines = [n for n, line in enumerate(content.split(b"\n"), start=1) if line.decode().strip()]
    assert [row.line for row in read_rows(write(tmp_path / "a.jsonl", bytes(content)), LIMIT).rows] == lines


def test_reads_parquet(tmp_path: Path):
    import pyarrow
    from pyarrow import parquet

    nested = {"messages": [{"role": "user", "content": "Where?"}, {"role": "assistant", "content": "Here."}]}
    path = tmp_path / "rows.parquet"
    parquet.write_table(pyarrow.Table.from_pylist([nested, nested]), path)
    assert [(row.line, row.value) for row in read_rows(str(path), LIMIT).rows] == [
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
    rows = read_rows(write(tmp_path / name, content), LIMIT).rows
    assert {row.line: row.flaw.kind for row in rows if row.flaw} == flaws


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
        pytest.param(
            "a.json", b'{"rows":\n[]}', ["a single JSON object", "wanted an array"], id="one-object"
        ),
        pytest.param(
            "a.json", b'[{"a": 1},\n{"a" 2}]', ["no JSON array", "line 2, column 6"], id="broken-array"
        ),
        pytest.param("a.json", b'[{"a": 1}\n{"a": 2}]', ["comma or ] is missing", "line 2"], id="no-comma"),
        pytest.param("a.json", b'[{"a": 1},', ["no JSON array"], id="array-cut-off"),
        pytest.param("a.parquet", b"PAR1 and no more", ["no valid Parquet"], id="broken-parquet"),
    ],
)
def test_a_file_that_cannot_be_read_says_why(tmp_path: Path, name: str, content: bytes, words: list[str]):
    source = write(tmp_path / name, content)
    with pytest.raises(InvalidInput) as caught:
        read_rows(source, LIMIT)
    assert all(word in str(caught.value) for word in [source, *words])


def test_a_file_that_is_not_there_says_so(tmp_path: Path):
    with pytest.raises(InvalidInput, match="no such file"):
        read_rows(str(tmp_path / "nothing.jsonl"), LIMIT)
