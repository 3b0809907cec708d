"""How a release ended, derived from what its stages recorded."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from components import wording
from components.checks import Verdict
from components.release.standing import UNCHANGED_FACT
from components.tracking.records import RecordedStage, StageRecord

Ending = Literal["promoted", "refused", "skipped", "failed"]


@dataclass(frozen=True)
class Outcome:
    """How a release ended.

    Attributes:
        ending: Promoted, refused by a verdict, skipped because nothing changed, or failed.
        why: One sentence for the person who reads the card.
        stage: The stage that decided it; empty where none was started.
        detail: What stood in the way, one line each.
        killed: Whether a stage was ended from outside.
    """

    ending: Ending
    why: str
    stage: str = ""
    detail: tuple[str, ...] = ()
    killed: bool = False


def derive_outcome(stages: Sequence[RecordedStage]) -> Outcome:
    """Say how a release ended.

    Promoted only if a `promote` stage has finished; refused if a verdict is not passed; skipped if the
    champion was trained on the same dataset; else failed.
    """
    # Of a stage that was tried again, the last try counts.
    records = list({stage.record.stage: stage.record for stage in stages}.values())
    if any(record.stage == "promote" and record.status == "finished" for record in records):
        count = sum(len(verdict.checks) for record in records for verdict in record.verdicts)
        return Outcome("promoted", f"All {_checks(count)} passed; it takes the live traffic.", "promote")
    for record in records:
        for verdict in record.verdicts:
            if not verdict.passed:
                return _refused(record, verdict)
    for record in records:
        if record.status != "finished":
            return _failed(record)
    if not records:
        return Outcome("failed", "No stage was started.")
    for record in records:
        if version := record.facts.get(UNCHANGED_FACT):
            why = f"The dataset is that of champion version {version}, which goes on serving: nothing to do."
            return Outcome("skipped", why, record.stage)
    last = records[-1].stage
    return Outcome("failed", f"It ended after {last}: the next stage left no record.", last)


def _refused(record: StageRecord, verdict: Verdict) -> Outcome:
    where = record.stage.replace("-", " ")
    standing = [check for check in verdict.checks if check.status != "passed"]
    if not standing:
        return Outcome("refused", f"Refused at the {where}: no checks were made.", record.stage)
    failed = sum(check.status == "failed" for check in standing)
    found = f"{failed} failed" if failed else f"{len(standing)} inconclusive"
    return Outcome(
        "refused",
        f"Refused at the {where}: of {_checks(len(verdict.checks))}, {found}.",
        record.stage,
        tuple(
            f"{wording.check_name(check)} {check.status}: {wording.check_value(check)}, "
            f"limit {wording.check_limit(check)}; {check.why}"
            for check in standing
        ),
    )


def _checks(count: int) -> str:
    return f"{count} check{'s'[: count != 1]}"


def _failed(record: StageRecord) -> Outcome:
    killed = record.status == "killed"
    first, *more = record.error.strip().splitlines() or ["it gave no reason"]
    how = "was stopped before it could finish." if killed else f"failed: {first}"
    return Outcome(
        "failed",
        f"{record.stage} {how}",
        record.stage,
        tuple(line.strip().removeprefix("- ") for line in more if line.strip()),
        killed,
    )
