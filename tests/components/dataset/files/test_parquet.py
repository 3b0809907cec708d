"""What rows of a Parquet file stand for is counted, whatever their columns are nested in."""

from pathlib import Path
from typing import Any

import pyarrow
import pytest
from pyarrow import parquet

from components.dataset.files import parquet as parquet_module
from components.dataset.files.parquet import FREE_VALUES, VALUES_A_BYTE, _text_bytes, parquet_rows
from components.errors import InvalidInput

TEXTS = pyarrow.DictionaryArray.from_arrays(pyarrow.array([0] * 10, "int32"), ["p" * 100])


@pytest.mark.parametrize(
    ("array", "least"),
    [
        pytest.param(TEXTS, 1000, id="texts"),
        pytest.param(TEXTS[2:5], 300, id="a part of them"),
        pytest.param(pyarrow.StructArray.from_arrays([TEXTS], ["a"])[1:3], 200, id="structs"),
        pytest.param(
            pyarrow.LargeListArray.from_arrays(pyarrow.array([0, 2, 10], "int64"), TEXTS)[:1], 200, id="lists"
        ),
        pytest.param(pyarrow.FixedSizeListArray.from_arrays(TEXTS, 5)[:1], 500, id="lists of one size"),
        pytest.param(
            pyarrow.MapArray.from_arrays(
                pyarrow.array([0, 2, 4, 10], "int32"), pyarrow.array(list("abcdefghij")), TEXTS
            )[1:2],
            200,
            id="maps",
        ),
        pytest.param(pyarrow.array([1, 2, None]), 24, id="numbers"),
    ],
)
def test_each_value_counts_as_often_as_it_stands_there(array: Any, least: int):
    assert least <= _text_bytes(array) < least + 100


def test_rows_are_what_was_written(tmp_path: Path):
    table = pyarrow.table(
        {
            "nested": pyarrow.array([{"x": 1, "y": ["p", None]}, None]),
            "map": pyarrow.array([[("k", "v")], []], pyarrow.map_(pyarrow.string(), pyarrow.string())),
            "bytes": pyarrow.array([b"\x00", None]),
            "number": [1, 2],
            "text": pyarrow.array(["q", None]),
        }
    )
    path = tmp_path / "rows.parquet"
    parquet.write_table(table, path)
    read = list(parquet_rows(path, "rows.parquet", 1 << 30))
    assert [row.value for row in read] == table.to_pylist()
    assert [row.line for row in read] == [1, 2]


def test_times_that_python_has_no_date_for_are_text(tmp_path: Path):
    path = tmp_path / "rows.parquet"
    late = pyarrow.array([2**60, None], pyarrow.timestamp("us"))
    parquet.write_table(pyarrow.table({"prompt": ["A", "B"], "at": late}), path)
    first, second = parquet_rows(path, "rows.parquet", 1 << 30)
    assert isinstance(first.value, dict) and isinstance(second.value, dict)
    assert isinstance(first.value["at"], str) and second.value == {"prompt": "B", "at": None}


def test_two_columns_of_one_name_are_refused(tmp_path: Path):
    path = tmp_path / "rows.parquet"
    names = pyarrow.Table.from_arrays(
        [pyarrow.array(["a"]), pyarrow.array(["b"])], names=["prompt", "prompt"]
    )
    parquet.write_table(names, path)
    with pytest.raises(InvalidInput, match="columns 1 and 2 have one name"):
        list(parquet_rows(path, "rows.parquet", 1 << 30))


def test_values_that_take_no_space_in_the_file_are_counted_before_they_are_read(tmp_path: Path):
    path = tmp_path / "rows.parquet"
    many = FREE_VALUES + VALUES_A_BYTE * 10_000
    lists = pyarrow.ListArray.from_arrays(pyarrow.array([0, many], "int32"), pyarrow.nulls(many))
    parquet.write_table(pyarrow.table({"prompt": ["A"], "completion": ["B"], "tags": lists}), path)
    assert path.stat().st_size < 10_000
    before = pyarrow.default_memory_pool().max_memory()
    with pytest.raises(InvalidInput, match=r"has 8,[\d,]+ values in .* bytes, over 10 in each"):
        list(parquet_rows(path, "rows.parquet", 1 << 40))
    assert pyarrow.default_memory_pool().max_memory() == before


def test_long_rows_are_read_a_few_at_once_and_one_that_is_too_long_is_set_aside(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    path = tmp_path / "rows.parquet"
    texts = ["a" * 900, "b" * 9000, "c", "ä" * 300, *["d" * 100] * 500]  # most of them one value in the file
    parquet.write_table(pyarrow.table({"prompt": texts, "n": range(len(texts))}), path)
    for name, value in (("BATCH_BYTES", 2000), ("MAX_ROW_CHARACTERS", 1000), ("MAX_ROW_BYTES", 4000)):
        monkeypatch.setattr(f"components.dataset.files.parquet.{name}", value)
    asked, told = list[int](), parquet_module._told
    monkeypatch.setattr(parquet_module, "_told", lambda batch: asked.append(batch.num_rows) or told(batch))
    rows = list(parquet_rows(path, "rows.parquet", 1 << 30))
    assert [row.line for row in rows] == [*range(1, len(texts) + 1)]
    assert [row.line for row in rows if row.flaw and row.flaw.kind == "too_long"] == [2]
    assert [row.value for row in rows if not row.flaw] == [
        {"prompt": text, "n": n} for n, text in enumerate(texts) if n != 1
    ]
    assert sum(asked) == len(texts) - 1 and max(asked) <= 2000 / 100
