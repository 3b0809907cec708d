"""Where base and fine-tuned are right and wrong, prompt by prompt, for KFP's confusion matrix."""

from pathlib import Path

from components.evaluate.scores import Scores

CATEGORIES = ["right", "wrong"]
METRIC = "exact_match"


def agreement(scores_path: Path) -> list[list[int]]:
    """Count the held-out rows that base (rows) and fine-tuned (columns) answer exactly.

    Returns:
        Right and wrong by right and wrong. The off-diagonal is what fine-tuning lost (first row) and
        won (second row).
    """
    counts = [[0, 0], [0, 0]]
    for example in Scores.read(scores_path).examples:
        counts[example.base[METRIC] < 1][example.tuned[METRIC] < 1] += 1
    return counts
