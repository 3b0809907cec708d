"""The dataset as MLflow knows it: an input of the run, by name and digest."""

import json
from typing import Any

from components.dataset.judge import DatasetConfig
from components.dataset.row_store import Rows
from components.dataset.screen import Screened, file_name
from components.sources.names import split_names
from components.tracking.stage import Stage
from components.web import shown

DIGEST_CHARACTERS = 36  # the longest digest that MLflow takes


def log_inputs(config: DatasetConfig, screened: Screened, digest: str, stage: Stage) -> None:
    """Log both sets as inputs of the stage's run, with the contexts `training` and `eval`."""
    held_out_from = config.eval_dataset or config.dataset
    stage.client.log_inputs(
        stage.run_id,
        datasets=[
            _input(config.dataset, screened.train, digest, "training"),
            _input(held_out_from, screened.eval, digest, "eval"),
        ],
    )


def _input(source: str, rows: Rows, digest: str, context: str) -> Any:
    from mlflow.entities import Dataset, DatasetInput, InputTag
    from mlflow.utils.mlflow_tags import MLFLOW_DATASET_CONTEXT

    name, first, *others = shown(source), *map(shown, split_names(source))
    more = f" and {len(others)} more" if others else ""
    dataset = Dataset(
        name=f"{file_name(first.rstrip('/'))}{more} ({context})",
        digest=digest.removeprefix("sha256:")[:DIGEST_CHARACTERS],
        source_type="http" if first.startswith(("http:", "https:")) and not others else "local",
        source=json.dumps({"url" if "://" in name else "uri": name}),
        schema=json.dumps({"mlflow_colspec": [{"name": "messages", "type": "string", "required": True}]}),
        profile=json.dumps({"num_rows": len(rows), "num_tokens": int(rows.tokens.sum())}),
    )
    return DatasetInput(dataset, tags=[InputTag(MLFLOW_DATASET_CONTEXT, context)])
