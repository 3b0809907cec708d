"""Lines that are kept on disk: each comes back, and a full disk is told."""

import resource
from pathlib import Path
from random import Random

import pytest

from components.dataset.spool import HELD_BYTES, Spool
from components.errors import TunegateError


@pytest.mark.parametrize("seed", range(3))
def test_every_line_comes_back_whatever_is_read_meanwhile(seed: int):
    random = Random(seed)
    spool, lines = Spool(), []
    for _ in range(2000):
        lines.append(random.randbytes(random.choice([0, 1, 300, 3000])))
        spool.append(lines[-1])
        if random.random() < 0.1:
            index = random.randrange(len(lines))
            assert spool[index] == lines[index]
    assert len(spool) == 2000 and sum(map(len, lines)) > HELD_BYTES
    assert [spool[index] for index in range(2000)] == lines


def test_a_place_where_nothing_can_be_kept_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path / "none"))
    with pytest.raises(TunegateError, match=r"rows could not be kept in .*/none: No such file or directory"):
        Spool()


def test_a_full_disk_is_told():
    spool, before = Spool(), resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (HELD_BYTES // 2, before[1]))
    try:
        with pytest.raises(
            TunegateError, match=r"rows could not be kept in .* let TMPDIR name another folder"
        ):
            spool.append(b"x" * HELD_BYTES)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
