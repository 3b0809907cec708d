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
from typing import TYPE_CHECKING, Any, Literal

from pydantic import BaseModel, ConfigDict, Field

from components import progress
from components.checks import Status, Verdict
from components.errors import TunegateError
from components.settings import home, load_settings

if TYPE_CHECKING:
    from mlflow import MlflowClient

EXPERIMENT = "tunegate"
RECORD = "record.json"
RELEASE_TAG = "tunegate.release_id"
STAGE_TAG = "tunegate.stage"
CACHED_TAG = "tunegate.cached_from"
CACHED_RELEASE_TAG = "tunegate.cached_from_release"
UPSTREAM_TAG = "tunegate.upstream"
PARENT_TAG = "mlflow.parentRunId"
SHARED_VARIABLE = "TUNEGATE_SHARED_TRACKING"
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
        status: `finished`, `failed` when it raised, `killed` when it was ended from outside.
        started_at: Seconds since the epoch.
        seconds: How long it took.
        params: The knobs it was started with.
        metrics: The last value of each metric.
        facts: Short texts for the card: a digest, an address, a fingerprint.
        verdicts: What it judged.
        figures: Pictures, in reading order.
        error: Why it failed.
    """

    # JSON has no NaN and no infinity; as text they are read back as what they were.
    model_config = ConfigDict(ser_json_inf_nan="strings")

    stage: str
    status: Literal["finished", "failed", "killed"] = "finished"
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
    """Return `MLFLOW_TRACKING_URI`; where it is not set, SQLite in the state directory.

    Raises:
        TunegateError: It is not set where each stage has a disk of its own.
    """
    uri = os.environ.get("MLFLOW_TRACKING_URI")
    if not uri and os.environ.get(SHARED_VARIABLE):
        raise TunegateError(
            "MLFLOW_TRACKING_URI is not set, and each stage runs in a pod of its own: set it in the "
            "ConfigMap that the parameter settings_map names"
        )
    return uri or f"sqlite:///{home() / 'mlflow.db'}"


def runs_address(experiment_id: str) -> tuple[str, bool]:
    """Return the address in MLflow before a run's id, and whether it is there without `tunegate mlflow`."""
    settings = load_settings()
    # Inside a cluster MLflow is asked by a name that no browser knows.
    address = settings.mlflow_url or tracking_uri()
    served = address.startswith(("http://", "https://"))
    if not served:
        address = f"http://127.0.0.1:{settings.mlflow_port}"
    return f"{address.rstrip('/')}/#/experiments/{experiment_id}/runs/", served


def client() -> "MlflowClient":
    """Return a client of the tracking server and of its model registry."""
    import logging

    logging.getLogger("alembic").setLevel(logging.WARNING)
    os.environ.setdefault("MLFLOW_DISABLE_TELEMETRY", "true")
    os.environ.setdefault("MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR", "false")
    import mlflow

    home().mkdir(parents=True, exist_ok=True)
    # Not set_tracking_uri(): that would write the environment variable behind the user's back.
    return mlflow.MlflowClient(tracking_uri=tracking_uri(), registry_uri=tracking_uri())


def parent_run(mlflow_client: "MlflowClient", release: str) -> str:
    """Find or make the parent run of a release and return its id."""
    found = find_parent_run(mlflow_client, release)
    if found is not None:
        return found
    tags = {RELEASE_TAG: release, STAGE_TAG: "release"}
    run = mlflow_client.create_run(_experiment(mlflow_client), tags=tags, run_name=release)
    return str(run.info.run_id)


def find_parent_run(mlflow_client: "MlflowClient", release: str) -> str | None:
    """Return the id of a release's parent run, None where there is none."""
    found = mlflow_client.search_runs(
        [_experiment(mlflow_client)],
        f"tags.`{RELEASE_TAG}` = '{release}' and tags.`{STAGE_TAG}` = 'release'",
        max_results=1,
    )
    return str(found[0].info.run_id) if found else None


def _experiment(mlflow_client: "MlflowClient") -> str:
    from mlflow.exceptions import MlflowException

    found = mlflow_client.get_experiment_by_name(EXPERIMENT)
    if found:
        return str(found.experiment_id)
    artifacts = (home() / "mlartifacts").as_uri() if tracking_uri().startswith("sqlite:") else None
    try:
        return str(mlflow_client.create_experiment(EXPERIMENT, artifact_location=artifacts))
    except MlflowException:
        made_just_now = mlflow_client.get_experiment_by_name(EXPERIMENT)  # by another process
        if made_just_now is None:
            raise
        return str(made_just_now.experiment_id)


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
    made_by = list(dict.fromkeys(metadata[RUN_KEY] for metadata in upstream if metadata.get(RUN_KEY)))
    for run in made_by:
        _adopt(mlflow_client, release, parent, run)
    run_id = _nested_run(
        mlflow_client, release, parent, name, **({UPSTREAM_TAG: " ".join(made_by)} if made_by else {})
    )
    for key, value in params.items():
        mlflow_client.log_param(run_id, key, value)
    record = StageRecord(stage=name, started_at=time.time(), params=dict(params))
    running = Stage(mlflow_client, run_id, record)
    try:
        yield running
    except BaseException as error:
        record.status = "killed" if isinstance(error, KeyboardInterrupt) else "failed"
        record.error = _reason(error)
        progress.report(name, "failed", record.error)
        raise
    finally:
        record.seconds = time.time() - record.started_at
        mlflow_client.log_text(run_id, record.model_dump_json(indent=2), RECORD)
        mlflow_client.set_terminated(run_id, record.status.upper())
    progress.report(name, "finished", f"{record.seconds:.0f} s")


def _nested_run(mlflow_client: "MlflowClient", release: str, parent: str, name: str, **tags: str) -> str:
    run = mlflow_client.create_run(
        _experiment(mlflow_client),
        tags={RELEASE_TAG: release, STAGE_TAG: name, PARENT_TAG: parent, **tags},
        run_name=name,
    )
    return str(run.info.run_id)


def _reason(error: BaseException) -> str:
    if isinstance(error, KeyboardInterrupt):
        return "interrupted"
    return str(error) if isinstance(error, TunegateError) else f"{type(error).__name__}: {error}"


def _adopt(mlflow_client: "MlflowClient", release: str, parent: str, made_by: str) -> None:
    """Note in this release a stage that KFP's cache skipped, by the run that once did it.

    What that run had read was skipped with it, so it is noted too, first.
    """
    from mlflow.exceptions import MlflowException

    try:
        origin = mlflow_client.get_run(made_by)
    except MlflowException:  # another tracking server, or a cleared one, while the cache was kept
        return
    if origin.data.tags[RELEASE_TAG] == release:
        return
    name = origin.data.tags[STAGE_TAG]
    noted = mlflow_client.search_runs(
        [origin.info.experiment_id], f"tags.`{PARENT_TAG}` = '{parent}' and tags.`{CACHED_TAG}` = '{made_by}'"
    )
    if noted:
        return
    for run in origin.data.tags.get(UPSTREAM_TAG, "").split():
        _adopt(mlflow_client, release, parent, run)
    tags = {CACHED_TAG: made_by, CACHED_RELEASE_TAG: origin.data.tags[RELEASE_TAG]}
    run_id = _nested_run(mlflow_client, release, parent, name, **tags)
    for key, value in origin.data.metrics.items():
        mlflow_client.log_metric(run_id, key, value)
    mlflow_client.set_terminated(run_id)
    progress.report(name, "cached", f"unchanged since release {origin.data.tags[RELEASE_TAG]}")


def end_abandoned(mlflow_client: "MlflowClient", release: str) -> list[str]:
    """Give the stages of a release that were killed a record, end their runs, and return their names.

    Only to be called when no stage of the release is running any more.
    """
    parent = parent_run(mlflow_client, release)
    names = []
    for run in _nested_runs(mlflow_client, parent, "attributes.status = 'RUNNING'"):
        started_at = run.info.start_time / 1000
        record = StageRecord(
            stage=run.data.tags[STAGE_TAG],
            status="killed",
            started_at=started_at,
            seconds=time.time() - started_at,
            metrics=run.data.metrics,
            error="was stopped before it could finish",
        )
        if not _has_record(mlflow_client, run.info.run_id):
            mlflow_client.log_text(run.info.run_id, record.model_dump_json(indent=2), RECORD)
        mlflow_client.set_terminated(run.info.run_id, "KILLED")
        names.append(record.stage)
    return names


def _nested_runs(mlflow_client: "MlflowClient", parent: str, also: str = "") -> list[Any]:
    wanted = f"tags.`{PARENT_TAG}` = '{parent}'" + (f" and {also}" if also else "")
    return list(
        mlflow_client.search_runs(
            [_experiment(mlflow_client)], wanted, order_by=["attributes.start_time ASC"], max_results=1000
        )
    )


def _has_record(mlflow_client: "MlflowClient", run_id: str) -> bool:
    return any(item.path == RECORD for item in mlflow_client.list_artifacts(run_id))


class RecordedStage(BaseModel):
    """A stage of a release as it is read back.

    Attributes:
        record: What it did.
        run_id: Its nested run in this release.
        cached_from: If the cache skipped it: the run that did it.
        cached_release: If the cache skipped it: the release of that run.
        pictures: Titles and PNG bytes of its figures.
    """

    record: StageRecord
    run_id: str
    cached_from: str = ""
    cached_release: str = ""
    pictures: list[tuple[str, bytes]] = Field(default_factory=list)


def recorded_stages(mlflow_client: "MlflowClient", release: str) -> list[RecordedStage]:
    """Read back every stage of a release, oldest first, with its pictures (title, PNG bytes).

    A stage that is running, or was killed and not yet ended by `end_abandoned`, is left out.
    """
    parent = parent_run(mlflow_client, release)
    stages = []
    for run in _nested_runs(mlflow_client, parent):
        tags, run_id = run.data.tags, run.info.run_id
        made_by = tags.get(CACHED_TAG) or run_id
        if not _has_record(mlflow_client, made_by):
            continue
        record = StageRecord.model_validate_json(_read(mlflow_client, made_by, RECORD))
        stages.append(
            RecordedStage(
                record=record,
                run_id=run_id,
                cached_from=tags.get(CACHED_TAG, ""),
                cached_release=tags.get(CACHED_RELEASE_TAG, ""),
                pictures=[(f.title, _read(mlflow_client, made_by, f.path)) for f in record.figures],
            )
        )
    return stages


def stage_file(mlflow_client: "MlflowClient", stage: RecordedStage, path: str) -> bytes | None:
    """Return a file that a stage kept with `Stage.file`, by its place; None if there is none."""
    return run_file(mlflow_client, stage.cached_from or stage.run_id, path)


def run_file(mlflow_client: "MlflowClient", run_id: str, path: str) -> bytes | None:
    """Return a file that a run kept, by its place; None if there is none."""
    folder = str(Path(path).parent) if "/" in path else None
    if not any(item.path == path for item in mlflow_client.list_artifacts(run_id, folder)):
        return None
    return _read(mlflow_client, run_id, path)


def _read(mlflow_client: "MlflowClient", run_id: str, path: str) -> bytes:
    with tempfile.TemporaryDirectory() as folder:
        return Path(mlflow_client.download_artifacts(run_id, path, folder)).read_bytes()


def release_status(stages: Sequence[RecordedStage]) -> Status:
    """Sum up the verdicts of a release."""
    statuses = {verdict.status for stage in stages for verdict in stage.record.verdicts}
    if "failed" in statuses or any(stage.record.status != "finished" for stage in stages):
        return "failed"
    return "passed" if statuses == {"passed"} else "inconclusive"
