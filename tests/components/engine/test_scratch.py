"""The temporary directory of an engine: used by all of it, and gone however it ends."""

import os
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest

from components.engine.scratch import FOLDER_VARIABLE, scratch_folder

KERNELS = f"tunegate-kernels-{os.geteuid()}"
# As vLLM does it: a file by the server, another by a process that it starts.
ENGINE = """
import os, signal, subprocess, sys, tempfile
from components.engine.scratch import scratch_folder

leave = "import tempfile; open(tempfile.gettempdir() + '/vllm_dist_2', 'w')"
with scratch_folder() as folder:
    assert list(folder.iterdir()) == []
    open(tempfile.gettempdir() + "/vllm_dist_1", "w")
    subprocess.run([sys.executable, "-c", leave], check=True)
    assert sorted(path.name for path in folder.iterdir()) == ["vllm_dist_1", "vllm_dist_2"]
    if "killed" in sys.argv:
        os.kill(os.getpid(), signal.SIGKILL)
"""


def engine(shared: Path, *arguments: str, **variables: str) -> int:
    environment = {**os.environ, "TMPDIR": str(shared), **variables}
    environment.pop("TORCHINDUCTOR_CACHE_DIR", None)  # of an engine that this process had before
    return subprocess.run([sys.executable, "-c", ENGINE, *arguments], env=environment, timeout=60).returncode


def test_an_engine_that_ends_leaves_nothing(tmp_path: Path) -> None:
    assert engine(tmp_path) == 0
    assert [path.name for path in tmp_path.iterdir()] == [KERNELS]


def test_what_a_killed_engine_leaves_goes_with_its_successor(tmp_path: Path) -> None:
    own = tmp_path / "deployment" / "0"
    assert engine(tmp_path, "killed", **{FOLDER_VARIABLE: str(own)}) == -9
    assert own.is_dir()

    assert engine(tmp_path, **{FOLDER_VARIABLE: str(own)}) == 0

    assert not own.exists()
    assert sorted(path.name for path in tmp_path.iterdir()) == ["deployment", KERNELS]


def test_nothing_else_is_changed(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.delenv("TORCHINDUCTOR_CACHE_DIR", raising=False)
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    before = dict(os.environ)

    with scratch_folder() as folder:
        assert tempfile.gettempdir() == os.environ["TMPDIR"] == str(folder)
        kernels = os.environ["TORCHINDUCTOR_CACHE_DIR"]

    assert kernels == f"{tmp_path}/{KERNELS}"  # compiled once, not at every start
    assert dict(os.environ) == before
    assert tempfile.gettempdir() == str(tmp_path)


def test_a_long_name_leaves_room_for_sockets(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    deep = tmp_path / ("long-name-" * 8)
    deep.mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(deep))

    with scratch_folder() as folder:
        assert len(f"{folder}/{'x' * 36}") <= 107
