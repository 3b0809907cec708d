"""The picture of a dataset beside an earlier one."""

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from components.dataset.drift import Drift
from components.dataset.plots import canvas
from components.dataset.profile import longest_of

if TYPE_CHECKING:
    from matplotlib.axes import Axes

THEN, NOW, ADDED, CHANGED = "#9ca3af", "#2563eb", "#15803d", "#f59e0b"
LABELS_DRAWN, NAME_CHARACTERS, TICKS = 8, 24, 6


def draw_drift(drift: Drift, names: Mapping[int, str], path: Path) -> None:
    """Draw how long the rows were and are, and which labels they have, or else which prompts.

    Args:
        drift: What differs.
        names: Labels that people may see, by bucket; the others are one bar.
        path: Where the PNG goes.
    """
    figure, (lengths, rest) = canvas(height_inches=3.4, columns=2)
    _draw_lengths(drift, lengths)
    if drift.labels is None:
        _draw_prompts(drift, rest)
    else:
        _draw_labels(drift, names, rest)
    figure.savefig(path)


def _draw_lengths(drift: Drift, axes: "Axes") -> None:
    from matplotlib.ticker import PercentFormatter

    then, now = drift.earlier.profile.lengths, drift.now.lengths
    axes.set_xlabel("tokens of a row")
    axes.set_ylabel("share of rows")
    axes.yaxis.set_major_formatter(PercentFormatter(1, decimals=0))
    bins = range(min([*then, *now], default=0), max([*then, *now], default=0) + 1)
    edges = [longest_of(bins[0] - 1), *map(longest_of, bins)]
    axes.stairs(_shares(then, bins), edges, fill=True, color=THEN, label=_legend("then", then))
    axes.stairs(_shares(now, bins), edges, color=NOW, linewidth=1.8, label=_legend("now", now))
    axes.set_xscale("log", base=2)
    ticks = edges[:: len(edges) // TICKS + 1]
    axes.set_xticks(ticks, labels=[f"{tick:,.0f}" for tick in ticks])
    axes.set_ylim(0, 1.35 * axes.get_ylim()[1])  # room for the legend
    axes.legend(frameon=False, loc="upper right")


def _draw_prompts(drift: Drift, axes: "Axes") -> None:
    totals = [drift.earlier.profile.prompts, drift.now.prompts]
    moved = [drift.removed.count, drift.added.count]
    changed = [drift.changed.count] * 2
    same = [max(0, total - gone - other) for total, gone, other in zip(totals, moved, changed, strict=True)]
    ends = [total - gone for total, gone in zip(totals, moved, strict=True)]
    where = [1, 0]
    axes.barh(where, same, color=NOW, height=0.5, label="in both")
    axes.barh(where, changed, left=same, color=CHANGED, height=0.5, label="answered otherwise")
    axes.barh(1, moved[0], left=ends[0], color=THEN, height=0.5, label="gone")
    axes.barh(0, moved[1], left=ends[1], color=ADDED, height=0.5, label="new")
    axes.set_yticks(where, labels=["then", "now"])
    axes.set_ylim(-0.5, 2.6)  # room for the legend
    axes.set_xlabel("prompts")
    axes.legend(frameon=False, loc="upper left", ncols=2)


def _draw_labels(drift: Drift, names: Mapping[int, str], axes: "Axes") -> None:
    from matplotlib.ticker import PercentFormatter

    then, now = drift.earlier.profile.labels, drift.now.labels

    def most(label: int) -> float:
        return max(_share(then, label), _share(now, label))

    # These are names of answers of now: a label of then alone is known by its bucket, which others share.
    named = sorted(names.keys() & now.keys(), key=most, reverse=True)[:LABELS_DRAWN]
    bars = [(_drawable(names[label], number), {label}) for number, label in enumerate(named, 1)]
    others = {*then, *now}.difference(named)
    bars += [("all others", others)] if others else []
    places = range(len(bars))
    for counts, colour, offset, what in ((then, THEN, -0.2, "then"), (now, NOW, 0.2, "now")):
        shares = [sum(_share(counts, label) for label in labels) for _, labels in bars]
        axes.barh([place + offset for place in places], shares, color=colour, height=0.38, label=what)
    # A label may hold what would else be read as a formula.
    axes.set_yticks(list(places), labels=[name for name, _ in bars], parse_math=False)
    axes.invert_yaxis()
    axes.xaxis.set_major_formatter(PercentFormatter(1, decimals=0))
    axes.set_xlabel("share of rows by label")
    axes.legend(frameon=False)


def _drawable(name: str, number: int) -> str:
    """Return a label as it is drawn; one of letters that the font does not have, by its number."""
    from matplotlib.font_manager import FontProperties, findfont, get_font

    text = " ".join(name.split())
    text = text if len(text) <= NAME_CHARACTERS else f"{text[: NAME_CHARACTERS - 1]}…"
    font = get_font(findfont(FontProperties()))
    return text if all(font.get_char_index(ord(sign)) for sign in text) else f"label {number}"


def _legend(what: str, counts: Mapping[int, int]) -> str:
    return f"{what} ({sum(counts.values()):,} rows)"


def _share(counts: Mapping[int, int], label: int) -> float:
    return counts.get(label, 0) / (sum(counts.values()) or 1)


def _shares(counts: Mapping[int, int], bins: range) -> list[float]:
    return [_share(counts, number) for number in bins]
