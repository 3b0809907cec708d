"""The row of stages on the release card."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from components import wording
from components.progress import STAGES
from components.release.card.facts import ReleaseFacts
from components.tracking.records import RecordedStage

CACHEABLE = frozenset({"dataset", "finetune", "evaluate", "image"})
MARKS = {
    "finished": "✓",
    "passed": "✓",
    "cached": "↺",
    "failed": "✕",
    "refused": "✕",
    "stopped": "✕",
    "inconclusive": "?",
    "not run": "",
}


@dataclass(frozen=True)
class StageBox:
    """One stage in the row of stages."""

    name: str
    state: str
    mark: str
    time: str
    title: str
    url: str


def stage_boxes(facts: ReleaseFacts, latest: Mapping[str, RecordedStage]) -> Iterator[StageBox]:
    """Yield every stage of the graph with what became of it."""
    reached = max((STAGES.index(name) for name in latest if name in STAGES), default=-1)
    for place, name in enumerate(STAGES):
        stage = latest.get(name)
        if stage is None:
            # Every later stage ran, so the cache skipped this one; the run that did it is gone.
            state = "cached" if name in CACHEABLE and place < reached else "not run"
            yield StageBox(name, state, MARKS[state], "", "", "")
            continue
        state = _state(stage)
        time = "" if stage.cached_from else wording.duration(stage.record.seconds)
        title = f"unchanged since release {stage.cached_release}" if stage.cached_from else stage.record.error
        yield StageBox(
            name, state, MARKS[state], time, title, facts.mlflow_runs and facts.mlflow_runs + stage.run_id
        )


def _state(stage: RecordedStage) -> str:
    verdicts = {verdict.status for verdict in stage.record.verdicts}
    if "failed" in verdicts:
        return "refused"
    if "inconclusive" in verdicts:
        return "inconclusive"
    if stage.record.status != "finished":
        return {"failed": "failed", "killed": "stopped"}[stage.record.status]
    if stage.cached_from:
        return "cached"
    return "passed" if verdicts else "finished"


def cached_stages(latest: Mapping[str, RecordedStage]) -> dict[str, list[str]]:
    """Return the names of skipped stages by the release that did them."""
    releases: dict[str, list[str]] = {}
    for name, stage in latest.items():
        if stage.cached_from:
            releases.setdefault(stage.cached_release or "an earlier one", []).append(name)
    return releases
