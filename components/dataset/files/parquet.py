"""Read Parquet, of which a few kilobytes can stand for any amount of text."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from components.dataset.files.source_row import SourceRow, beginning, check_columns, too_long
from components.dataset.files.text import MAX_ROW_CHARACTERS
from components.errors import InvalidInput
from components.sources.packing import FREE_BYTES, WIDE, check_size
from components.web import quoted

BATCH_ROWS, BATCH_BYTES = 1024, 8 << 20  # at once; the bytes only where that is more than one row
VALUE_BYTES = 8  # the least that a value takes once it is read, were it null
# Values that are the same all over take no space in a file; of others, each takes a bit or more.
FREE_VALUES, VALUES_A_BYTE = 8 << 20, 10
MAX_ROW_BYTES = 4 * MAX_ROW_CHARACTERS


def parquet_rows(path: Path, name: str, limit_bytes: int) -> Iterator[SourceRow]:
    """Read the rows of a Parquet file.

    Args:
        path: The file.
        name: What it is called in an error.
        limit_bytes: The most that its rows may stand for.

    Raises:
        InvalidInput: It is damaged, or its rows stand for more.
    """
    import pyarrow
    from pyarrow import parquet

    try:
        with parquet.ParquetFile(path) as file:
            metadata = file.metadata
            _check_declared(metadata, path.stat().st_size, name, limit_bytes)
            names = file.schema_arrow.names
            if twice := sorted({column for column in names if names.count(column) > 1}):
                places = [str(place) for place, column in enumerate(names, start=1) if column == twice[0]]
                raise InvalidInput(name, [f"columns {' and '.join(places)} have one name; rename them"])
            texts = [
                column.path
                for column in map(metadata.schema.column, range(metadata.num_columns))
                if column.physical_type == "BYTE_ARRAY"
                and column.logical_type.type in ("STRING", "JSON", "ENUM")
            ]
        # A value that stands in a thousand rows stays one value until it was counted a thousand times.
        with parquet.ParquetFile(path, read_dictionary=texts, memory_map=True) as file:
            size, read = 0, 0
            for batch in file.iter_batches(batch_size=_rows_at_once(metadata)):
                size += _batch_bytes(batch)
                check_size(name, size, limit_bytes, "unpacks to")
                for part in _parts(batch):
                    yield from _rows(part, read + 1, name)
                    read += part.num_rows
    except (pyarrow.ArrowException, OSError, ValueError, OverflowError) as error:
        why = quoted(str(error).partition("\n")[0])
        raise InvalidInput(
            name, [f"is no valid Parquet file ({why}): damaged or cut short; fetch or write it again"]
        ) from None


def _rows_at_once(metadata: Any) -> int:
    """Return how many rows are read at once: few where they are long."""
    groups = map(metadata.row_group, range(metadata.num_row_groups))
    longest = max((group.total_byte_size / group.num_rows for group in groups if group.num_rows), default=0)
    return max(1, min(BATCH_ROWS, int(BATCH_BYTES / max(longest, 1))))


def _parts(batch: Any) -> Iterator[Any]:
    """Cut a batch until what each part stands for fits into memory, or is of one row."""
    half = batch.num_rows // 2
    if not half or _batch_bytes(batch) <= BATCH_BYTES:
        yield batch
    else:
        yield from _parts(batch[:half])
        yield from _parts(batch[half:])


def _rows(batch: Any, number: int, name: str) -> Iterator[SourceRow]:
    """Return the rows of a part as Python's objects; one that no model takes is not even made."""
    if batch.num_rows == 1 and (size := _batch_bytes(batch)) > MAX_ROW_BYTES:
        yield SourceRow(number, "", flaw=too_long(), size=size, file=name)
        return
    for place, value in enumerate(_told(batch).to_pylist(), start=number):
        text = json.dumps(value, ensure_ascii=False, default=str)
        if len(text) > MAX_ROW_CHARACTERS:
            yield SourceRow(place, beginning(text), flaw=too_long(), size=len(text), file=name)
        else:
            yield SourceRow(place, beginning(text), value, size=len(text), file=name)


def _told(batch: Any) -> Any:
    """Return a batch with times as text: there are some that Python has no date for."""
    import pyarrow

    for place, column in enumerate(batch.columns):
        if pyarrow.types.is_temporal(column.type):
            batch = batch.set_column(place, batch.schema.field(place).name, column.cast(pyarrow.string()))
    return batch


def _check_declared(metadata: Any, arrived: int, name: str, limit_bytes: int) -> None:
    """Refuse by what the file says of itself, before any of it is unpacked."""
    check_columns(metadata.num_columns, name)
    groups = [*map(metadata.row_group, range(metadata.num_row_groups))]
    declared = sum(group.total_byte_size for group in groups)
    check_size(name, declared, limit_bytes, "unpacks to")
    values = sum(group.column(place).num_values for group in groups for place in range(group.num_columns))
    if values > FREE_VALUES + VALUES_A_BYTE * arrived:
        raise InvalidInput(
            name,
            [
                f"has {values:,} values in {arrived:,} bytes, over {VALUES_A_BYTE} in each, as no file of "
                "rows does; if it is sound, leave out columns that are empty or the same all over"
            ],
        )
    # Values that repeat are written once before they are packed: rows with one prompt in common pack no
    # better than other text.
    if declared > FREE_BYTES + WIDE * arrived:
        raise InvalidInput(
            name,
            [
                f"unpacks to {declared:,} bytes by its own account, over {WIDE:,} times its {arrived:,}, as "
                "no file of rows does; if it is sound, write it as JSONL"
            ],
        )


def _batch_bytes(batch: Any) -> int:
    return sum(map(_text_bytes, batch.columns))


def _text_bytes(array: Any) -> int:
    """Return what an array takes when each of its values is written out."""
    import pyarrow
    from pyarrow import compute

    kind = array.type
    if pyarrow.types.is_dictionary(kind):
        lengths = compute.take(compute.binary_length(array.dictionary), array.indices)
        return int(compute.sum(lengths).as_py() or 0) + VALUE_BYTES * len(array)
    if pyarrow.types.is_struct(kind):
        return sum(map(_text_bytes, array.flatten()))
    if pyarrow.types.is_map(kind):
        own = slice(array.offsets[0].as_py(), array.offsets[-1].as_py())  # of what it may be a part of
        return _text_bytes(array.keys[own]) + _text_bytes(array.items[own])
    if pyarrow.types.is_nested(kind) and hasattr(array, "flatten"):  # lists of all sorts
        return _text_bytes(array.flatten())
    return max(int(array.nbytes), VALUE_BYTES * len(array))
