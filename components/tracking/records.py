"""What the stages of a release have recorded, and how it is read back.

Each stage writes its `StageRecord` into its nested run; the release card is drawn from these records
alone.
"""

import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from pydantic import BaseModel, ConfigDict, Field

from components.checks import Verdict
from components.errors import TunegateError
from components.tracking.runs import nested_runs, parent_run

if TYPE_CHECKING:
    from mlflow import MlflowClient

RECORD = "record.json"
CACHED_TAG = "tunegate.cached_from"
CACHED_RELEASE_TAG = "tunegate.cached_from_release"

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


def recorded_stages(
    mlflow_client: "MlflowClient", release: str, with_pictures: bool = True
) -> list[RecordedStage]:
    """Read back every stage of a release, oldest first.

    A stage that is running, or was killed and not yet ended by `end_abandoned`, is left out.

    Args:
        mlflow_client: Of the tracking server.
        release: Which one.
        with_pictures: Whether to fetch the pictures of the stages, too.
    """
    parent = parent_run(mlflow_client, release)
    stages = []
    for run in nested_runs(mlflow_client, parent):
        tags, run_id = run.data.tags, run.info.run_id
        made_by = tags.get(CACHED_TAG) or run_id
        if not has_record(mlflow_client, made_by):
            continue
        record = StageRecord.model_validate_json(_read(mlflow_client, made_by, RECORD))
        figures = record.figures if with_pictures else []
        stages.append(
            RecordedStage(
                record=record,
                run_id=run_id,
                cached_from=tags.get(CACHED_TAG, ""),
                cached_release=tags.get(CACHED_RELEASE_TAG, ""),
                pictures=[(f.title, _read(mlflow_client, made_by, f.path)) for f in figures],
            )
        )
    return stages


def has_record(mlflow_client: "MlflowClient", run_id: str) -> bool:
    """Return whether a run has a record: its stage has ended, one way or another."""
    return any(item.path == RECORD for item in mlflow_client.list_artifacts(run_id))


def stage_file(mlflow_client: "MlflowClient", stage: RecordedStage, path: str) -> bytes | None:
    """Return a file that a stage kept with `Stage.file`, by its place; None if there is none."""
    return run_file(mlflow_client, stage.cached_from or stage.run_id, path)


def run_file(
    mlflow_client: "MlflowClient", run_id: str, path: str, most_bytes: int | None = None
) -> bytes | None:
    """Return a file that a run kept, by its place; None if there is none.

    Args:
        mlflow_client: Of the tracking server.
        run_id: The run.
        path: The file's place among its artifacts.
        most_bytes: Its largest size; None: any.

    Raises:
        TunegateError: It is larger.
    """
    folder = str(Path(path).parent) if "/" in path else None
    found = [item for item in mlflow_client.list_artifacts(run_id, folder) if item.path == path]
    if not found:
        return None
    size = found[0].file_size or 0
    content = _read(mlflow_client, run_id, path) if most_bytes is None or size <= most_bytes else b""
    size = max(size, len(content))  # not every store of artifacts says it
    if most_bytes is not None and size > most_bytes:
        raise TunegateError(f"{path} has {size:,} bytes; wanted {most_bytes:,} at most")
    return content


def _read(mlflow_client: "MlflowClient", run_id: str, path: str) -> bytes:
    with tempfile.TemporaryDirectory() as folder:
        return Path(mlflow_client.download_artifacts(run_id, path, folder)).read_bytes()
