"""Contains: whether the reference stands somewhere in an answer, after normalisation."""

from components.evaluate.metrics.text_metric import TextMetric
from components.evaluate.normalise import tokens


class Contains(TextMetric):
    """Share of answers that hold the words of their reference, in order and side by side.

    It is fair to a talkative model and to a terse one alike ("The capital of France is Paris." and
    "Paris"), which exact match and F1 are not; it doesn't punish wrong words around the right ones.
    """

    def score(self, answer: str, reference: str) -> float:
        """Return 1 or 0."""
        words, wanted = tokens(answer), tokens(reference)
        starts = range(len(words) - len(wanted) + 1)
        return float(any(words[i : i + len(wanted)] == wanted for i in starts))
