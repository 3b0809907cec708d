"""The MLflow model registry: which adapter is candidate, champion and the one before."""

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from mlflow import MlflowClient

CHAMPION, CANDIDATE, PREVIOUS = "champion", "candidate", "previous"


def register(
    client: "MlflowClient", *, model_name: str, image: str, adapter_digest: str, base_model: str, run_id: str
) -> str:
    """Make a version of an adapter, or find the one of the same image, and return its number.

    The version gets the alias `candidate`; image and digest are its tags.
    """
    raise NotImplementedError
