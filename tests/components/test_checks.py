from pathlib import Path

import pytest

from components.checks import Verdict, at_least, at_most


@pytest.mark.parametrize(
    ("check", "status", "margin"),
    [
        pytest.param(at_least("gain", 0.3, 0.1, "share", "w"), "passed", 0.2, id="above a least value"),
        pytest.param(at_least("gain", 0.1, 0.1, "share", "w"), "passed", 0.0, id="just on it"),
        pytest.param(at_least("gain", 0.0, 0.1, "share", "w"), "failed", -0.1, id="below it"),
        pytest.param(at_most("ttft", 90.0, 100.0, "ms", "w"), "passed", 10.0, id="below a largest value"),
        pytest.param(at_most("ttft", 120.0, 100.0, "ms", "w"), "failed", -20.0, id="above it"),
        pytest.param(at_most("ttft", None, 100.0, "ms", "w"), "inconclusive", None, id="not measured"),
        pytest.param(
            at_least("gain", float("nan"), 0.1, "share", "w"), "inconclusive", None, id="not a number"
        ),
    ],
)
def test_check(check, status, margin):
    assert check.status == status
    assert check.margin == (None if margin is None else pytest.approx(margin))


@pytest.mark.parametrize(
    ("values", "status"),
    [
        pytest.param([1.0, 2.0], "passed", id="all passed"),
        pytest.param([1.0, -1.0], "failed", id="one failed"),
        pytest.param([1.0, None], "inconclusive", id="one not measured"),
        pytest.param([None, -1.0], "failed", id="failed outweighs inconclusive"),
        pytest.param([], "inconclusive", id="nothing was checked"),
    ],
)
def test_verdict(values, status, tmp_path: Path):
    verdict = Verdict(stage="s", checks=tuple(at_least("c", v, 0.0, "share", "because") for v in values))
    assert verdict.status == status
    assert verdict.passed == (status == "passed")
    assert len(verdict.reasons) == sum(v is None or v < 0 for v in values)
    verdict.write(tmp_path / "deep" / "verdict.json")
    assert Verdict.read(tmp_path / "deep" / "verdict.json") == verdict
