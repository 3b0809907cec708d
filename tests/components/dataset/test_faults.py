"""A full disk, a source that breaks off, a file that changes: told, and nothing half-written is left."""

import errno
import gzip
import importlib
import json
import os
import resource
from collections.abc import Callable, Iterator
from itertools import count
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from components.dataset import report
from components.dataset import validate as stage_module
from components.dataset.files import json_rows
from components.dataset.validate import DatasetConfig, examine
from components.errors import InvalidInput, TunegateError
from components.tracking.log import LocalLog


@pytest.fixture
def fill(monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[[ModuleType, str, int], None]]:
    """Let the disk be full from a call of a function that one of the stage's modules uses on.

    No file grows beyond a few bytes then, which the system says in nearly the words of a full disk.
    """
    for module in stage_module.LOADED_BESIDE:  # so that this process draws, whose files are limited
        importlib.import_module(module)
    before = resource.getrlimit(resource.RLIMIT_FSIZE)

    def fill(module: ModuleType, name: str, number: int) -> None:
        calls, function = count(1), getattr(module, name)

        def called(*args: Any, **kwargs: Any) -> Any:
            if next(calls) == number:
                resource.setrlimit(resource.RLIMIT_FSIZE, (10, before[1]))
            return function(*args, **kwargs)

        monkeypatch.setattr(module, name, called)

    yield fill
    resource.setrlimit(resource.RLIMIT_FSIZE, before)


LINES = [json.dumps({"prompt": f"Where is shelf {n}?", "completion": f"Aisle {n % 4}."}) for n in range(40)]


@pytest.mark.parametrize(
    ("module", "name", "number", "place", "left"),
    [
        pytest.param(stage_module, "_screen", 1, "temporary", [], id="rows on their way in"),
        pytest.param(stage_module, "atomic_write", 1, "out/train", [], id="the training set"),
        pytest.param(stage_module, "atomic_write", 2, "out/eval", ["train"], id="the eval set"),
        pytest.param(report, "draw_lengths", 1, "temporary", ["eval", "train"], id="a picture"),
        pytest.param(report, "asdict", 1, "temporary", ["eval", "train"], id="the quarantine"),
        pytest.param(report, "atomic_write", 1, "out/report", ["eval", "train"], id="the report"),
    ],
)
def test_a_disk_that_fills_is_told_wherever_the_stage_writes(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    fill: Callable[[ModuleType, str, int], None],
    module: ModuleType,
    name: str,
    number: int,
    place: str,
    left: list[str],
):
    # What the search for secrets, a program of its own, says of a full disk has a test beside it.
    monkeypatch.setattr("components.dataset.checks.sift.find_secrets", lambda rows: {})
    data, temporary, out, kept = (tmp_path / part for part in ("rows.jsonl", "temporary", "out", "kept"))
    for folder in (temporary, out, kept):
        folder.mkdir()
    monkeypatch.setattr("tempfile.tempdir", str(temporary))
    data.write_text("\n".join([*LINES, '{"prompt": "?"}']))
    config = DatasetConfig(dataset=str(data), base_model=str(tmp_path / "none"))
    fill(module, name, number)
    with pytest.raises(TunegateError) as told:
        examine(config, out / "train", out / "eval", out / "report", LocalLog(lambda _: None, kept))
    assert os.strerror(errno.EFBIG) in str(told.value)
    assert str(tmp_path / place) in str(told.value) or "TMPDIR" in str(told.value)
    assert sorted(path.name for path in out.iterdir()) == left  # each of them whole: it was written before
    assert not [*temporary.iterdir()]


def test_of_a_source_that_breaks_off_in_the_middle_nothing_is_used(tmp_path: Path):
    whole, cut, out = tmp_path / "rows.jsonl", tmp_path / "more.jsonl.gz", tmp_path / "out"
    whole.write_text("\n".join(LINES[:20]))
    packed = gzip.compress("\n".join(LINES[20:]).encode())
    cut.write_bytes(packed[: len(packed) * 2 // 3])
    config = DatasetConfig(dataset=f"{whole} + {cut}", base_model=str(tmp_path / "none"))
    with pytest.raises(InvalidInput, match=r"more\.jsonl\.gz: is no sound gzip file") as told:
        examine(config, out / "train", out / "eval", out / "report", LocalLog(lambda _: None, None))
    assert str(whole) not in str(told.value.problems)
    assert not out.exists()


def test_of_a_file_that_changes_while_it_is_read_nothing_is_used(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    data, out = tmp_path / "rows.jsonl", tmp_path / "out"
    data.write_text("\n".join(LINES))
    begin = json_rows.beginning

    def meanwhile(text: str) -> str:
        with data.open("a") as more:
            more.write("\n")
        return begin(text)

    monkeypatch.setattr(json_rows, "beginning", meanwhile)
    monkeypatch.setattr(json_rows, "HEAD_CHARACTERS", 100)  # so that there is more to read by then
    monkeypatch.setattr("components.sources.content.CHUNK_BYTES", 100)
    config = DatasetConfig(dataset=str(data), base_model=str(tmp_path / "none"))
    with pytest.raises(
        InvalidInput, match=r"rows\.jsonl: has changed while it was read; nothing of it is used"
    ):
        examine(config, out / "train", out / "eval", out / "report", LocalLog(lambda _: None, None))
    assert not out.exists()
