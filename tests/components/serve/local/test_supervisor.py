from pathlib import Path

import pytest

from components.serve.local.supervisor import _socket_path, log_end


def test_a_socket_path_that_is_too_long_moves_to_where_every_session_finds_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    deep = Path("/" + "deep/" * 30)
    found = _socket_path(deep)
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    monkeypatch.setattr("tempfile.tempdir", None)  # as in a new process

    assert _socket_path(Path("/short")) == Path("/short/supervisor.sock")
    assert len(str(found)) < 90
    assert _socket_path(deep) == found
    assert _socket_path(deep) != _socket_path(deep / "er")


def test_the_end_of_a_log_keeps_the_error_that_stood_before_it(tmp_path: Path) -> None:
    log = tmp_path / "replica.log"
    lines = ["starting", "ValueError: adapter rank 64 is too large", *(f"line {n}" for n in range(30))]
    log.write_text("\n".join(lines))

    shown = log_end(log, lines=15).splitlines()

    assert shown == [lines[1], *lines[-15:]]


def test_a_log_that_is_not_there_is_said(tmp_path: Path) -> None:
    assert log_end(tmp_path / "replica.log") == "(no log)"
