"""Exact match: whether an answer is the reference, after normalisation."""

import datasets
import evaluate

from components.evaluate.normalise import normalise

_USAGE = """
Args:
    predictions: Answers, one text each.
    references: What was asked for, one text each.

Returns:
    exact_match: Share of answers that equal their reference (0 to 1).
    scores: 1.0 or 0.0 for each answer, in order.
"""


class ExactMatch(evaluate.Metric):  # type: ignore[misc]  # evaluate ships no types
    """Share of answers that equal their reference once both are normalised as SQuAD does."""

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
            float(normalise(prediction) == normalise(reference))
            for prediction, reference in zip(predictions, references, strict=True)
        ]
        return {"exact_match": sum(scores) / len(scores), "scores": scores}
