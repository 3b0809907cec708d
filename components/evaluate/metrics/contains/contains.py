"""Contains: whether the reference stands somewhere in an answer, after normalisation."""

import datasets
import evaluate

from components.evaluate.normalise import tokens

_USAGE = """
Args:
    predictions: Answers, one text each.
    references: The words to be found, one text each.

Returns:
    contains: Share of answers that contain their reference (0 to 1).
    scores: 1.0 or 0.0 for each answer, in order.
"""


class Contains(evaluate.Metric):  # type: ignore[misc]  # evaluate ships no types
    """Share of answers that hold the words of their reference, in order and side by side.

    It is fair to a talkative model and to a terse one alike ("The capital of France is Paris." and
    "Paris"), which exact match and F1 are not; it doesn't punish wrong words around the right ones.
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
            float(holds(tokens(prediction), tokens(reference)))
            for prediction, reference in zip(predictions, references, strict=True)
        ]
        return {"contains": sum(scores) / len(scores), "scores": scores}


def holds(words: list[str], wanted: list[str]) -> bool:
    """Return whether `wanted` is a run of `words`."""
    return any(words[i : i + len(wanted)] == wanted for i in range(len(words) - len(wanted) + 1))
