"""The report's pictures."""

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from components.dataset.arrays import Numbers
from components.dataset.flaws import Kind

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

TRAIN, EVAL, LIMIT, ASIDE = "#2563eb", "#f59e0b", "#b91c1c", "#dc2626"
BINS = 40
WIDE_RANGE = 6  # longest by shortest row


def draw_lengths(trained: Numbers, held_out: Numbers, tokens: Numbers, max_length: int, path: Path) -> None:
    """Draw how long the rows are, in tokens, and where `max_length` cuts.

    Args:
        trained: Tokens of each training row.
        held_out: Of each held-out row.
        tokens: Of these, and of each row that is sound but for its length.
        max_length: Longest row, tokens.
        path: Where the PNG goes.
    """
    figure, axes = canvas(height_inches=3.2)
    axes.set_xlabel("tokens under the chat template")
    axes.set_ylabel("rows")
    if len(tokens):
        sets = [trained, held_out]
        too_long = tokens[tokens > max_length]
        labels = [f"train ({len(sets[0])})", f"eval ({len(sets[1])})"]
        colours = [TRAIN, EVAL]
        if len(too_long):
            sets, labels, colours = (
                [*sets, too_long],
                [*labels, f"too long ({len(too_long)})"],
                [*colours, ASIDE],
            )
        axes.hist(sets, bins=_bins(tokens, axes), stacked=True, color=colours, label=labels)
        # A limit far beyond every row would squeeze the rows into a corner: the legend says it then.
        if max_length <= 2 * tokens.max():
            axes.axvline(max_length, color=LIMIT, linestyle="--", label=f"max_length ({max_length})")
        else:
            axes.plot(
                [], [], color=LIMIT, linestyle="--", label=f"max_length ({max_length}) is off the scale"
            )
        axes.legend(frameon=False)
    else:
        axes.text(0.5, 0.5, "no row's tokens could be counted", ha="center", transform=axes.transAxes)
    figure.savefig(path)


def _bins(tokens: Numbers, axes: "Axes") -> list[float]:
    """Return the edges of the bins; a few very long rows make the scale logarithmic."""
    import numpy
    from matplotlib.ticker import MaxNLocator, ScalarFormatter

    low, high = int(tokens.min()), int(tokens.max()) + 1
    if high <= WIDE_RANGE * low:
        axes.xaxis.set_major_locator(MaxNLocator(integer=True))
        return [float(edge) for edge in numpy.linspace(low, high, min(BINS, high - low) + 1)]
    axes.set_xscale("log", base=2)
    axes.xaxis.set_major_formatter(ScalarFormatter())
    return [float(edge) for edge in numpy.geomspace(low, high, BINS + 1)]


def draw_quarantine(rows: Mapping[Kind, int], path: Path) -> None:
    """Draw how many rows were set aside for which reason, in their order."""
    from matplotlib.ticker import MaxNLocator

    figure, axes = canvas(height_inches=0.9 + 0.3 * len(rows))
    names = [kind.replace("_", " ") for kind in rows]
    bars = axes.barh(names, [*rows.values()], color=ASIDE, height=0.65)
    axes.bar_label(bars, padding=4)
    axes.invert_yaxis()
    axes.margins(x=0.1)
    axes.set_xlabel("rows set aside")
    axes.xaxis.set_major_locator(MaxNLocator(integer=True))
    figure.savefig(path)


def canvas(height_inches: float, columns: int = 1) -> "tuple[Figure, Any]":
    """Return a figure and its axes, of several columns an array of them."""
    # Figure by itself needs no display and leaves nothing behind in pyplot.
    from matplotlib.figure import Figure

    figure = Figure(figsize=(8, height_inches), dpi=144, layout="constrained")
    for axes in figure.subplots(ncols=columns, squeeze=False).flat:
        axes.spines[["top", "right"]].set_visible(False)
        axes.set_axisbelow(True)
    return figure, figure.axes[0] if columns == 1 else figure.axes
