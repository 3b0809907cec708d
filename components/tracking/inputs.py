"""What a run has read, as MLflow knows it: a dataset by name and digest."""

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from mlflow import MlflowClient

DIGEST_CHARACTERS = 36  # the longest digest that MLflow takes


@dataclass(frozen=True)
class Input:
    """A set of rows that a run has read.

    Attributes:
        name: What it is called.
        source: The path or URL it came from, as anybody may read it.
        digest: Its fingerprint, `sha256:...`.
        context: What it is for, `training` or `eval`.
        profile: Its counts, by name.
    """

    name: str
    source: str
    digest: str
    context: str
    profile: Mapping[str, int]


def log_inputs(client: "MlflowClient", run_id: str, inputs: Sequence[Input]) -> None:
    """Log sets of rows as inputs of a run."""
    from mlflow.entities import Dataset, DatasetInput, InputTag
    from mlflow.utils.mlflow_tags import MLFLOW_DATASET_CONTEXT

    def dataset(read: Input) -> Dataset:
        return Dataset(
            name=read.name,
            digest=read.digest.removeprefix("sha256:")[:DIGEST_CHARACTERS],
            source_type="http" if re.fullmatch(r"https?:\S+", read.source) else "local",
            source=json.dumps({"url" if "://" in read.source else "uri": read.source}),
            schema=json.dumps({"mlflow_colspec": [{"name": "messages", "type": "string", "required": True}]}),
            profile=json.dumps(dict(read.profile)),
        )

    client.log_inputs(
        run_id,
        datasets=[
            DatasetInput(dataset(read), tags=[InputTag(MLFLOW_DATASET_CONTEXT, read.context)])
            for read in inputs
        ],
    )
