"""Cron expressions of six fields: checked, and said in words, before they are sent."""

import re
from dataclasses import dataclass
from datetime import UTC, datetime
from itertools import islice

from components.errors import InvalidInput

FIELDS = ("second", "minute", "hour", "day of the month", "month", "day of the week")
EXAMPLE = '"0 0 3 * * 1" (second, minute, hour, day of the month, month, day of the week: Mondays at 03:00)'
SHOWN = 3


@dataclass(frozen=True)
class Cron:
    """A cron expression that fires.

    Attributes:
        expression: As the back end takes it.
        words: What it means.
        next_times: When it fires next, counted in UTC.
    """

    expression: str
    words: str
    next_times: tuple[datetime, ...]


def read_cron(expression: str, now: datetime | None = None) -> Cron:
    """Check a cron expression as the back end (robfig/cron) reads it, and say what it means.

    Args:
        expression: Six fields, seconds first.
        now: From when the next times are counted.

    Raises:
        InvalidInput: It is none, uses what the back end does not know, or never fires.
    """
    from cron_descriptor import Options, get_description
    from cronsim import CronSim, CronSimError

    fields = expression.split()
    problems = _unknown_to_the_back_end(fields)
    if problems:
        raise InvalidInput(f"cron {expression!r}", problems)
    plain = " ".join("*" if field == "?" else field for field in fields)
    try:
        times = tuple(islice(CronSim(plain, now or datetime.now(UTC)), SHOWN))
    except CronSimError as error:
        # A day that no month of the fourth and fifth field has is refused like a day that there is not.
        times = ()
        if not _reads(fields):
            raise InvalidInput(f"cron {expression!r}", [f"{error}; wanted such as {EXAMPLE}"]) from error
    if not times:
        months = "no month that the fifth field admits has the days that the fourth wants"
        raise InvalidInput(f"cron {expression!r}", [f"never fires: {months}"])
    return Cron(" ".join(fields), get_description(plain, Options(use_24hour_time_format=True)), times)


def _unknown_to_the_back_end(fields: list[str]) -> list[str]:
    if len(fields) != len(FIELDS):
        return [f"has {len(fields)} fields, wanted {len(FIELDS)}: {EXAMPLE}"]
    problems = [
        f"{name}: {field!r} uses L, W or #, which Kubeflow Pipelines does not know; name the days"
        for name, field in ((FIELDS[3], fields[3]), (FIELDS[5], fields[5]))
        if re.search(r"#|\bL|\dL|W\b|\dW", field.upper())
    ]
    if re.search(r"\b7\b", re.sub(r"/\d+", "", fields[5])):
        problems.append(f"{FIELDS[5]}: {fields[5]!r} has a 7; Sunday is 0 in Kubeflow Pipelines")
    return problems


def _reads(fields: list[str]) -> bool:
    """Whether the expression is one at all, in some month."""
    from cronsim import CronSim, CronSimError

    anytime = " ".join("*" if field == "?" or place == 4 else field for place, field in enumerate(fields))
    in_any_day = " ".join("*" if field == "?" or place == 3 else field for place, field in enumerate(fields))
    try:
        for expression in (anytime, in_any_day):
            CronSim(expression, datetime.now(UTC))
    except CronSimError:
        return False
    return True
