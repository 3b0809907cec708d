from pathlib import Path

import pytest

from components.serve.local.configuration import socket_path


def test_a_socket_path_that_is_too_long_moves_to_where_every_session_finds_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    deep = Path("/" + "deep/" * 30)
    found = socket_path(deep)
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    monkeypatch.setattr("tempfile.tempdir", None)  # as in a new process

    assert socket_path(Path("/short")) == Path("/short/supervisor.sock")
    assert len(str(found)) < 90
    assert socket_path(deep) == found
    assert socket_path(deep) != socket_path(deep / "er")
