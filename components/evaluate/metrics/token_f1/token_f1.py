"""Token F1: how many words an answer and the reference have in common, after normalisation."""

from collections import Counter

import datasets
import evaluate

from components.evaluate.normalise import tokens

_USAGE = """
Args:
    predictions: Answers, one text each.
    references: What was asked for, one text each.

Returns:
    token_f1: Mean F1 over the answers (0 to 1).
    scores: F1 of each answer, in order.
"""


class TokenF1(evaluate.Metric):  # type: ignore[misc]  # evaluate ships no types
    """Mean over the answers of F1 = 2PR / (P + R), words counted as often as they occur.

    P is the share of the answer's words that the reference has, R the share of the reference's words
    that the answer has (Rajpurkar et al. 2016). Two empty texts are equal: 1.
    """

    def _info(self) -> evaluate.MetricInfo:
        text = datasets.Value("string")
        return evaluate.MetricInfo(
            description=str(__doc__),
            citation="",
            inputs_description=_USAGE,
            features=datasets.Features({"predictions": text, "references": text}),
        )

    def _compute(self, predictions: list[str], references: list[str]) -> dict[str, float | list[float]]:
        scores = [
            f1(tokens(prediction), tokens(reference))
            for prediction, reference in zip(predictions, references, strict=True)
        ]
        return {"token_f1": sum(scores) / len(scores), "scores": scores}


def f1(prediction: list[str], reference: list[str]) -> float:
    """Return 2PR / (P + R) of two lists of words, which is 2 * common / (all words of both)."""
    if not prediction and not reference:
        return 1.0
    common = (Counter(prediction) & Counter(reference)).total()
    return 2 * common / (len(prediction) + len(reference))
