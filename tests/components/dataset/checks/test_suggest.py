"""Suggestions follow the kind of answers and the lengths of rows."""

import numpy
import pytest

from components.dataset.checks.suggest import METRIC, suggest
from components.evaluate.metrics import METRICS


@pytest.mark.parametrize(
    ("tokens", "expected"),
    [
        pytest.param([], None, id="none counted"),
        pytest.param([10], 64, id="one row"),
        pytest.param([64] * 100, 64, id="just fits"),
        pytest.param([65] * 100, 128, id="a token more"),
        pytest.param([100] * 200 + [5000], 128, id="an outlier is left out"),
        pytest.param([*range(1, 301)], 320, id="no outlier"),
    ],
)
def test_max_length(tokens: list[int], expected: int | None):
    assert suggest("labels", numpy.array(tokens)).max_length == expected


def test_each_kind_has_a_metric_that_there_is():
    assert set(METRIC.values()) <= set(METRICS)
    assert suggest("labels", numpy.array([])).quality_metric == "exact_match"
    assert suggest("long texts", numpy.array([7])).why == (
        "answers are long texts; 99 of 100 rows have 7 tokens or fewer, the longest 7"
    )
