"""Where a stage tells what it found: `Stage` keeps it in MLflow, `LocalLog` in memory and a folder."""

import shutil
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Protocol

from components.checks import Verdict
from components.tracking.inputs import Input


class StageLog(Protocol):
    """What a stage that can run by itself needs of whoever keeps what it found."""

    def say(self, text: str) -> None:
        """Tell one step of progress."""

    def metrics(self, values: Mapping[str, float]) -> None:
        """Note what was measured."""

    def fact(self, name: str, text: str) -> None:
        """Note a short text."""

    def verdict(self, verdict: Verdict) -> None:
        """Note what was judged."""

    def figure(self, title: str, png: Path) -> None:
        """Keep a picture."""

    def file(self, path: Path) -> None:
        """Keep a file."""

    def inputs(self, inputs: Sequence[Input]) -> None:
        """Note what was read."""


class LocalLog:
    """Keeps nothing but files, in a folder, and leaves the rest to whoever has the results in hand.

    Args:
        say: Is told each step of progress.
        folder: Where files are kept; None: nowhere.
    """

    def __init__(self, say: Callable[[str], None], folder: Path | None) -> None:
        self._say, self._folder = say, folder

    def say(self, text: str) -> None:
        """Tell one step of progress."""
        self._say(text)

    def metrics(self, values: Mapping[str, float]) -> None:
        """Keep none."""

    def fact(self, name: str, text: str) -> None:
        """Keep none."""

    def verdict(self, verdict: Verdict) -> None:
        """Keep none."""

    def figure(self, title: str, png: Path) -> None:
        """Keep none: the report has them."""

    def file(self, path: Path) -> None:
        """Keep a file under its own name."""
        if self._folder is not None:
            shutil.copyfile(path, self._folder / path.name)

    def inputs(self, inputs: Sequence[Input]) -> None:
        """Keep none."""
