"""What MLflow knows before a run is started: whether it answers, and the dataset of the present champion."""

import os
from datetime import datetime
from typing import TYPE_CHECKING

from components.dataset.drift import is_limited
from components.errors import TunegateError
from components.settings import home
from pipelines.params import ReleaseParams

if TYPE_CHECKING:
    from components.tracking.champion_data import ChampionData

HEALTH_TIMEOUT_S = 10


def has_records() -> bool:
    """Tell whether anything was ever recorded, without making the tables of this machine's own MLflow."""
    return bool(os.environ.get("MLFLOW_TRACKING_URI")) or (home() / "mlflow.db").exists()


def check_answers(uri: str) -> None:
    """Ask MLflow whether it is there: its own client would try for minutes at a name that only pods know.

    Raises:
        OSError: It does not answer.
        TunegateError: It is not to be asked.
    """
    from components.oci.session import Session

    if uri.startswith(("http://", "https://")):
        # Only whether it answers counts: what it says is not read, however long.
        with Session() as session:
            session.get(f"{uri.rstrip('/')}/health", timeout=HEALTH_TIMEOUT_S, stream=True).close()


def champion_dataset(params: ReleaseParams, dataset_digest: str, is_shared: bool) -> str:
    """Return the parameter `champion_dataset` of a run that is about to be started.

    Args:
        params: The others.
        dataset_digest: Of the files of the run.
        is_shared: Whether the run records itself elsewhere than in this machine's state directory.

    Returns:
        What stands for the dataset of the champion, empty where there is no champion. Where nothing is
        limited, also what lets a release of the champion's own files find its stages in the cache; where
        something is, and MLflow can't be asked from here, what no other run has.
    """
    found = _champion_data(params.model_name, is_shared)
    if isinstance(found, Unknown):
        return f"not known at {datetime.now().isoformat()}" if is_limited(params) else ""
    if found is None:
        return ""
    return found.fingerprint if is_limited(params) else found.key_for(dataset_digest)


class Unknown:
    """MLflow can't be asked from here."""


def _champion_data(model_name: str, is_shared: bool) -> "ChampionData | Unknown | None":
    if is_shared and not os.environ.get("MLFLOW_TRACKING_URI"):
        return Unknown()
    if not has_records():
        return None
    from mlflow.exceptions import MlflowException

    from components.tracking import runs
    from components.tracking.champion_data import champion_data

    try:
        check_answers(runs.tracking_uri())
        return champion_data(runs.client(), model_name)
    except (MlflowException, OSError, TunegateError):
        return Unknown()  # the stage says what is wrong, if it still is
