"""The quality gate: paired statistics decide whether the fine-tuned model is better by enough."""

import tempfile
from pathlib import Path

from pydantic import Field

from components.checks import Check, Status, Verdict, at_most
from components.errors import InvalidInput
from components.evaluate.figures import draw_decision
from components.evaluate.intervals import MeanInterval, mean_interval
from components.evaluate.metrics import LABELS
from components.evaluate.scores import Scores
from components.tracking.shell import StageConfig
from components.tracking.stage import Stage

MIN_ROWS = 10
GAIN_SPAN = (-1.0, 1.0)


class QualityGateConfig(StageConfig):
    """What the fine-tuned model has to prove."""

    quality_metric: str = Field(description="Metric that is judged.")
    quality_margin: float = Field(ge=-1, le=1, description="Least gain over the base model.")
    confidence: float = Field(gt=0.5, lt=1, description="Confidence of the two-sided interval.")
    seed: int = Field(ge=0, description="Seed of the resampling.")
    champion_margin: float = Field(
        0.0, ge=-1, le=1, description="Least gain over the champion, where the evaluation asked it too."
    )
    max_guard_drop: float = Field(ge=-1, le=1, description="Largest loss on the guard set.")


def judge_quality(config: QualityGateConfig, scores_path: Path, stage: Stage) -> Verdict:
    """Judge an evaluation.

    The gain is the mean over the held-out rows of (fine-tuned - base), each row answered by both. It
    passes only if the lower end of its bootstrap interval (`components.evaluate.intervals`) is the
    margin or more, fails if the upper end is below the margin, and is inconclusive in between: then
    more held-out rows would tell. Fewer than 10 rows never pass, because intervals of so
    few values are narrower than they claim to be.

    A champion that answered the rows too has to be beaten in the same way, by its own margin.

    The guard set's drop is judged by its value, not by an interval: it is small and there to notice
    that a model has lost its general abilities, not to rank two models.

    Args:
        config: Metric, margin, confidence, seed and the guard set's limit.
        scores_path: What the evaluation wrote.
        stage: The running stage; it keeps the verdict and a figure.

    Raises:
        InvalidInput: The scores do not hold the metric.
    """
    scores = Scores.read(scores_path)
    if config.quality_metric not in scores.metrics:
        raise InvalidInput(
            f"quality_metric {config.quality_metric!r}",
            [f"the evaluation has no such metric; it has {', '.join(scores.metrics)}"],
        )
    interval = mean_interval(scores.gains(config.quality_metric), config.confidence, config.seed, GAIN_SPAN)
    rows = len(scores.examples)
    gain = gain_check(config, interval, rows)
    against_champion = [champion_check(config, scores)] if scores.champion_version else []
    verdict = Verdict(
        stage="quality",
        checks=(gain, *against_champion, rows_check(rows), guard_check(config, scores)),
        adapter_digest=scores.adapter_digest,
    )
    stage.verdict(verdict)
    stage.metrics({"gain": interval.mean, "gain_low": interval.low, "gain_high": interval.high})
    with tempfile.TemporaryDirectory() as folder:
        png = Path(folder) / "quality-gate.png"
        draw_decision(interval, gain, LABELS[config.quality_metric], config.confidence, png)
        stage.figure("Gain over base and the margin", png)
    return verdict


def gain_check(config: QualityGateConfig, interval: MeanInterval, rows: int) -> Check:
    """Hold the interval of the gain over the base against the margin."""
    name = f"{config.quality_metric}_gain_low"
    return _gain_check(name, "base", config.quality_margin, config.confidence, interval, rows)


def champion_check(config: QualityGateConfig, scores: Scores) -> Check:
    """Hold the interval of the gain over the champion, paired row by row, against its margin."""
    gains = scores.gains_over_champion(config.quality_metric)
    interval = mean_interval(gains, config.confidence, config.seed, GAIN_SPAN)
    name = f"{config.quality_metric}_gain_over_champion_low"
    who = f"champion version {scores.champion_version}"
    return _gain_check(name, who, config.champion_margin, config.confidence, interval, len(gains))


def _gain_check(
    name: str, other: str, margin: float, confidence: float, interval: MeanInterval, rows: int
) -> Check:
    """Hold the interval of a gain against a margin; the check's value is its lower end."""
    status: Status = "inconclusive"
    end = "the interval holds the margin of"
    if interval.low >= margin:
        status, end = "passed", "its lower end is not below the margin of"
    elif interval.high < margin:
        status, end = "failed", "its upper end is below the margin of"
    return Check(
        name=name,
        value=interval.low,
        limit=margin,
        bound="min",
        unit="share",
        status=status,
        why=(
            f"fine-tuned minus {other} is {interval.mean:+.3f} over {rows} held-out rows, "
            f"{confidence:.0%} interval {interval.low:+.3f} to {interval.high:+.3f}; "
            f"{end} {margin:+.3f}"
            + ("; more held-out rows would narrow it" if status == "inconclusive" else "")
        ),
    )


def rows_check(rows: int) -> Check:
    """Hold the number of rows against the least that an interval can be trusted with."""
    enough = rows >= MIN_ROWS
    return Check(
        name="eval_rows",
        value=rows,
        limit=MIN_ROWS,
        bound="min",
        unit="rows",
        status="passed" if enough else "inconclusive",
        why=f"both models answered {rows} held-out rows"
        + ("" if enough else f"; with fewer than {MIN_ROWS} no interval can be trusted, add held-out rows"),
    )


def guard_check(config: QualityGateConfig, scores: Scores) -> Check:
    """Hold what the model lost on general questions against the limit."""
    items = len(scores.guard)
    meaning = "a larger drop than the limit means that it forgot too much of what it knew"
    if config.max_guard_drop >= 1:
        meaning = "with max_guard_drop at 1 this is reported and refuses nothing"
    return at_most(
        "guard_drop",
        scores.guard_base - scores.guard_tuned,
        config.max_guard_drop,
        "share",
        f"of {items} general questions the base model answers {round(scores.guard_base * items)}, "
        f"the fine-tuned {round(scores.guard_tuned * items)}; {meaning}",
    )
