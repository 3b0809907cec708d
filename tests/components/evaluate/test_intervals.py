import numpy as np
import pytest

from components.evaluate.intervals import mean_interval

SPAN = (-1.0, 1.0)


def test_the_interval_holds_the_truth_about_as_often_as_it_says():
    draw = np.random.default_rng(3)
    held = 0
    for number in range(60):
        gains = draw.choice([-1, 0, 1], size=60, p=[0.1, 0.5, 0.4])
        interval = mean_interval(gains.tolist(), 0.9, number, SPAN)
        held += interval.low <= 0.3 <= interval.high
    assert 48 <= held <= 60  # 54 expected; 47 or fewer in less than 1 of 100 tries


def test_more_confidence_is_wider_and_more_rows_are_narrower():
    gains = [0.0, 1.0, 0.0, -1.0, 1.0, 1.0] * 4
    usual = mean_interval(gains, 0.95, 1, SPAN)
    assert mean_interval(gains, 0.99, 1, SPAN).low < usual.low
    assert mean_interval(gains * 4, 0.95, 1, SPAN).low > usual.low


def test_the_order_of_rows_does_not_matter():
    gains = np.random.default_rng(0).uniform(-1, 1, 30).tolist()
    assert mean_interval(gains, 0.95, 7, SPAN) == mean_interval(gains[::-1], 0.95, 7, SPAN)


@pytest.mark.parametrize(
    ("value", "rows", "low", "high"),
    [
        # q = 1 - 0.025 ** (1 / rows): 0.168 for 20 rows, 0.842 for 2
        pytest.param(0.0, 20, -0.168, 0.168, id="two models that score the same"),
        pytest.param(1.0, 20, 1 - 0.168 * 2, 1.0, id="every row won"),
        pytest.param(-1.0, 20, -1.0, -1 + 0.168 * 2, id="every row lost"),
        pytest.param(1.0, 2, 1 - 0.842 * 2, 1.0, id="two rows prove little"),
    ],
)
def test_equal_values_are_no_certainty(value: float, rows: int, low: float, high: float):
    interval = mean_interval([value] * rows, 0.95, 1, SPAN)
    assert (interval.mean, interval.resampled_means) == (value, ())
    assert (interval.low, interval.high) == (pytest.approx(low, abs=1e-3), pytest.approx(high, abs=1e-3))


def test_one_row_that_differs_is_resampled():
    interval = mean_interval([1.0] * 19 + [0.0], 0.95, 1, SPAN)
    assert 0.6 < interval.low < interval.mean < interval.high <= 1
