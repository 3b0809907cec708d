"""What the card calls closest to its limit."""

import pytest

from components.checks import Check, at_least, at_most
from components.release.card.closest import closest_check


def most(name: str, value: float, limit: float, unit: str = "share") -> Check:
    return at_most(name, value, limit, unit, "why")


def least(name: str, value: float, limit: float, unit: str = "share") -> Check:
    return at_least(name, value, limit, unit, "why")


PERFECT = least("goodput", 1.0, 0.9)


@pytest.mark.parametrize(
    ("checks", "closest"),
    [
        pytest.param([PERFECT, least("goodput_long", 0.82, 0.8)], "goodput_long", id="the smaller margin"),
        pytest.param(
            [PERFECT, most("failed_killed", 0.15, 0.25)],
            "failed_killed",
            id="equal margins: what is best already has all its room left",
        ),
        pytest.param(
            [least("goodput", 0.95, 0.9), most("failed_killed", 0.05, 0.25)],
            "goodput",
            id="half of the room before four fifths",
        ),
        pytest.param(
            [least("goodput", 0.95, 0.9), most("recovery_s", 216, 240, "s")],
            "recovery_s",
            id="a tenth of the time before half of a share",
        ),
        pytest.param(
            [most("ttft_p95_ms", 1800, 2000, "ms"), most("recovery_s", 120, 240, "s")],
            "ttft_p95_ms",
            id="milliseconds and seconds",
        ),
        pytest.param(
            [least("train_rows", 1184, 50, "rows"), least("eval_rows", 22, 20, "rows"), PERFECT],
            "eval_rows",
            id="a tenth more rows than needed",
        ),
        pytest.param([PERFECT, least("eval_rows", 20, 20, "rows")], "eval_rows", id="at its limit"),
        pytest.param([PERFECT, most("truncated", 0.02, 0.02)], "truncated", id="a share at its limit"),
        pytest.param([PERFECT, least("gain_low", 0.05, 0.05)], "gain_low", id="a gain at its margin"),
        pytest.param(
            [least("gain_low", 0.04, -0.02), most("guard_drop", -0.1, -0.05)],
            "guard_drop",
            id="signed shares",
        ),
        pytest.param([PERFECT, most("failed", 0.0, 0.0)], "goodput", id="none may fail: perfect, not close"),
        pytest.param([PERFECT, least("answered", 1.0, 1.0)], "goodput", id="all have to: perfect, not close"),
        pytest.param([PERFECT, least("ready", 2, 2, "replicas")], "goodput", id="every replica is ready"),
        pytest.param([PERFECT, least("same_adapter", 1, 1, "digest")], "goodput", id="digests are left out"),
        pytest.param([PERFECT, most("wait_s", 5, float("inf"), "s")], "goodput", id="without a limit"),
        pytest.param(
            [least("first", 20, 20, "rows"), most("second", 0.02, 0.02)], "first", id="the first of equals"
        ),
        pytest.param([most("failed", 0.0, 0.0), least("ready", 2, 2, "replicas")], None, id="nothing is"),
        pytest.param([], None, id="no check"),
    ],
)
def test_what_is_closest_to_its_limit(checks: list[Check], closest: str | None):
    assert all(check.status == "passed" for check in checks)
    found = closest_check(checks)
    assert (found and found.name) == closest
