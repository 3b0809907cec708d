"""How a release ended, in lines for the terminal."""

from collections.abc import Sequence

from components import wording
from components.release.card.stage_boxes import MARKS
from components.release.outcome import derive_outcome
from components.tracking.records import RecordedStage


def summary_lines(stages: Sequence[RecordedStage]) -> list[str]:
    """Return the outcome, what stood in the way, and every check with value and limit, in columns."""
    outcome = derive_outcome(stages)
    rows = [
        (
            MARKS[check.status],
            verdict.stage,
            wording.check_name(check),
            wording.check_value(check),
            wording.check_limit(check),
            check.status,
        )
        for stage in stages
        for verdict in stage.record.verdicts
        for check in verdict.checks
    ]
    widths = [max(len(row[column]) for row in rows) for column in range(5)] if rows else []
    return [
        f"{outcome.ending.upper()}: {outcome.why}",
        *(f"  - {line}" for line in outcome.detail),
        *(
            f"  {mark} {stage:<{widths[1]}}  {name:<{widths[2]}}  "
            f"{value:>{widths[3]}}  {limit:>{widths[4]}}  {status}"
            for mark, stage, name, value, limit, status in rows
        ),
    ]
