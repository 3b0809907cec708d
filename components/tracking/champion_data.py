"""The dataset that a model's champion was trained on, by what its runs have recorded."""

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

from components.errors import TunegateError
from components.tracking import model_registry
from components.tracking.model_registry import RegisteredAdapter
from components.tracking.records import run_file
from components.tracking.runs import STAGE_TAG

if TYPE_CHECKING:
    from mlflow import MlflowClient
    from mlflow.entities import Run

FINGERPRINT_TAG = "tunegate.dataset_fingerprint"
FINGERPRINT = re.compile(r"sha256:[0-9a-f]{64}")
RUNS_ASKED = 20


@dataclass(frozen=True)
class ChampionData:
    """What is known of the dataset of a champion.

    Attributes:
        version: The champion's.
        fingerprint: Of the rows it was trained on and evaluated with; empty where that is not known.
        runs: The runs of the model's dataset stage that passed with these rows: those that read them for the
            base model of the champion first, then the newest.
    """

    version: str
    fingerprint: str
    runs: list["Run"]

    def key_for(self, dataset_digest: str) -> str:
        """Return what stands for this dataset in the cache key of a stage that compares another with it.

        A release of the files that the champion was trained on is to find its stages in the cache, so there
        it is the key that they were compared with then.

        Args:
            dataset_digest: Of the files of the release; empty where that is not known.
        """
        for run in self.runs:
            params = run.data.params
            if dataset_digest and params.get("dataset_digest") == dataset_digest:
                return str(params.get("champion_dataset", ""))
        return self.fingerprint

    def file(self, client: "MlflowClient", path: str, most_bytes: int) -> bytes | None:
        """Return a file that the dataset stage kept of it; None where no run has it any more.

        Raises:
            TunegateError: It is larger.
        """
        found = (run_file(client, str(run.info.run_id), path, most_bytes) for run in self.runs)
        return next((content for content in found if content is not None), None)


def champion_data(client: "MlflowClient", model_name: str) -> ChampionData | None:
    """Return what is known of the dataset of a model's champion; None where it has no champion.

    Raises:
        TunegateError: The champion was not registered by a release, or MLflow can't say.
    """
    from mlflow.exceptions import MlflowException

    try:
        champion = model_registry.champion(client, model_name)
        if champion is None:
            return None
        fingerprint = trained_on(client, champion)
        found = _runs(client, champion, fingerprint) if FINGERPRINT.fullmatch(fingerprint) else []
    except MlflowException as error:
        raise TunegateError(f"the champion of {model_name}: {error.message}") from error
    return ChampionData(champion.version, fingerprint, found)


def trained_on(client: "MlflowClient", champion: RegisteredAdapter) -> str:
    """Return the fingerprint of a champion's dataset, as its image stage noted it; empty if nobody knows."""
    from mlflow.exceptions import MlflowException

    try:
        return str(client.get_run(champion.run_id).data.params.get("dataset_fingerprint", ""))
    except MlflowException:  # the run was deleted
        return ""


def _runs(client: "MlflowClient", champion: RegisteredAdapter, fingerprint: str) -> list["Run"]:
    found = client.search_runs(
        [client.get_run(champion.run_id).info.experiment_id],
        f"tags.`{FINGERPRINT_TAG}` = '{fingerprint}' and tags.`{STAGE_TAG}` = 'dataset' "
        f"and attributes.status = 'FINISHED' and params.model_name = '{champion.model_name}'",
        order_by=["attributes.start_time DESC"],
        max_results=RUNS_ASKED,
    )
    # Another base model makes other tokens of the same rows.
    return sorted(found, key=lambda run: run.data.params.get("base_model") != champion.base_model)
