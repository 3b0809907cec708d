"""What an evaluation leaves for people: metrics, pictures and a few answers to read."""

import json
import tempfile
from collections.abc import Sequence
from pathlib import Path

from components.conversations import Message
from components.evaluate.figures import draw_comparison, draw_rows
from components.evaluate.intervals import MeanInterval, mean_interval
from components.evaluate.metrics import LABELS, METRICS
from components.evaluate.scores import ScoredExample, Scores
from components.evaluate.scoring import GUARD_METRIC
from components.tracking.stage import Stage

EXAMPLES_FILE = "examples.json"
EXAMPLE_COUNT = 6
EXAMPLE_METRIC = "token_f1"
CONFIDENCE = 0.95


def record(scores: Scores, seed: int, stage: Stage) -> None:
    """Log the means and gains, keep every score and draw the pictures."""
    found: dict[str, float] = {"eval_rows": len(scores.examples)}
    for metric in METRICS:
        base, tuned = scores.mean(metric, "base"), scores.mean(metric, "tuned")
        found |= {f"base_{metric}": base, f"tuned_{metric}": tuned, f"gain_{metric}": tuned - base}
        stage.say(f"{LABELS[metric]}: base {base:.2f}, fine-tuned {tuned:.2f} ({tuned - base:+.2f})")
        if scores.champion_version:
            champion = scores.mean(metric, "champion")
            found |= {f"champion_{metric}": champion, f"gain_over_champion_{metric}": tuned - champion}
            stage.say(f"{LABELS[metric]}: champion {champion:.2f} ({tuned - champion:+.2f})")
    stage.say(f"guard set: base {scores.guard_base:.2f}, fine-tuned {scores.guard_tuned:.2f}")
    stage.metrics(found | {"guard_base": scores.guard_base, "guard_tuned": scores.guard_tuned})
    stage.fact("adapter_digest", scores.adapter_digest)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        scores.write(folder / "scores.json")
        stage.file(folder / "scores.json")
        shown = json.dumps(example_answers(scores), ensure_ascii=False, indent=2)
        (folder / EXAMPLES_FILE).write_text(shown, encoding="utf-8")
        stage.file(folder / EXAMPLES_FILE)
        _draw(scores, seed, folder, stage)


def example_answers(scores: Scores) -> list[dict[str, str | float]]:
    """Choose a few rows for a person to read, evenly from the greatest loss to the greatest gain.

    Each has the texts `prompt`, `reference`, `base` and `tuned`, and the `gain` in token F1.
    """
    ordered = sorted(scores.examples, key=lambda example: example.gain(EXAMPLE_METRIC))
    count = min(EXAMPLE_COUNT, len(ordered))
    places = [round(i * (len(ordered) - 1) / max(count - 1, 1)) for i in range(count)]
    return [
        {
            "prompt": _shown(example.prompt),
            "reference": example.reference,
            "base": example.base_answer,
            "tuned": example.tuned_answer,
            "gain": round(example.gain(EXAMPLE_METRIC), 4),
        }
        for example in (ordered[place] for place in places)
    ]


def _shown(prompt: Sequence[Message]) -> str:
    """Show a single question bare, several turns with their roles."""
    if len(prompt) == 1:
        return prompt[0].content
    return "\n".join(f"{message.role}: {_said(message)}" for message in prompt)


def _said(message: Message) -> str:
    calls = [f"{call.name}({json.dumps(call.arguments, ensure_ascii=False)})" for call in message.tool_calls]
    return "\n".join(filter(None, [message.content, *calls]))


def _draw(scores: Scores, seed: int, folder: Path, stage: Stage) -> None:
    def interval(examples: Sequence[ScoredExample], metric: str) -> tuple[MeanInterval, MeanInterval]:
        base = [example.base[metric] for example in examples]
        tuned = [example.tuned[metric] for example in examples]
        return mean_interval(base, CONFIDENCE, seed, (0, 1)), mean_interval(tuned, CONFIDENCE, seed, (0, 1))

    rows, items = len(scores.examples), len(scores.guard)
    pairs = {f"{LABELS[metric]}\n{rows} prompts": interval(scores.examples, metric) for metric in METRICS}
    pairs[f"guard set\n{items} prompts"] = interval(scores.guard, GUARD_METRIC)
    draw_comparison(pairs, CONFIDENCE, folder / "base-and-tuned.png")
    stage.figure("Base and fine-tuned", folder / "base-and-tuned.png")
    draw_rows(scores.gains(EXAMPLE_METRIC), LABELS[EXAMPLE_METRIC], folder / "gain-by-prompt.png")
    stage.figure("Gain of each held-out prompt", folder / "gain-by-prompt.png")
