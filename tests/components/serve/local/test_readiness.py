from pathlib import Path

from components.serve.local.readiness import log_end


def test_the_end_of_a_log_keeps_the_error_that_stood_before_it(tmp_path: Path) -> None:
    log = tmp_path / "replica.log"
    lines = ["starting", "ValueError: adapter rank 64 is too large", *(f"line {n}" for n in range(30))]
    log.write_text("\n".join(lines))

    shown = log_end(log, lines=15).splitlines()

    assert shown == [lines[1], *lines[-15:]]


def test_a_log_that_is_not_there_is_said(tmp_path: Path) -> None:
    assert log_end(tmp_path / "replica.log") == "(no log)"
