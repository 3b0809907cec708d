from pathlib import Path

import psutil
import pytest

from components.settings import free_memory_bytes


@pytest.mark.parametrize(
    ("limit", "left"),
    [pytest.param("1000", 1000 - 700 + 200, id="limited"), pytest.param("max", None, id="not")],
)
def test_memory_left_in_a_container(tmp_path: Path, limit: str, left: int | None) -> None:
    (tmp_path / "memory.max").write_text(f"{limit}\n")
    (tmp_path / "memory.current").write_text("700\n")
    (tmp_path / "memory.stat").write_text("anon 400\ninactive_file 200\n")
    total = psutil.virtual_memory().total

    free = free_memory_bytes(tmp_path)
    assert free == left if left is not None else 1000 < free < total
    assert 1000 < free_memory_bytes(tmp_path / "none") < total
