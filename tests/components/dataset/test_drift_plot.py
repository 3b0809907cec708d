"""The picture of drift: what is written on it, whatever labels a stranger gives."""

import warnings
from pathlib import Path
from typing import Any

import numpy
import pytest

from components.dataset import drift_plot
from components.dataset.beside import Beside
from components.dataset.drift import Earlier, drift
from components.dataset.drift_plot import LABELS_DRAWN, draw_drift
from components.dataset.plots import canvas, draw_lengths, draw_quarantine
from components.dataset.profile import BUCKETS, DatasetProfile, label_bucket


def profile(labels: dict[str, int], prompts: int = 9) -> DatasetProfile:
    rows = sum(labels.values()) or prompts
    return DatasetProfile(
        rows=rows,
        prompts=prompts,
        lengths={20: rows},
        answers={n: n for n in range(prompts)},
        labels={label_bucket(label): count for label, count in labels.items()},
        words=(0,) * BUCKETS,
    )


@pytest.fixture
def drawn(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    """Draw one dataset beside another and return the ticks and the bars of the right half."""

    def draw(then: DatasetProfile, now: DatasetProfile, *names: str) -> tuple[list[str], list[float]]:
        made: list[Any] = []
        monkeypatch.setattr(drift_plot, "canvas", lambda **sizes: made.append(canvas(**sizes)) or made[0])
        with warnings.catch_warnings():
            warnings.simplefilter("error")  # a letter that the font does not have
            found = drift(Earlier("3", "sha256:rows", then), now)
            draw_drift(found, {label_bucket(name): name for name in names}, tmp_path / "drift.png")
        assert (tmp_path / "drift.png").read_bytes().startswith(b"\x89PNG")
        axes = made[0][1][1]
        return [tick.get_text() for tick in axes.get_yticklabels()], [bar.get_width() for bar in axes.patches]

    return draw


def test_labels_then_and_now(drawn):
    names, bars = drawn(profile({"yes": 6, "no": 3}), profile({"yes": 1, "no": 3}), "yes", "no")
    assert names == ["no", "yes"]
    assert bars == pytest.approx([3 / 9, 6 / 9, 3 / 4, 1 / 4])


def test_labels_that_nobody_may_see_and_those_that_are_gone_are_one_bar(drawn):
    names, bars = drawn(profile({"yes": 6, "gone": 3}), profile({"yes": 1, "hidden": 3}), "yes", "gone")
    assert names == ["yes", "all others"]
    assert bars == pytest.approx([6 / 9, 3 / 9, 1 / 4, 3 / 4])


def test_of_many_labels_the_largest_are_drawn(drawn):
    labels = {f"label-{n}": n + 1 for n in range(LABELS_DRAWN + 4)}
    names, _ = drawn(profile(labels), profile(labels), *labels)
    assert names == [*sorted(labels, key=lambda label: -labels[label])[:LABELS_DRAWN], "all others"]


def test_what_a_label_holds_is_written_and_not_read(drawn):
    odd = ["$\\frac{1}{0}$", "two\nlines", "\u914d\u9001", "x" * 90]
    labels = {label: 9 - n for n, label in enumerate(odd)}
    names, _ = drawn(profile(labels), profile(labels), *odd)
    assert names[:3] == ["$\\frac{1}{0}$", "two lines", "label 3"]
    assert names[3].endswith("…") and len(names[3]) < 30


def test_where_answers_are_no_labels_prompts_are_drawn(drawn):
    names, bars = drawn(profile({}, prompts=6), profile({}, prompts=9))
    assert names == ["then", "now"]
    assert bars == [6, 6, 0, 0, 0, 3]  # in both, answered otherwise, gone, new


def test_of_nothing_there_is_a_picture_too(drawn):
    assert drawn(profile({}, prompts=0), profile({}, prompts=0))[1] == [0] * 6


def test_the_pictures_of_a_report_are_drawn_by_a_process_of_its_own(tmp_path: Path) -> None:
    tokens = numpy.arange(20, 60)
    found = drift(Earlier("3", "sha256:rows", profile({})), profile({"yes": 1}))
    drawn = [tmp_path / f"{name}.png" for name in ("lengths", "quarantine", "drift")]
    with Beside("this") as beside:
        beside.call(draw_lengths, tokens, tokens, tokens, 50, drawn[0]).result()
        beside.call(draw_quarantine, {"duplicate": 3}, drawn[1]).result()
        beside.call(draw_drift, found, {label_bucket("yes"): "yes"}, drawn[2]).result()
    assert all(path.read_bytes().startswith(b"\x89PNG") for path in drawn)
