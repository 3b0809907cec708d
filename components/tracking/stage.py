"""A stage that is running: a nested run of the release in MLflow, and the record it leaves."""

import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from components import progress
from components.checks import Verdict
from components.errors import TunegateError
from components.tracking.inputs import Input, log_inputs
from components.tracking.records import (
    CACHED_RELEASE_TAG,
    CACHED_TAG,
    RECORD,
    Figure,
    Scalar,
    StageRecord,
    has_record,
)
from components.tracking.runs import (
    PARENT_TAG,
    RELEASE_TAG,
    RUN_KEY,
    STAGE_TAG,
    client,
    nested_run,
    nested_runs,
    parent_run,
    release_id,
)
from components.web import shown

if TYPE_CHECKING:
    from mlflow import MlflowClient

UPSTREAM_TAG = "tunegate.upstream"


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

    def keep(self) -> None:
        """Keep the record as it stands, as that of a stage that has finished, whatever ends it now."""
        self.record.seconds = time.time() - self.record.started_at
        self.client.log_text(self.run_id, self.record.model_dump_json(indent=2), RECORD)

    def verdict(self, verdict: Verdict) -> None:
        """Say a verdict, check by check, and note it; each check's value is a metric too."""
        for check in verdict.checks:
            self.say(f"{check.name} {check.status}: {check.why}")
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

    def inputs(self, inputs: Sequence[Input]) -> None:
        """Note what was read."""
        log_inputs(self.client, self.run_id, inputs)


@contextmanager
def open_stage(
    name: str, params: Mapping[str, Scalar], upstream: Sequence[Mapping[str, Any]] = ()
) -> Iterator[Stage]:
    """Run one stage of the release: a nested run, timed, its record kept whether it succeeds or raises.

    Args:
        name: The stage's name in the graph.
        params: Its knobs.
        upstream: Metadata of the artifacts it reads; stages that the cache skipped are noted from it.
    """
    from mlflow.entities import Param

    progress.report(name, "started", "")
    mlflow_client, release = client(), release_id()
    parent = parent_run(mlflow_client, release)
    made_by = list(dict.fromkeys(metadata[RUN_KEY] for metadata in upstream if metadata.get(RUN_KEY)))
    for run in made_by:
        _adopt(mlflow_client, release, parent, run)
    run_id = nested_run(
        mlflow_client, release, parent, name, **({UPSTREAM_TAG: " ".join(made_by)} if made_by else {})
    )
    mlflow_client.log_batch(run_id, params=[Param(key, str(value)) for key, value in params.items()])
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


def _reason(error: BaseException) -> str:
    if isinstance(error, KeyboardInterrupt):
        return "interrupted"
    # Whatever a library has put into its error: this is kept with the run, and shown on the card.
    return shown(str(error) if isinstance(error, TunegateError) else f"{type(error).__name__}: {error}")


def _adopt(mlflow_client: "MlflowClient", release: str, parent: str, made_by: str) -> None:
    """Note in this release a stage that KFP's cache skipped, by the run that once did it.

    What that run had read was skipped with it, so it is noted too, first.
    """
    from mlflow.entities import Metric
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
    run_id = nested_run(mlflow_client, release, parent, name, **tags)
    now = int(time.time() * 1000)
    mlflow_client.log_batch(run_id, [Metric(k, v, now, 0) for k, v in origin.data.metrics.items()])
    mlflow_client.set_terminated(run_id)
    progress.report(name, "cached", f"unchanged since release {origin.data.tags[RELEASE_TAG]}")


def end_abandoned(mlflow_client: "MlflowClient", release: str) -> list[str]:
    """Give the stages of a release that were killed a record, end their runs, and return their names.

    Only to be called when no stage of the release is running any more.
    """
    parent = parent_run(mlflow_client, release)
    names = []
    for run in nested_runs(mlflow_client, parent, "attributes.status = 'RUNNING'"):
        started_at = run.info.start_time / 1000
        record = StageRecord(
            stage=run.data.tags[STAGE_TAG],
            status="killed",
            started_at=started_at,
            seconds=time.time() - started_at,
            metrics=run.data.metrics,
            error="was stopped before it could finish",
        )
        if not has_record(mlflow_client, run.info.run_id):
            mlflow_client.log_text(run.info.run_id, record.model_dump_json(indent=2), RECORD)
        mlflow_client.set_terminated(run.info.run_id, "KILLED")
        names.append(record.stage)
    return names
