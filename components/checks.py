"""Checks and verdicts: the only form in which Tunegate says that something is good enough."""

from pathlib import Path
from typing import Literal

from pydantic import BaseModel, ConfigDict, computed_field

Status = Literal["passed", "failed", "inconclusive"]


class Check(BaseModel):
    """One measured value held against one limit.

    Attributes:
        name: What was measured, in snake_case.
        value: The measurement; None where nothing could be measured.
        limit: What it is held against.
        bound: Whether the limit is the least (`min`) or the most (`max`) that passes.
        unit: Unit of value and limit: `ms`, `s`, `rows`, `share` (0 to 1), `digest` ...
        status: passed, failed or inconclusive.
        why: One sentence for the person who reads the card.
    """

    model_config = ConfigDict(frozen=True)

    name: str
    value: float | None
    limit: float
    bound: Literal["min", "max"]
    unit: str
    status: Status
    why: str

    @computed_field  # type: ignore[prop-decorator]
    @property
    def margin(self) -> float | None:
        """How far the value is on the good side of the limit; negative on the bad side."""
        if self.value is None:
            return None
        return self.value - self.limit if self.bound == "min" else self.limit - self.value


def at_least(name: str, value: float | None, limit: float, unit: str, why: str) -> Check:
    """Check that `value` is `limit` or more; a value that is missing or NaN is inconclusive."""
    return _held(name, value, limit, "min", unit, why)


def at_most(name: str, value: float | None, limit: float, unit: str, why: str) -> Check:
    """Check that `value` is `limit` or less; a value that is missing or NaN is inconclusive."""
    return _held(name, value, limit, "max", unit, why)


def _held(
    name: str, value: float | None, limit: float, bound: Literal["min", "max"], unit: str, why: str
) -> Check:
    if value is None or value != value:
        return Check(
            name=name, value=None, limit=limit, bound=bound, unit=unit, status="inconclusive", why=why
        )
    good = value >= limit if bound == "min" else value <= limit
    status: Status = "passed" if good else "failed"
    return Check(name=name, value=value, limit=limit, bound=bound, unit=unit, status=status, why=why)


class Verdict(BaseModel):
    """An ordered list of checks of one stage, and what follows from them.

    Attributes:
        stage: The stage that was judged.
        checks: The checks in the order in which a person should read them.
        adapter_digest: The adapter that was judged (`sha256:...`); empty before there is one.
    """

    model_config = ConfigDict(frozen=True)

    stage: str
    checks: tuple[Check, ...]
    adapter_digest: str = ""

    @computed_field  # type: ignore[prop-decorator]
    @property
    def status(self) -> Status:
        """Failed if any check failed, else inconclusive if any is or if there is none, else passed."""
        found = {check.status for check in self.checks}
        if "failed" in found:
            return "failed"
        return "passed" if found == {"passed"} else "inconclusive"

    @property
    def passed(self) -> bool:
        """Whether the release may go on."""
        return self.status == "passed"

    @property
    def reasons(self) -> list[str]:
        """What stands in the way, one line a check that did not pass."""
        return [f"{c.name} {c.status}: {c.why}" for c in self.checks if c.status != "passed"]

    def write(self, path: Path) -> None:
        """Write the verdict as JSON."""
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(self.model_dump_json(indent=2), encoding="utf-8")

    @classmethod
    def read(cls, path: Path) -> "Verdict":
        """Read a verdict that `write` wrote."""
        return cls.model_validate_json(path.read_text(encoding="utf-8"))
