"""Which of the passed checks came closest to its limit."""

import math
from collections.abc import Sequence

from components.checks import Check


def closest_check(checks: Sequence[Check]) -> Check | None:
    """Return the check with the least room left; of equal ones the first, None where no check has any room.

    Rows, seconds and shares have no unit in common, so a margin is held against the room there was: from the
    limit to the best value that there is. All of a share is 1 (a goodput of 95 % has half of the room above
    a limit of 90 % left), the best time is 0, and of what is counted there may always be more: there the
    limit itself is the measure (30 rows where 20 are needed have half of it left).

    A check whose limit is the best value (no request may fail, every replica has to be ready) passes only
    with a margin of 0. That is perfect and not close, so it is left out, and so is a digest, which is the
    same or not.
    """
    left = [(share, check) for check in checks if (share := _left(check)) is not None]
    return min(left, key=lambda item: item[0])[1] if left else None


def _left(check: Check) -> float | None:
    """Return the margin as a share of the room; more than 1 where a value is better than was thought of."""
    room = _room(check)
    if check.margin is None or not 0 < room < math.inf:
        return None
    return check.margin / room


def _room(check: Check) -> float:
    """Return how far it is from the limit to the best value."""
    if check.unit in ("digest", "replicas"):  # there are never more replicas than were asked for
        return 0.0
    if check.unit == "share":
        best = 1.0 if check.bound == "min" else 0.0
        if check.bound == "max" and check.limit < 0:  # a loss that has to be a gain
            best = -1.0
        return abs(best - check.limit)
    return abs(check.limit)
