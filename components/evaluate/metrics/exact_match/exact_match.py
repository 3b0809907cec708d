"""Exact match: whether an answer is the reference, after normalisation."""

from components.evaluate.metrics.text_metric import TextMetric
from components.evaluate.normalise import normalise


class ExactMatch(TextMetric):
    """Share of answers that equal their reference once both are normalised as SQuAD does."""

    def score(self, answer: str, reference: str) -> float:
        """Return 1 or 0."""
        return float(normalise(answer) == normalise(reference))
