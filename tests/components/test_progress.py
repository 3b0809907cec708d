import pytest

from components.progress import Progress, parse, report


def test_what_is_reported_is_read_back(capsys: pytest.CaptureFixture[str]):
    report("quality-gate", "step", "two\nlines:  one")
    line = capsys.readouterr().out
    assert line.count("\n") == 1
    indented = f"        {line}"  # as kfp.local prints a task's output
    assert parse(indented) == Progress("quality-gate", "step", "two lines: one")


@pytest.mark.parametrize("line", ["", "[tunegate] started", "[tunegate] a unknown: b", "step 1/2"])
def test_any_other_line_is_none(line: str):
    assert parse(line) is None
