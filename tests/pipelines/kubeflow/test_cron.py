from datetime import UTC, datetime

import pytest

from components.errors import InvalidInput
from pipelines.kubeflow.cron import read_cron

NOW = datetime(2026, 3, 2, 12, 0, tzinfo=UTC)  # a Monday


@pytest.mark.parametrize(
    ("expression", "words", "first"),
    [
        pytest.param("0 0 3 * * 1", "At 03:00, only on Monday", "2026-03-09 03:00:00", id="weekly"),
        pytest.param("30 */15 * * * *", "every 15 minutes", "2026-03-02 12:00:30", id="seconds"),
        pytest.param("0 0 3 ? * MON-FRI", "Monday through Friday", "2026-03-03 03:00:00", id="names, ?"),
        pytest.param("0 0 0 29 2 *", "only in February", "2028-02-29 00:00:00", id="in a leap year"),
        pytest.param("0 0 6 1 jul *", "only in July", "2026-07-01 06:00:00", id="a month with an L"),
        pytest.param("0 0 0 31 4 1", "April", "2026-04-06 00:00:00", id="the day of the week alone"),
        pytest.param("0 0 3 * * */7", "", "2026-03-08 03:00:00", id="a step of 7"),
    ],
)
def test_what_it_means_and_when_it_fires(expression: str, words: str, first: str):
    cron = read_cron(expression, NOW)
    assert words.lower() in cron.words.lower()
    assert f"{cron.next_times[0]:%Y-%m-%d %H:%M:%S}" == first


@pytest.mark.parametrize(
    ("expression", "words"),
    [
        pytest.param("0 3 * * 1", "has 5 fields, wanted 6", id="five fields"),
        pytest.param("", "has 0 fields", id="nothing"),
        pytest.param("@daily", "has 1 fields", id="a word"),
        pytest.param("0 0 0 30 2 *", "never fires", id="30 February"),
        pytest.param("0 0 0 31 4,6 *", "never fires", id="31 April"),
        pytest.param("0 0 0 32 * *", "Bad day-of-month", id="no such day"),
        pytest.param("0 61 * * * *", "Bad minute", id="no such minute"),
        pytest.param("0 0 0 L * *", "does not know", id="last day"),
        pytest.param("0 0 0 ? * 5#2", "does not know", id="second Friday"),
        pytest.param("0 0 0 * * 7", "Sunday is 0", id="Sunday as 7"),
    ],
)
def test_what_is_refused(expression: str, words: str):
    with pytest.raises(InvalidInput, match=words):
        read_cron(expression, NOW)
