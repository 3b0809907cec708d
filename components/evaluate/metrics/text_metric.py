"""What every metric of two texts has in common; a metric adds how one answer is scored."""

import inspect
from abc import ABC, abstractmethod

import datasets
import evaluate

_USAGE = """
Args:
    predictions: Answers, one text each.
    references: What was asked for, one text each.

Returns:
    The metric's name: Mean of the scores (0 to 1).
    scores: The score of each answer, in order.
"""


class TextMetric(evaluate.Metric, ABC):  # type: ignore[misc]  # evaluate ships no types
    """Scores each answer against its reference, and all of them by the mean."""

    @abstractmethod  # abstract, too, because `evaluate.load` takes the first metric of a file that is not
    def score(self, answer: str, reference: str) -> float:
        """Return how good an answer is, 0 to 1."""

    def _info(self) -> evaluate.MetricInfo:
        text = datasets.Value("string")
        return evaluate.MetricInfo(
            description=str(inspect.getdoc(self)),
            citation="",
            inputs_description=_USAGE,
            features=datasets.Features({"predictions": text, "references": text}),
        )

    def _compute(self, predictions: list[str], references: list[str]) -> dict[str, float | list[float]]:
        scores = [self.score(*pair) for pair in zip(predictions, references, strict=True)]
        return {self.name: sum(scores) / len(scores), "scores": scores}
