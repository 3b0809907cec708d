"""Pictures of a stress run: latencies, throughput, and what happened over time in each degraded mode."""

import itertools
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from components.loadtest.client import OK, RequestRecord
from components.loadtest.results import EventKind, LoadStats, ScenarioResult, StressResults

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

BLUE, PALE, ORANGE, GREEN, RED, GREY, INK = (
    "#2563a8",
    "#a9c8e8",
    "#d9822b",
    "#3a8f5c",
    "#c0392b",
    "#9aa3ad",
    "#27313b",
)
EVENT_COLOURS: dict[EventKind, str] = {
    "replica_killed": RED,
    "gave_up": RED,
    "replicas_ready": GREEN,
    "load_ended": GREY,
}
LOAD_ALONE: frozenset[EventKind] = frozenset({"load_started", "load_ended"})
# What a cold start is doing after each of its events.
PHASES: dict[EventKind, tuple[str, str]] = {
    "stop_asked": (GREY, "stopping"),
    "start_asked": (ORANGE, "starting, no answer yet"),
    "first_answer": (PALE, "answering, not every replica ready yet"),
}
BACKING = {"facecolor": "white", "edgecolor": "none", "alpha": 0.8, "pad": 0.5}
DPI = 130


def draw_figures(
    results: StressResults, records: Mapping[str, Sequence[RequestRecord]], folder: Path
) -> list[tuple[str, Path]]:
    """Draw every picture that there is something to show in.

    Args:
        results: What was found.
        records: Every request of each scenario that had a load.
        folder: Where the PNG files go.

    Returns:
        Title and file of each, in reading order.
    """
    figures: list[tuple[str, str, Figure]] = []
    rows = _rows(results)
    if rows:
        figures.append(("Latency under stress", "stress_latency", _latency(results, rows)))
        figures.append(("Throughput and goodput", "stress_throughput", _throughput(rows)))
    for scenario in results.scenarios:
        title, name = f"Over time: {scenario.title}", f"stress_{scenario.name}"
        measured, kinds = records.get(scenario.name, ()), {event.kind for event in scenario.timeline}
        if measured and ("long" in scenario.users or kinds - LOAD_ALONE):
            figures.append((title, name, _over_time(results, scenario, measured)))
        elif "start_asked" in kinds:
            figures.append((title, name, _cold_start(scenario)))
    drawn = []
    for title, name, figure in figures:
        path = folder / f"{name}.png"
        figure.savefig(path, dpi=DPI)
        drawn.append((title, path))
    return drawn


def _rows(results: StressResults) -> list[tuple[str, LoadStats]]:
    """Return a labelled row for each scenario, and for each kind of users where both asked."""
    rows: list[tuple[str, LoadStats]] = []
    for scenario in results.scenarios:
        if "long" in scenario.users:
            for user_class in ("normal", "long"):
                if user_class in scenario.users:
                    label = f"{scenario.title}:\n{user_class} users"
                    rows.append((label, scenario.users[user_class]))
        elif "all" in scenario.users:
            rows.append((scenario.title, scenario.users["all"]))
    return rows


def _latency(results: StressResults, rows: Sequence[tuple[str, LoadStats]]) -> "Figure":
    figure, axes = _canvas(1.4 + 0.75 * len(rows), columns=3)
    panels = (
        ("Time to first token, ms", "ttft_ms", results.slo_ttft_ms),
        ("Between tokens, ms", "itl_ms", results.slo_itl_ms),
        ("Whole answer, ms", "e2e_ms", None),
    )
    for axis, (title, field, objective) in zip(axes, panels, strict=True):
        for place, (_, stats) in enumerate(rows):
            found = getattr(stats, field)
            if found is None:
                axis.text(0, place, " no answer", va="center", color=RED)
                continue
            axis.barh(place, found.p95, height=0.55, color=PALE, label="p95" if place == 0 else None)
            axis.barh(place, found.p50, height=0.3, color=BLUE, label="p50" if place == 0 else None)
            text = f"{found.p50:.0f} / {found.p95:.0f}"
            axis.annotate(
                text,
                (found.p95, place),
                xytext=(6, 0),
                textcoords="offset points",
                va="center",
                color=INK,
                bbox=BACKING,
            )
        if objective is not None:
            axis.axvline(objective, color=ORANGE, linestyle="--", label="objective")
        axis.set_xlim(0, axis.get_xlim()[1] * 1.3)
        _label(axis, title, rows if axis is axes[0] else None, len(rows))
    axes[0].legend(loc="upper left", bbox_to_anchor=(0, -0.08), ncols=3, frameon=False, reverse=True)
    return figure


def _throughput(rows: Sequence[tuple[str, LoadStats]]) -> "Figure":
    figure, axes = _canvas(1.2 + 0.7 * len(rows), columns=2)
    for place, (_, stats) in enumerate(rows):
        axes[0].barh(place, stats.output_tokens_per_s, height=0.5, color=BLUE)
        text = f" {stats.output_tokens_per_s:.0f} tokens/s, {stats.requests_per_s:.1f} answers/s"
        axes[0].text(stats.output_tokens_per_s, place, text, va="center", color=INK)
        goodput, failed = stats.goodput or 0.0, stats.failed_share or 0.0
        axes[1].barh(place, goodput, height=0.5, color=GREEN)
        axes[1].barh(place, 1 - goodput - failed, left=goodput, height=0.5, color=PALE)
        axes[1].barh(place, failed, left=1 - failed, height=0.5, color=RED)
        axes[1].text(1.02, place, f"{goodput:.0%} of {stats.requests}", va="center", color=INK)
    axes[0].set_xlim(0, max(1.0, axes[0].get_xlim()[1]) * 1.7)
    axes[1].set_xlim(0, 1.25)
    axes[1].set_xticks([0, 0.5, 1], ["0", "50 %", "100 %"])
    _label(axes[0], "Output tokens a second", rows, len(rows))
    _label(axes[1], "Goodput: requests within the objective (green), late, failed (red)", None, len(rows))
    return figure


def _over_time(
    results: StressResults, scenario: ScenarioResult, records: Sequence[RequestRecord]
) -> "Figure":
    figure, (upper, lower) = _canvas(5.0, rows=2, ratios=(3, 2))
    zero = min(record.started_at for record in records)
    for user_class, colour in (("normal", BLUE), ("long", ORANGE)):
        own = [r for r in records if r.user_class == user_class and r.outcome == OK]
        label = f"answered, {user_class} prompt ({len(own)})"
        if own:
            times, values = [r.started_at - zero for r in own], [r.ttft_ms or 0.0 for r in own]
            upper.scatter(times, values, s=16, color=colour, alpha=0.75, linewidths=0, label=label)
    failed = [r for r in records if r.outcome != OK]
    if failed:
        ends = [r.ended_at - zero for r in failed]
        label = f"failed ({len(failed)})"
        upper.scatter(
            ends, [0] * len(ends), s=40, marker="x", color=RED, clip_on=False, zorder=3, label=label
        )
    upper.axhline(results.slo_ttft_ms, color=ORANGE, linestyle="--", linewidth=1, label="objective")
    upper.set_ylabel("time to first token, ms")
    upper.set_ylim(0, upper.get_ylim()[1] * 1.1)
    upper.legend(loc="lower left", bbox_to_anchor=(0, 1.16), ncols=4, frameon=False, fontsize=9)
    seconds = int(max(record.ended_at for record in records) - zero) + 1
    answered = _a_second(records, zero, seconds, ok=True)
    lower.bar(range(seconds), answered, 0.9, align="edge", color=GREEN, label="answered")
    if failed:
        broken = _a_second(records, zero, seconds, ok=False)
        lower.bar(range(seconds), broken, 0.9, bottom=answered, align="edge", color=RED, label="failed")
    lower.set_ylabel("requests ended a second")
    lower.set_xlabel("seconds since the load began")
    lower.legend(loc="lower left", bbox_to_anchor=(0, 1), ncols=2, frameon=False, fontsize=9)
    lower.sharex(upper)
    _mark_events(scenario, zero, upper, lower)
    return figure


def _mark_events(scenario: ScenarioResult, zero: float, upper: "Axes", lower: "Axes") -> None:
    """Draw what happened as upright lines, their labels on two levels so that close ones can be read.

    A recovery long after the load is named at the edge: drawn to scale, it would squeeze the load to nothing.
    """
    shown = sorted((e for e in scenario.timeline if e.kind != "load_started"), key=lambda event: event.at)
    right = max((e.at - zero for e in shown if e.kind in ("load_ended", "replica_killed")), default=0) * 1.15
    upper.set_xlim(-0.02 * right, right)
    for number, event in enumerate(shown):
        colour, at = EVENT_COLOURS.get(event.kind, INK), event.at - zero
        for axis in (upper, lower) if at <= right else ():
            axis.axvline(at, color=colour, linewidth=1.2)
        upper.annotate(
            f"{event.text}, {at:.1f} s" + (" \u2192" if at > right else ""),
            (min(at, right), 1.01 + 0.075 * (number % 2)),
            xycoords=("data", "axes fraction"),
            ha="center" if at < 0.9 * right else "right",
            color=colour,
            fontsize=9,
        )


def _a_second(records: Sequence[RequestRecord], zero: float, seconds: int, ok: bool) -> list[int]:
    counts = [0] * seconds
    for record in records:
        if (record.outcome == OK) == ok:
            counts[int(record.ended_at - zero)] += 1
    return counts


def _cold_start(scenario: ScenarioResult) -> "Figure":
    figure, (axis,) = _canvas(2.1)
    zero = next(event.at for event in scenario.timeline if event.kind == "start_asked")
    for event, after in itertools.pairwise(scenario.timeline):
        colour, phase = PHASES.get(event.kind, (GREY, ""))
        seconds = after.at - event.at
        if phase and seconds > 0.05:
            axis.barh(
                0, seconds, left=event.at - zero, height=0.5, color=colour, label=f"{phase}: {seconds:.1f} s"
            )
    axis.set_yticks([])
    axis.set_ylim(-0.45, 0.45)
    axis.set_xlabel("seconds since the start")
    axis.legend(loc="lower left", bbox_to_anchor=(0, 1), ncols=3, frameon=False, fontsize=9)
    return figure


def _canvas(
    height: float, rows: int = 1, columns: int = 1, ratios: Sequence[float] | None = None
) -> "tuple[Figure, list[Axes]]":
    """Make a figure with axes in reading order; no pyplot, which would keep every figure in memory."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(11, height), layout="constrained")
    grid = figure.subplots(rows, columns, squeeze=False, gridspec_kw={"height_ratios": ratios or [1] * rows})
    axes = [axis for row in grid for axis in row]
    for axis in axes:
        axis.spines[["top", "right"]].set_visible(False)
        axis.tick_params(labelsize=9)
    return figure, axes


def _label(axis: "Axes", title: str, rows: Sequence[tuple[str, LoadStats]] | None, count: int) -> None:
    axis.set_title(title, loc="left", fontsize=10, color=INK)
    axis.set_yticks(range(count), [label for label, _ in rows] if rows else [""] * count)
    axis.set_ylim(count - 0.5, -0.5)
