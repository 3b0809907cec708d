import io

import pytest
from rich.console import Console

from components.progress import STAGES, Progress
from pipelines.follow import NotebookView, ReleaseView, following, refreshing

LINES = [
    Progress("dataset", "cached", "unchanged since release r1"),
    Progress("finetune", "started", ""),
    Progress("finetune", "step", "step 3/62 loss 1.2 [x] 500 tokens/s 0:40 left"),
    Progress("evaluate", "started", ""),
    Progress("evaluate", "step", "exact match: base 0.00, fine-tuned 0.90"),
    Progress("evaluate", "finished", "59 s"),
    Progress("quality-gate", "refused", "gain too small"),
]


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


NOT_REDRAWN = [
    pytest.param(io.StringIO, {}, id="pod or pipe"),
    pytest.param(io.StringIO, {"FORCE_COLOR": "1"}, id="pipe with colours"),
    pytest.param(Terminal, {"TERM": "dumb"}, id="dumb terminal"),
    pytest.param(Terminal, {"TTY_COMPATIBLE": "0"}, id="terminal that knows no codes"),
]


@pytest.mark.parametrize(("kind", "environment"), NOT_REDRAWN)
def test_what_cannot_be_redrawn_gets_plain_lines_at_once(
    kind: type[io.StringIO], environment: dict[str, str], monkeypatch: pytest.MonkeyPatch
):
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    out = kind()
    with following(Console(file=out, width=40)) as follow:
        for number, line in enumerate(LINES, 1):
            follow(line)
            assert len(out.getvalue().splitlines()) == number
    lines = out.getvalue().splitlines()
    assert len(lines) == len(LINES)  # none is wrapped
    assert lines[2].endswith("finetune      step: step 3/62 loss 1.2 [x] 500 tokens/s 0:40 left")


def test_a_terminal_gets_every_stage_with_its_last_word():
    view = ReleaseView()
    for line in LINES:
        view.show(line)
    console = Console(file=io.StringIO(), width=100, record=True)
    console.print(view)
    rows = {row.split()[1]: row for row in console.export_text().splitlines() if len(row.split()) > 1}
    assert set(STAGES) <= set(rows)
    assert "○" in rows["dataset"] and "unchanged since" in rows["dataset"]
    assert "step 3/62 loss 1.2 [x]" in rows["finetune"]
    assert "✓" in rows["evaluate"] and "59 s" in rows["evaluate"] and "fine-tuned 0.90" in rows["evaluate"]
    assert "✗" in rows["quality-gate"]


def test_a_terminal_is_redrawn_in_place():
    out = Terminal()
    with following(Console(file=out, width=100)) as follow:
        for line in LINES:
            follow(line)
    assert "\x1b[" in out.getvalue() and "promote" in out.getvalue()


@pytest.mark.parametrize(("kind", "environment"), NOT_REDRAWN)
def test_a_view_that_cannot_be_redrawn_is_printed_when_it_has_changed(
    kind: type[io.StringIO], environment: dict[str, str], monkeypatch: pytest.MonkeyPatch
):
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setattr("pipelines.follow.REFRESH_S", 0)
    out, views = kind(), iter(["one", "one", "two"])
    with pytest.raises(StopIteration):
        refreshing(Console(file=out), lambda: next(views))
    assert out.getvalue().splitlines()[1::3] == ["one", "two"]
    assert "\x1b[" not in out.getvalue()


def test_a_notebook_gets_one_row_a_stage_of_each_run():
    view = NotebookView()
    for line in [*LINES, Progress("finetune", "started", ""), Progress("finetune", "failed", "why " * 50)]:
        view.show(line)
    rows = [row.split(maxsplit=1)[1] for row in str(view).splitlines()]
    assert rows[0] == "○ dataset       unchanged since release r1"
    assert rows[1] == "· finetune      step 3/62 loss 1.2 [x] 500 tokens/s 0:40 left"
    assert rows[2] == "✓ evaluate      59 s   exact match: base 0.00, fine-tuned 0.90"
    assert rows[3] == "✗ quality-gate  gain too small"
    assert rows[4].startswith("✗ finetune") and rows[4].count("why") == 50  # a reason is never cut
    view.show(Progress("stress", "step", "x" * 200))
    assert len(str(view).splitlines()[-1]) < 140 and str(view).endswith("x…")
