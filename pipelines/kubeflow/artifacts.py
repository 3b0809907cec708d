"""What a release on the cluster has left, read from MLflow: its card and what each stage recorded."""

from components.errors import TunegateError
from components.tracking import records, runs
from components.tracking.records import RecordedStage

CARD = "card.html"


def recorded(run_id: str) -> list[RecordedStage]:
    """Return what each stage of a run recorded: its knobs, metrics, facts, verdicts and pictures.

    Raises:
        TunegateError: MLflow has no record of the run.
    """
    client = runs.client()
    _parent(run_id)
    return records.recorded_stages(client, run_id)


def card(run_id: str) -> str:
    """Return the release card of a run, as HTML.

    Raises:
        TunegateError: There is none, or not yet.
    """
    found = records.run_file(runs.client(), _parent(run_id), CARD)
    if found is None:
        raise TunegateError(f"run {run_id} has no card yet; it is written when the run ends")
    return found.decode()


def _parent(run_id: str) -> str:
    parent = runs.find_parent_run(runs.client(), run_id)
    if parent is None:
        raise TunegateError(
            f"MLflow at {runs.shown_tracking_uri()} has no record of run {run_id}; MLFLOW_TRACKING_URI names "
            "the MLflow of the cluster"
        )
    return parent
