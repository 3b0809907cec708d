"""A release in MLflow: one parent run, a nested run for each stage, and what each stage has to say.

The release is named by `RELEASE_ID` in the environment, never by a parameter, so that it is no part
of a cache key. Each stage writes its `StageRecord` into its nested run; the release card is drawn
from these records alone.
"""

import os
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pydantic import BaseModel, Field

from components import progress
from components.checks import Status, Verdict
from components.errors import TunegateError
from components.settings import home

if TYPE_CHECKING:
    from mlflow import MlflowClient

EXPERIMENT = "tunegate"
RECORD = "record.json"
RELEASE_TAG = "tunegate.release_id"
STAGE_TAG = "tunegate.stage"
CACHED_TAG = "tunegate.cached_from"
PARENT_TAG = "mlflow.parentRunId"
RUN_KEY = "mlflow_run_id"  # in the metadata of an artifact: the nested run that made it

Scalar = str | int | float | bool


class Figure(BaseModel):
    """A picture of a record: its title and its place among the run's artifacts."""

    title: str
    path: str


class StageRecord(BaseModel):
    """What one stage did, as the card and the next stages read it.

    Attributes:
        stage: Its name in the graph.
        status: `finished`, or `failed` when it raised.
        started_at: Seconds since the epoch.
        seconds: How long it took.
        params: The knobs it was started with.
        metrics: The last value of each metric.
        facts: Short texts for the card: a digest, an address, a fingerprint.
        verdicts: What it judged.
        figures: Pictures, in reading order.
        error: Why it failed.
    """

    stage: str
    status: str = "finished"
    started_at: float
    seconds: float = 0.0
    params: dict[str, Scalar] = Field(default_factory=dict)
    metrics: dict[str, float] = Field(default_factory=dict)
    facts: dict[str, str] = Field(default_factory=dict)
    verdicts: list[Verdict] = Field(default_factory=list)
    figures: list[Figure] = Field(default_factory=list)
    error: str = ""


class Stage:
    """A stage that is running: what it logs goes to its nested run and into its record."""

    def __init__(self, client: "MlflowClient", run_id: str, record: StageRecord) -> None:
        self.client, self.run_id, self.record = client, run_id, record

    def say(self, text: str) -> None:
        """Print one line of progress."""
        progress.report(self.record.stage, "step", text)

    def metric(self, name: str, value: float, step: int = 0) -> None:
        """Log one value of a metric; the card shows the last."""
        self.metrics({name: value}, step)

    def metrics(self, values: Mapping[str, float], step: int = 0) -> None:
        """Log several metrics at one step."""
        from mlflow.entities import Metric

        now = int(time.time() * 1000)
        self.client.log_batch(self.run_id, [Metric(k, float(v), now, step) for k, v in values.items()])
        self.record.metrics.update({k: float(v) for k, v in values.items()})

    def fact(self, name: str, text: str) -> None:
        """Note a short text for the card; also a tag of the run."""
        self.client.set_tag(self.run_id, f"tunegate.{name}", text)
        self.record.facts[name] = text

    def verdict(self, verdict: Verdict) -> None:
        """Note a verdict; each check's value is a metric too."""
        self.record.verdicts.append(verdict)
        self.client.set_tag(self.run_id, f"tunegate.verdict.{verdict.stage}", verdict.status)
        measured = {check.name: check.value for check in verdict.checks if check.value is not None}
        self.metrics(measured)

    def figure(self, title: str, png: Path) -> None:
        """Keep a picture."""
        self.client.log_artifact(self.run_id, str(png), "figures")
        self.record.figures.append(Figure(title=title, path=f"figures/{png.name}"))

    def file(self, path: Path, folder: str = "") -> None:
        """Keep a file."""
        self.client.log_artifact(self.run_id, str(path), folder or None)


def release_id() -> str:
    """Return the release that this process works for.

    Raises:
        TunegateError: `RELEASE_ID` is not set.
    """
    try:
        return os.environ["RELEASE_ID"]
    except KeyError:
        raise TunegateError("RELEASE_ID is not set: start a release with `tunegate run`") from None


def tracking_uri() -> str:
    """Return `MLFLOW_TRACKING_URI`; where it is not set, SQLite in the state directory."""
    return os.environ.get("MLFLOW_TRACKING_URI") or f"sqlite:///{home() / 'mlflow.db'}"


def client() -> "MlflowClient":
    """Return a client of the tracking server and of its model registry."""
    import logging

    logging.getLogger("alembic").setLevel(logging.WARNING)
    os.environ.setdefault("MLFLOW_DISABLE_TELEMETRY", "true")
    import mlflow

    home().mkdir(parents=True, exist_ok=True)
    # Not set_tracking_uri(): that would write the environment variable behind the user's back.
    return mlflow.MlflowClient(tracking_uri=tracking_uri(), registry_uri=tracking_uri())


def parent_run(mlflow_client: "MlflowClient", release: str) -> str:
    """Find or make the parent run of a release and return its id."""
    experiment = _experiment(mlflow_client)
    found = mlflow_client.search_runs(
        [experiment], f"tags.`{RELEASE_TAG}` = '{release}' and tags.`{STAGE_TAG}` = 'release'", max_results=1
    )
    if found:
        return str(found[0].info.run_id)
    tags = {RELEASE_TAG: release, STAGE_TAG: "release"}
    return str(mlflow_client.create_run(experiment, tags=tags, run_name=release).info.run_id)


def _experiment(mlflow_client: "MlflowClient") -> str:
    from mlflow.exceptions import MlflowException

    found = mlflow_client.get_experiment_by_name(EXPERIMENT)
    if found:
        return str(found.experiment_id)
    artifacts = (home() / "mlartifacts").as_uri() if tracking_uri().startswith("sqlite:") else None
    try:
        return str(mlflow_client.create_experiment(EXPERIMENT, artifact_location=artifacts))
    except MlflowException:  # another process made it just now
        return str(mlflow_client.get_experiment_by_name(EXPERIMENT).experiment_id)


@contextmanager
def stage(
    name: str, params: Mapping[str, Scalar], upstream: Sequence[Mapping[str, Any]] = ()
) -> Iterator[Stage]:
    """Run one stage of the release: a nested run, timed, its record kept whether it succeeds or raises.

    Args:
        name: The stage's name in the graph.
        params: Its knobs.
        upstream: Metadata of the artifacts it reads; stages that the cache skipped are noted from it.
    """
    progress.report(name, "started", "")
    mlflow_client, release = client(), release_id()
    parent = parent_run(mlflow_client, release)
    for metadata in upstream:
        _adopt(mlflow_client, release, parent, metadata)
    run_id = _nested_run(mlflow_client, release, parent, name)
    for key, value in params.items():
        mlflow_client.log_param(run_id, key, value)
    record = StageRecord(stage=name, started_at=time.time(), params=dict(params))
    running = Stage(mlflow_client, run_id, record)
    try:
        yield running
    except BaseException as error:
        record.status = "failed"
        known = isinstance(error, TunegateError)
        record.error = str(error) if known else f"{type(error).__name__}: {error}"
        progress.report(name, "failed", record.error)
        raise
    finally:
        record.seconds = time.time() - record.started_at
        mlflow_client.log_text(run_id, record.model_dump_json(indent=2), RECORD)
        mlflow_client.set_terminated(run_id, "FINISHED" if record.status == "finished" else "FAILED")
    progress.report(name, "finished", f"{record.seconds:.0f} s")


def _nested_run(mlflow_client: "MlflowClient", release: str, parent: str, name: str, **tags: str) -> str:
    run = mlflow_client.create_run(
        _experiment(mlflow_client),
        tags={RELEASE_TAG: release, STAGE_TAG: name, PARENT_TAG: parent, **tags},
        run_name=name,
    )
    return str(run.info.run_id)


def _adopt(mlflow_client: "MlflowClient", release: str, parent: str, metadata: Mapping[str, Any]) -> None:
    """Note in this release a stage that KFP's cache skipped, by the run that once did it."""
    made_by = metadata.get(RUN_KEY)
    if not made_by:
        return
    origin = mlflow_client.get_run(made_by)
    if origin.data.tags[RELEASE_TAG] == release:
        return
    name = origin.data.tags[STAGE_TAG]
    noted = mlflow_client.search_runs(
        [origin.info.experiment_id], f"tags.`{PARENT_TAG}` = '{parent}' and tags.`{CACHED_TAG}` = '{made_by}'"
    )
    if noted:
        return
    run_id = _nested_run(mlflow_client, release, parent, name, **{CACHED_TAG: made_by})
    for key, value in origin.data.metrics.items():
        mlflow_client.log_metric(run_id, key, value)
    mlflow_client.set_terminated(run_id)
    progress.report(name, "cached", f"unchanged since release {origin.data.tags[RELEASE_TAG]}")


class RecordedStage(BaseModel):
    """A stage of a release as it is read back."""

    record: StageRecord
    run_id: str
    cached_from: str = ""
    pictures: list[tuple[str, bytes]] = Field(default_factory=list)


def recorded_stages(mlflow_client: "MlflowClient", release: str) -> list[RecordedStage]:
    """Read back every stage of a release, oldest first, with its pictures (title, PNG bytes).

    A stage that was killed before it could write its record is left out.
    """
    parent = parent_run(mlflow_client, release)
    runs = mlflow_client.search_runs(
        [_experiment(mlflow_client)],
        f"tags.`{PARENT_TAG}` = '{parent}'",
        order_by=["attributes.start_time ASC"],
        max_results=1000,
    )
    stages = []
    for run in runs:
        cached_from = run.data.tags.get(CACHED_TAG, "")
        made_by = cached_from or run.info.run_id
        if not any(item.path == RECORD for item in mlflow_client.list_artifacts(made_by)):
            continue
        with tempfile.TemporaryDirectory() as folder:
            record_path = mlflow_client.download_artifacts(made_by, RECORD, folder)
            record = StageRecord.model_validate_json(Path(record_path).read_text(encoding="utf-8"))
            pictures = [
                (
                    figure.title,
                    Path(mlflow_client.download_artifacts(made_by, figure.path, folder)).read_bytes(),
                )
                for figure in record.figures
            ]
        stages.append(
            RecordedStage(record=record, run_id=run.info.run_id, cached_from=cached_from, pictures=pictures)
        )
    return stages


def release_status(stages: Sequence[RecordedStage]) -> Status:
    """Sum up the verdicts of a release."""
    statuses = {verdict.status for stage in stages for verdict in stage.record.verdicts}
    if "failed" in statuses or any(stage.record.status == "failed" for stage in stages):
        return "failed"
    return "passed" if statuses == {"passed"} else "inconclusive"
