"""The loss curve."""

from collections.abc import Sequence
from pathlib import Path

RAW, SMOOTH, EPOCH = "#93c5fd", "#1d4ed8", "#9ca3af"
SMOOTHING = 0.2  # weight of a new step in the running mean


def smooth(losses: Sequence[float]) -> list[float]:
    """Return the running mean of a curve: exponential, corrected for its start as in Adam."""
    smoothed, mean, weight = [], 0.0, 0.0
    for loss in losses:
        mean += SMOOTHING * (loss - mean)
        weight += SMOOTHING * (1 - weight)
        smoothed.append(mean / weight)
    return smoothed


def draw_loss(losses: Sequence[float], epochs: float, path: Path) -> None:
    """Draw the loss of each step, its running mean, and where each epoch ends.

    Args:
        losses: Mean loss a completion token, one a step.
        epochs: How many epochs the steps are.
        path: Where the PNG goes.
    """
    # Figure by itself needs no display and leaves nothing behind in pyplot.
    from matplotlib.figure import Figure
    from matplotlib.ticker import MaxNLocator

    figure = Figure(figsize=(8, 3.6), dpi=144, layout="constrained")
    axes = figure.subplots()
    steps, smoothed = range(1, len(losses) + 1), smooth(losses)
    for epoch in range(1, int(epochs) + 1):
        end = epoch * len(losses) / epochs
        if end < len(losses):
            axes.axvline(end, color=EPOCH, linewidth=0.8, linestyle=":")
    axes.plot(steps, losses, color=RAW, linewidth=1.2, label="each step")
    axes.plot(steps, smoothed, color=SMOOTH, linewidth=2.2, label="running mean")
    axes.annotate(
        f"{smoothed[-1]:.3f}",
        (len(losses), smoothed[-1]),
        xytext=(6, 0),
        textcoords="offset points",
        va="center",
        color=SMOOTH,
        fontweight="bold",
    )
    axes.set_xlabel("step" if epochs <= 1 else "step (dotted: end of an epoch)")
    axes.set_ylabel("loss per completion token")
    axes.set_ylim(bottom=0)
    axes.xaxis.set_major_locator(MaxNLocator(integer=True))
    axes.spines[["top", "right"]].set_visible(False)
    axes.grid(axis="y", color="#e5e7eb", linewidth=0.8)
    axes.set_axisbelow(True)
    axes.legend(frameon=False)
    figure.savefig(path)
