"""The pictures of an evaluation and of its gate."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from components.checks import Check
from components.evaluate.intervals import MeanInterval

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

BASE, TUNED, LOST, INK, MUTED = "#9aa5b1", "#2a6fbb", "#c8553d", "#243b53", "#829ab1"
VERDICT_COLOURS = {"passed": "#2f855a", "failed": LOST, "inconclusive": "#b7791f"}
Pair = tuple[MeanInterval, MeanInterval]


def draw_comparison(pairs: Mapping[str, Pair], confidence: float, png: Path) -> None:
    """Draw base and fine-tuned side by side for each metric, with the interval of each mean.

    Args:
        pairs: Base and fine-tuned by the metric's label.
        confidence: Of the intervals.
        png: The picture.
    """
    figure, axes = _canvas(1.6 + 1.9 * len(pairs), 4.0)
    width = 0.36
    for position, pair in enumerate(pairs.values()):
        for side, name, colour, interval in zip(
            (-1, 1), ("base", "fine-tuned"), (BASE, TUNED), pair, strict=True
        ):
            x = position + side * (width / 2 + 0.01)
            axes.bar(x, interval.mean, width, color=colour, label=name if position == 0 else None)
            # A BCa interval may lie beside a mean of few values; bars of negative length are refused.
            ends = [[max(interval.mean - interval.low, 0)], [max(interval.high - interval.mean, 0)]]
            axes.errorbar(x, interval.mean, ends, color=INK, capsize=4, linewidth=1.2)
            axes.annotate(
                f"{interval.mean:.2f}",
                (x, interval.high),
                (0, 4),
                textcoords="offset points",
                ha="center",
                color=INK,
            )
    axes.set_xticks(range(len(pairs)), list(pairs), fontsize=10, color=INK)
    axes.tick_params(axis="x", length=0)
    axes.set_xlim(-0.6, len(pairs) - 0.4)
    axes.set_ylim(0, 1.12)
    axes.set_yticks([0, 0.25, 0.5, 0.75, 1])
    axes.set_ylabel("mean score")
    axes.set_title(f"Base and fine-tuned, {confidence:.0%} intervals", loc="left", color=INK, pad=26)
    axes.legend(frameon=False, ncols=2, loc="lower left", bbox_to_anchor=(-0.02, 1.0), borderaxespad=0.2)
    figure.savefig(png)


def draw_rows(gains: Sequence[float], label: str, png: Path) -> None:
    """Draw the gain of every row, sorted: how many rows were won, left as they were and lost."""
    ordered = sorted(gains)
    lost, won = sum(gain < 0 for gain in ordered), sum(gain > 0 for gain in ordered)
    even = len(ordered) - lost - won
    figure, axes = _canvas(7.4, 3.6)
    colours = [LOST if gain < 0 else TUNED for gain in ordered]
    axes.bar(range(len(ordered)), ordered, width=1.0, color=colours, edgecolor="white", linewidth=0.2)
    axes.axhline(0, color=INK, linewidth=0.8)
    axes.set_xlim(-0.5, len(ordered) - 0.5)
    axes.set_ylim(-1.1, 1.4)  # room for the counts above the highest bar
    axes.set_xticks([])
    axes.set_xlabel("held-out prompts, from the greatest loss to the greatest gain")
    axes.set_ylabel(f"{label}: gain over base")
    axes.set_title("What fine-tuning changed, prompt by prompt", loc="left", color=INK)
    for x, colour, text in ((0.02, LOST, f"{lost} worse"), (0.3, MUTED, f"{even} the same")):
        axes.text(x, 0.97, text, transform=axes.transAxes, color=colour, weight="bold", va="top")
    axes.text(0.62, 0.97, f"{won} better", transform=axes.transAxes, color=TUNED, weight="bold", va="top")
    figure.savefig(png)


def draw_decision(interval: MeanInterval, check: Check, label: str, confidence: float, png: Path) -> None:
    """Draw the resampled gains, their interval and the margin that its lower end must clear."""
    figure, axes = _canvas(7.4, 3.4)
    colour = VERDICT_COLOURS[check.status]
    if interval.resampled_means:
        axes.hist(interval.resampled_means, bins=45, color=TUNED, alpha=0.35)
        axes.set_ylabel("resamples")
    else:
        axes.text(
            0.5,
            0.6,
            "every row gained the same: nothing to resample",
            transform=axes.transAxes,
            ha="center",
            color=MUTED,
        )
    height = axes.get_ylim()[1]
    axes.set_ylim(0, height * 1.3)
    axes.set_yticks([])
    bar = height * 1.1
    axes.plot([interval.low, interval.high], [bar, bar], color=colour, linewidth=5, solid_capstyle="butt")
    axes.plot(interval.mean, bar, "o", color="white", markeredgecolor=colour, markeredgewidth=2, zorder=3)
    axes.axvline(check.limit, color=INK, linewidth=1.4, linestyle="--")
    left, right = min(interval.low, check.limit), max(interval.high, check.limit)
    room = max(0.25 * (right - left), 0.02)
    axes.set_xlim(left - room, right + room)
    axes.annotate(
        f"margin {check.limit:+.2f}",
        (check.limit, 1),
        (0, 3),
        xycoords=("data", "axes fraction"),
        textcoords="offset points",
        ha="center",
        color=INK,
    )
    axes.set_xlabel(
        f"{label}: gain over base, {interval.mean:+.3f} "
        f"({confidence:.0%} interval {interval.low:+.3f} to {interval.high:+.3f})"
    )
    axes.set_title(f"Gain over base: {check.status}", loc="left", color=colour, weight="bold", pad=20)
    figure.savefig(png)


def _canvas(width_inch: float, height_inch: float) -> "tuple[Figure, Axes]":
    """Make a figure without pyplot, which would keep it in a registry of open windows."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(width_inch, height_inch), dpi=144, layout="constrained", facecolor="white")
    axes = figure.add_subplot()
    axes.spines[["top", "right"]].set_visible(False)
    axes.spines[["left", "bottom"]].set_color(MUTED)
    axes.tick_params(colors=MUTED, labelcolor=INK, labelsize=9)
    axes.yaxis.label.set_color(INK)
    axes.xaxis.label.set_color(INK)
    axes.title.set_fontsize(12)
    return figure, axes
