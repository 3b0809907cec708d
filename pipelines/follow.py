"""What a person sees while a release runs: a live view in a terminal or notebook, plain lines elsewhere."""

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

from rich.console import Console, RenderableType
from rich.live import Live
from rich.spinner import Spinner
from rich.table import Table
from rich.text import Text

from components.progress import STAGES, Kind, Progress

MARKS: dict[Kind, tuple[str, str]] = {
    "cached": ("○", "cyan"),
    "finished": ("✓", "green"),
    "refused": ("✗", "red"),
    "failed": ("✗", "red"),
}
REFRESH_S = 1.0
NOTEBOOK_WIDTH = 96  # characters of what a stage says


@dataclass
class StageView:
    """What is known of one stage so far."""

    kind: Kind | None = None
    text: str = ""
    started: float = field(default_factory=time.monotonic)


def refreshing(console: Console, draw: Callable[[], RenderableType]) -> None:
    """Show a view until Ctrl-C: redrawn in a terminal, printed whenever it has changed elsewhere."""
    if _redraws(console):
        with Live(draw(), console=console, auto_refresh=False) as live:
            while True:
                time.sleep(REFRESH_S)
                live.update(draw(), refresh=True)
    shown = ""
    while True:
        with console.capture() as captured:
            console.print(draw())
        if captured.get() != shown:
            shown = captured.get()
            console.out(f"{time.strftime('%H:%M:%S')}\n{shown}", highlight=False)
        time.sleep(REFRESH_S)


@contextmanager
def following(console: Console) -> Iterator[Callable[[Progress], None]]:
    """Show progress on a console; call what this yields with every line of it."""
    if not _redraws(console):
        yield lambda line: console.print(
            f"{time.strftime('%H:%M:%S')} {line.stage:<13} {line.kind}: {line.text}".rstrip(": "),
            markup=False,
            highlight=False,
            soft_wrap=True,
        )
        return
    view = ReleaseView()
    with Live(view, console=console, refresh_per_second=4):
        yield view.show


def _redraws(console: Console) -> bool:
    """Return whether what was shown can be drawn over: not in a pipe with FORCE_COLOR, not with TERM=dumb."""
    # On any other terminal rich's Live shows nothing before its end.
    return console.is_terminal and not console.is_dumb_terminal and console.file.isatty()


def in_notebook() -> Callable[[Progress], None]:
    """Show progress below the cell that runs; call what this returns with every line of it."""
    from IPython.display import display

    view = NotebookView()
    shown = display({"text/plain": ""}, raw=True, display_id=True)  # type: ignore[no-untyped-call]

    def follow(line: Progress) -> None:
        view.show(line)
        shown.update({"text/plain": str(view)}, raw=True)

    return follow


class NotebookView:
    """One row for each stage that was started or skipped, with the last it said; also of several runs."""

    def __init__(self) -> None:
        self.rows: list[StageView] = []
        self.names: list[str] = []
        self.times: list[str] = []

    def show(self, line: Progress) -> None:
        """Take in one line of progress."""
        if line.kind in ("started", "cached") or line.stage not in self.names:
            self.rows.append(StageView(line.kind, line.text))
            self.names.append(line.stage)
            self.times.append(time.strftime("%H:%M:%S"))
            return
        newest = len(self.names) - 1 - self.names[::-1].index(line.stage)
        row = self.rows[newest]
        row.kind = line.kind
        row.text = f"{line.text}   {row.text}" if line.kind == "finished" else line.text

    def __str__(self) -> str:
        """Draw the rows; what is too long for a line is cut, except why something failed."""
        drawn = []
        for clock, name, row in zip(self.times, self.names, self.rows, strict=True):
            mark = MARKS.get(row.kind or "started", ("·", ""))[0]
            cut = row.kind != "failed" and len(row.text) > NOTEBOOK_WIDTH
            text = f"{row.text[:NOTEBOOK_WIDTH]}…" if cut else row.text
            drawn.append(f"{clock} {mark} {name:<13} {text}".rstrip())
        return "\n".join(drawn)


class ReleaseView:
    """The stages of a release as a table that rich redraws."""

    def __init__(self) -> None:
        self.stages = {name: StageView() for name in STAGES}
        self.spinner = Spinner("dots")
        self.started = time.monotonic()

    def show(self, line: Progress) -> None:
        """Take in one line of progress."""
        stage = self.stages.setdefault(line.stage, StageView())
        if line.kind == "started":
            stage.started = time.monotonic()
        stage.kind = line.kind
        if line.kind != "finished":
            stage.text = line.text
        else:
            stage.text = f"{line.text}   {stage.text}"

    def __rich__(self) -> Table:
        """Draw the table."""
        now = time.monotonic()
        table = Table(box=None, show_header=False, padding=(0, 1), expand=True)
        table.add_column(width=1)
        table.add_column(width=13)
        table.add_column(width=6, justify="right")
        table.add_column(ratio=1, no_wrap=True, overflow="ellipsis")
        for name, stage in self.stages.items():
            running = stage.kind in ("started", "step")
            mark, colour = MARKS.get(stage.kind or "started", ("·", "dim"))
            table.add_row(
                self.spinner if running else Text(mark, style=colour),
                Text(name, style="bold" if running else "" if stage.kind else "dim"),
                Text(f"{now - stage.started:.0f} s" if running else "", style="dim"),
                Text(stage.text, style="" if running else "dim"),
            )
        table.add_row("", "", Text(f"{now - self.started:.0f} s", style="bold"), "")
        return table
