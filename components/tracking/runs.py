"""A release in MLflow: the server, the release's parent run and the runs nested in it.

The release is named by `RELEASE_ID` in the environment, never by a parameter, so that it is no part
of a cache key.
"""

import os
from typing import TYPE_CHECKING, Any

from components.errors import TunegateError
from components.settings import home, load_settings, make_home

if TYPE_CHECKING:
    from mlflow import MlflowClient

EXPERIMENT = "tunegate"
RELEASE_TAG = "tunegate.release_id"
STAGE_TAG = "tunegate.stage"
PARENT_TAG = "mlflow.parentRunId"
SHARED_VARIABLE = "TUNEGATE_SHARED_TRACKING"
RUN_KEY = "mlflow_run_id"  # in the metadata of an artifact: the nested run that made it


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

    make_home()
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


def nested_run(mlflow_client: "MlflowClient", release: str, parent: str, name: str, **tags: str) -> str:
    """Make a run of a stage within the release's parent run and return its id."""
    run = mlflow_client.create_run(
        _experiment(mlflow_client),
        tags={RELEASE_TAG: release, STAGE_TAG: name, PARENT_TAG: parent, **tags},
        run_name=name,
    )
    return str(run.info.run_id)


def nested_runs(mlflow_client: "MlflowClient", parent: str, also: str = "") -> list[Any]:
    """Return the runs nested in a parent run, oldest first."""
    wanted = f"tags.`{PARENT_TAG}` = '{parent}'" + (f" and {also}" if also else "")
    return list(
        mlflow_client.search_runs(
            [_experiment(mlflow_client)], wanted, order_by=["attributes.start_time ASC"], max_results=1000
        )
    )


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
