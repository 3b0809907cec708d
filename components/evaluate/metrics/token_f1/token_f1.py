"""Token F1: how many words an answer and the reference have in common, after normalisation."""

from collections import Counter

from components.evaluate.metrics.text_metric import TextMetric
from components.evaluate.normalise import tokens


class TokenF1(TextMetric):
    """Mean over the answers of F1 = 2PR / (P + R), words counted as often as they occur.

    P is the share of the answer's words that the reference has, R the share of the reference's words
    that the answer has (Rajpurkar et al. 2016). Two empty texts are equal: 1.
    """

    def score(self, answer: str, reference: str) -> float:
        """Return 2PR / (P + R), which is 2 * common / (all words of both)."""
        said, wanted = tokens(answer), tokens(reference)
        if not said and not wanted:
            return 1.0
        common = (Counter(said) & Counter(wanted)).total()
        return 2 * common / (len(said) + len(wanted))
