"""The release card: one self-contained page that says what was found and what was decided."""

import base64
import struct
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from components import wording
from components.checks import Check
from components.progress import STAGES
from components.release.card.comparison import chosen_examples, comparisons
from components.release.card.curl import curl_command
from components.release.card.facts import ReleaseFacts
from components.release.card.load_table import COLUMNS, load_rows
from components.release.card.properties import headline_figures, properties, training_figures
from components.release.card.stage_boxes import MARKS, cached_stages, stage_boxes
from components.release.outcome import Outcome
from components.tracking.records import RecordedStage

TEMPLATE = Path(__file__).with_name("page.html")
WIDE_FIGURE = 2.1  # width over height from which a figure takes the whole row


@dataclass(frozen=True)
class CheckRow:
    """One check of the table; `check` has the raw values."""

    check: Check
    name: str
    value: str
    limit: str
    margin: str
    mark: str


@dataclass(frozen=True)
class Picture:
    """One figure, embedded."""

    title: str
    stage: str
    source: str
    wide: bool


def render_card(facts: ReleaseFacts, stages: Sequence[RecordedStage], outcome: Outcome) -> str:
    """Draw the card.

    Args:
        facts: What the stages' records do not say.
        stages: What each stage recorded.
        outcome: How the release ended.

    Returns:
        An HTML page without scripts and without anything to load.
    """
    import jinja2

    environment = jinja2.Environment(
        autoescape=True, trim_blocks=True, lstrip_blocks=True, undefined=jinja2.StrictUndefined
    )
    environment.filters["share"] = lambda value: wording.quantity(value, "share")
    latest = _latest(stages)
    records = [stage.record for stage in latest.values()]
    return environment.from_string(TEMPLATE.read_text(encoding="utf-8")).render(
        facts=facts,
        outcome=outcome,
        boxes=list(stage_boxes(facts, latest)),
        cached=cached_stages(latest),
        verdicts=[
            (verdict, [_row(check) for check in verdict.checks])
            for record in records
            for verdict in record.verdicts
        ],
        undecided=outcome.ending == "refused"
        and not any(verdict.status == "failed" for record in records for verdict in record.verdicts),
        tiles=[] if outcome.ending in ("failed", "skipped") else list(headline_figures(records)),
        properties=list(properties(facts, records)),
        times=_times(facts, latest),
        comparisons=list(comparisons(records)),
        load_columns=[label for _, label, _ in COLUMNS],
        load=list(load_rows(records)),
        examples=chosen_examples(facts.examples),
        pictures=[
            _picture(title, stage.record.stage, png)
            for stage in latest.values()
            for title, png in stage.pictures
        ],
        training=training_figures(records),
        params=[(record.stage, record.params) for record in records if record.params],
        curl=curl_command(facts.serving.endpoint, facts.model_name, facts.examples) if facts.serving else "",
    )


def _latest(stages: Sequence[RecordedStage]) -> dict[str, RecordedStage]:
    """Return the last record of each stage in the order of the graph."""
    found = {stage.record.stage: stage for stage in stages}
    order = {name: place for place, name in enumerate(STAGES)}
    return dict(sorted(found.items(), key=lambda item: order.get(item[0], len(order))))


def _row(check: Check) -> CheckRow:
    return CheckRow(
        check,
        wording.check_name(check),
        wording.check_value(check),
        wording.check_limit(check),
        wording.check_margin(check),
        MARKS[check.status],
    )


def _times(facts: ReleaseFacts, latest: dict[str, RecordedStage]) -> dict[str, str]:
    own = [stage.record for stage in latest.values() if not stage.cached_from]
    end = max((record.started_at + record.seconds for record in own), default=facts.started_at)
    return {
        "started": wording.moment(facts.started_at),
        "took": wording.duration(max(0.0, end - facts.started_at)),
    }


def _picture(title: str, stage: str, png: bytes) -> Picture:
    wide = False
    if png.startswith(b"\x89PNG") and len(png) >= 24:
        width, height = struct.unpack(">II", png[16:24])
        wide = width > WIDE_FIGURE * height
    return Picture(title, stage, f"data:image/png;base64,{base64.b64encode(png).decode()}", wide)
