"""Follow a run on Kubeflow Pipelines stage by stage, and say how it ended."""

import os
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from components.errors import TunegateError
from components.progress import Kind, Progress
from components.web import shown
from pipelines.kubeflow.client import Client
from pipelines.kubeflow.connection import NotThere, Unavailable
from pipelines.kubeflow.settings import ClientSettings
from pipelines.tracker import check_answers

Ending = Literal["promoted", "refused", "skipped", "failed", "cancelled", "unknown"]
POLL_S = 5.0
PATIENCE = 60  # so many times in a row may the back end be away
ENDED = {"SUCCEEDED", "FAILED", "SKIPPED", "CANCELED"}
# What KFP calls the tasks, and what everything else calls the stages. What is not listed is KFP's own.
STAGE_OF_TASK = {
    "validate-dataset": "dataset",
    "find-champion": "champion",
    "finetune": "finetune",
    "evaluate": "evaluate",
    "quality-gate": "quality-gate",
    "push-image": "image",
    "deploy": "deploy",
    "stress": "stress",
    "service-gate": "service-gate",
    "promote": "promote",
    "refuse": "refuse",
    "refuse-2": "refuse",
    "close-release": "close",
}
KINDS: dict[str, Kind] = {
    "RUNNING": "started",
    "SUCCEEDED": "finished",
    "SKIPPED": "cached",
    "FAILED": "failed",
    "CANCELED": "failed",
}


@dataclass(frozen=True)
class WatchedRun:
    """A run that has ended.

    Attributes:
        run_id: Its id, also that of the release.
        ending: How it ended.
        lines: The card's summary where MLflow can be read from here, else what KFP says.
        url: Its page in the UI.
    """

    run_id: str
    ending: Ending
    lines: Sequence[str]
    url: str


def watch(
    run_id: str | None = None,
    follow: Callable[[Progress], None] | None = None,
    settings: ClientSettings | None = None,
    poll_s: float = POLL_S,
) -> WatchedRun:
    """Follow a run to its end.

    Args:
        run_id: The run; by default the newest of the experiment.
        follow: Called with each change of a stage.
        settings: How the back end is reached; by default from the environment.
        poll_s: Wait between two looks.

    Raises:
        NotThere: There is no such run, or it was deleted meanwhile.
        TunegateError: The back end refuses, or is away for too long.
    """
    client = Client(settings)
    run_id = run_id or client.last_run()
    seen: dict[str, str] = {}
    missed = 0
    while True:
        try:
            run = client.run(run_id)
        except Unavailable:
            missed += 1
            if missed > PATIENCE:
                raise
        except NotThere as error:
            if not seen:
                raise
            raise NotThere(f"run {run_id} was deleted while it was watched") from error
        else:
            missed = 0
            for line in _changes(run, seen):
                if follow:
                    follow(line)
            if run.state in ENDED:
                return _ended(client, run)
        time.sleep(poll_s)


def _changes(run: Any, seen: dict[str, str]) -> list[Progress]:
    """Return what is new since the last look, in the order in which it began."""
    tasks = sorted(_tasks(run), key=lambda task: str(task.start_time or task.create_time or ""))
    lines = []
    for task in tasks:
        stage, state = STAGE_OF_TASK[task.display_name], str(task.state)
        if state in KINDS and seen.get(stage) != state:
            seen[stage] = state
            lines.append(Progress(stage, KINDS[state], _text(task)))
    if not tasks:
        seen.setdefault("", str(run.state))
    return lines


def _tasks(run: Any) -> list[Any]:
    details = run.run_details.task_details if run.run_details else None
    return [task for task in details or [] if task.display_name in STAGE_OF_TASK]


def _text(task: Any) -> str:
    if task.state == "CANCELED":
        return "was cancelled"
    if task.state == "SKIPPED":
        return "nothing to do: its inputs did not change"
    if task.state == "FAILED":
        return " ".join(str(task.error.message if task.error else "its pod failed").split())
    if task.end_time and task.start_time:
        return f"{(task.end_time - task.start_time).total_seconds():.0f} s"
    return ""


def _ended(client: Client, run: Any) -> WatchedRun:
    run_id, url = str(run.run_id), client.connection.run_url(run.run_id)
    if run.state == "CANCELED":
        return WatchedRun(run_id, "cancelled", [f"CANCELLED: run {run_id} was stopped"], url)
    if run.state == "SKIPPED":
        return WatchedRun(run_id, "skipped", [f"SKIPPED: run {run_id} was not started"], url)
    recorded = _recorded(run_id)
    if isinstance(recorded, WatchedRun):
        return WatchedRun(run_id, recorded.ending, recorded.lines, url)
    ending = ending_by_tasks(run)
    says = "as Kubeflow Pipelines tells it" if ending != "unknown" else "this installation does not tell"
    why = [f"{t.display_name}: {_text(t)}" for t in _tasks(run) if t.state == "FAILED"]
    if run.error and run.error.message:
        why.append(str(run.error.message))
    lines = [f"{ending.upper()}: {says}", *(f"  - {line}" for line in why), recorded]
    return WatchedRun(run_id, ending, lines, url)


def ending_by_tasks(run: Any) -> Ending:
    """Say how a run ended from its tasks alone, without the release's records."""
    states = {task.display_name: str(task.state) for task in _tasks(run)}
    failed = [name for name, state in states.items() if state == "FAILED"]
    # One on a branch that was not taken may be listed, too, as skipped.
    done = [name for name, state in states.items() if state in ("SUCCEEDED", "FAILED")]
    refused = [name for name in done if STAGE_OF_TASK[name] == "refuse"]
    if states.get("promote") == "SUCCEEDED":
        return "promoted"
    # With fail_on_reject it is the refusing task that fails, and nothing else does.
    if refused and set(failed) <= set(refused):
        return "refused"
    if run.state == "FAILED" or failed:
        return "failed"
    return "skipped" if states else "unknown"


def _recorded(run_id: str) -> WatchedRun | str:
    """Read the ending from the release's records; the reason where that can't be done."""
    if not os.environ.get("MLFLOW_TRACKING_URI"):
        return (
            "set MLFLOW_TRACKING_URI to the cluster's MLflow to see every check here; the card is in the UI"
        )
    from mlflow.exceptions import MlflowException

    from components.release.card.summary import summary_lines
    from components.release.outcome import derive_outcome
    from components.tracking import records, runs

    uri = runs.tracking_uri()
    try:
        check_answers(uri)
        client = runs.client()
        if runs.find_parent_run(client, run_id) is None:
            return f"MLflow at {shown(uri)} has no record of this release"
        stages = records.recorded_stages(client, run_id)
    except (MlflowException, OSError, TunegateError) as error:
        return f"its records could not be read ({shown(str(error))}); the card is in the UI"
    return WatchedRun(run_id, derive_outcome(stages).ending, summary_lines(stages), "")
