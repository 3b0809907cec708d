"""Suggest a metric and a max_length that fit what the rows hold; nothing follows from it by itself."""

from dataclasses import dataclass

from components.dataset.arrays import Numbers
from components.dataset.checks.answers import AnswerKind

METRIC: dict[AnswerKind, str] = {
    "labels": "exact_match",
    "JSON": "exact_match",
    "numbers": "exact_match",
    "short texts": "token_f1",
    "long texts": "token_f1",
}
STEP_TOKENS = 64
LONGEST_BY_P99 = 1.5  # a longest row beyond so many times the 99th percentile is an outlier


@dataclass(frozen=True)
class Suggestion:
    """What fits the dataset.

    Attributes:
        quality_metric: The metric.
        max_length: The longest row, tokens; None where none could be counted.
        why: One sentence for a person.
    """

    quality_metric: str
    max_length: int | None
    why: str


def suggest(kind: AnswerKind, tokens: Numbers) -> Suggestion:
    """Suggest a metric by the kind of answers, and a max_length by the rows' lengths in tokens.

    All rows fit into the length, but for few that are far longer than 99 of 100 are.
    """
    import numpy

    metric = METRIC[kind]
    why = f"answers are {kind}"
    if not len(tokens):
        return Suggestion(metric, None, why)
    ordered = numpy.sort(tokens)
    longest, p99 = int(ordered[-1]), int(ordered[int(0.99 * (len(ordered) - 1))])
    is_outlier = longest > LONGEST_BY_P99 * p99
    chosen = p99 if is_outlier else longest
    why += f"; 99 of 100 rows have {p99:,} tokens or fewer, the longest {longest:,}"
    return Suggestion(metric, max(1, -(-chosen // STEP_TOKENS)) * STEP_TOKENS, why)
