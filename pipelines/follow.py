"""What a person sees while a release runs: a live table in a terminal, plain lines elsewhere."""

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


@dataclass
class StageView:
    """What is known of one stage so far."""

    kind: Kind | None = None
    text: str = ""
    started: float = field(default_factory=time.monotonic)


def refreshing(console: Console, draw: Callable[[], RenderableType]) -> None:
    """Show a view until Ctrl-C: redrawn in a terminal, printed whenever it has changed elsewhere."""
    if console.is_terminal:
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
    if not console.is_terminal:
        yield lambda line: console.print(_plain(line), markup=False, highlight=False, soft_wrap=True)
        return
    view = ReleaseView()
    with Live(view, console=console, refresh_per_second=4):
        yield view.show


def tell(line: Progress) -> None:
    """Print a line of progress: where nothing is redrawn, as in a notebook."""
    print(_plain(line), flush=True)


def _plain(line: Progress) -> str:
    return f"{time.strftime('%H:%M:%S')} {line.stage:<13} {line.kind}: {line.text}".rstrip(": ")


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
