"""What the release card says beyond the stages' own records."""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from components.tracking import records, runs

if TYPE_CHECKING:
    from mlflow import MlflowClient

EXAMPLES = "examples.json"  # what the evaluate stage keeps for a person to read


@dataclass(frozen=True)
class Serving:
    """What takes the live traffic when a release is closed.

    Attributes:
        deployment: Its name.
        version: Its version in the registry; empty if the registry names no champion.
        endpoint: Where it is asked, without `/v1`.
    """

    deployment: str
    version: str
    endpoint: str


@dataclass(frozen=True)
class Example:
    """One held-out prompt and what was made of it."""

    prompt: str
    reference: str
    base: str
    tuned: str
    gain: float


@dataclass(frozen=True)
class ReleaseFacts:
    """One release.

    Attributes:
        release: Its id.
        model_name: The model that clients ask for.
        started_at: Seconds since the epoch.
        serving: What serves now, None if nothing does.
        problems: What went wrong while the release was closed.
        examples: Answers of both models, from the greatest loss to the greatest gain.
        mlflow_url: The page of the parent run.
        mlflow_runs: The address in MLflow before a run's id.
        mlflow_serves: Whether that page is there without `tunegate mlflow`.
    """

    release: str
    model_name: str
    started_at: float
    serving: Serving | None = None
    problems: tuple[str, ...] = ()
    examples: tuple[Example, ...] = ()
    mlflow_url: str = ""
    mlflow_runs: str = ""
    mlflow_serves: bool = False


def gather_facts(
    client: "MlflowClient",
    release: str,
    model_name: str,
    stages: Sequence[records.RecordedStage],
    serving: Serving | None,
    problems: Sequence[str],
) -> ReleaseFacts:
    """Collect what the card needs from MLflow."""
    parent = client.get_run(runs.parent_run(client, release))
    address, served = runs.runs_address(parent.info.experiment_id)
    return ReleaseFacts(
        release=release,
        model_name=model_name,
        started_at=parent.info.start_time / 1000,
        serving=serving,
        problems=tuple(problems),
        examples=read_examples(client, stages),
        mlflow_url=address + parent.info.run_id,
        mlflow_runs=address,
        mlflow_serves=served,
    )


def read_examples(client: "MlflowClient", stages: Sequence[records.RecordedStage]) -> tuple[Example, ...]:
    """Return what the evaluation kept for a person to read; nothing where there was none."""
    for stage in stages:
        if stage.record.stage == "evaluate":
            content = records.stage_file(client, stage, EXAMPLES)
            rows: list[dict[str, Any]] = json.loads(content) if content else []
            return tuple(
                Example(
                    prompt=str(row["prompt"]),
                    reference=str(row["reference"]),
                    base=str(row["base"]),
                    tuned=str(row["tuned"]),
                    gain=float(row.get("gain", 0)),
                )
                for row in rows
            )
    return ()
