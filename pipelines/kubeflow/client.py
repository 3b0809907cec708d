"""What Tunegate asks of Kubeflow Pipelines: a version of the pipeline, an experiment, runs."""

import hashlib
import json
import tempfile
from pathlib import Path
from typing import Any

from components.errors import InvalidInput, TunegateError, noted
from components.settings import read_settings
from pipelines.kubeflow.connection import Connection, NotThere
from pipelines.kubeflow.settings import EXPERIMENT, PIPELINE, PREFIX, ClientSettings

PAGE = 100


class Client:
    """Kubeflow Pipelines as this project needs it."""

    def __init__(self, settings: ClientSettings | None = None) -> None:
        self.settings = settings or read_settings(ClientSettings)
        self.connection = Connection(self.settings)

    def places(self, package: str) -> tuple[Any, str]:
        """Return a reference to the version that a package is, and the experiment's id.

        What is missing is made; nothing is, before all that the user named is known to be there.

        Raises:
            InvalidInput: A pipeline or an experiment that the user named is not there.
        """
        pipeline_id, experiment_id, problems = None, None, list[str]()
        with noted(problems, InvalidInput):
            pipeline_id = self._pipeline()
        with noted(problems, InvalidInput):
            experiment_id = self.find_experiment()
        if problems:
            raise InvalidInput("settings of Kubeflow", problems)
        experiment_id = experiment_id or self._make_experiment()
        return self._ensure_version(package, pipeline_id), experiment_id

    def _ensure_version(self, package: str, pipeline_id: str | None) -> Any:
        """Return a reference to the version that a package is; what is already there is used again.

        The version's name is the digest of the package, so that the same package is uploaded once.
        """
        import kfp_server_api

        name = f"sha256-{hashlib.sha256(package.encode()).hexdigest()[:16]}"
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder) / "release.yaml"
            path.write_text(package, encoding="utf-8")
            if pipeline_id is None:
                upload = self.connection.uploads.upload_pipeline
                made = self.connection.call(
                    "upload of the pipeline",
                    upload,
                    str(path),
                    name=self.settings.pipeline,
                    namespace=self.settings.namespace,
                )
                pipeline_id = str(made.pipeline_id)
            found = self._version(pipeline_id, name)
            if found is None:
                made = self.connection.call(
                    "upload of the pipeline's version",
                    self.connection.uploads.upload_pipeline_version,
                    str(path),
                    name=name,
                    pipelineid=pipeline_id,
                )
                found = str(made.pipeline_version_id)
        return kfp_server_api.V2beta1PipelineVersionReference(
            pipeline_id=pipeline_id, pipeline_version_id=found
        )

    def _pipeline(self) -> str | None:
        """Return the pipeline's id; None if it is to be made.

        Raises:
            InvalidInput: A pipeline that the user named is not there.
        """
        name, api = self.settings.pipeline, self.connection.pipelines
        found: Any = None
        try:
            # A shared one is used where there is none in the namespace of the runs.
            for namespace in dict.fromkeys((self.settings.namespace, "")):
                found = self.connection.call(
                    f"pipeline {name!r}",
                    api.pipeline_service_list_pipelines,
                    namespace=namespace,
                    filter=_named(name),
                )
                if found.pipelines:
                    return str(found.pipelines[0].pipeline_id)
        except NotThere as error:  # the list itself
            raise TunegateError(
                f"{self.connection.host} does not speak the API of Kubeflow Pipelines 2 (v2beta1): "
                f"the address is not that of its API, or the installation is older than 2.0"
            ) from error
        if name == PIPELINE:
            return None
        there = self.connection.call("pipelines", api.pipeline_service_list_pipelines, page_size=PAGE)
        names = [pipeline.display_name for pipeline in there.pipelines or []]
        raise InvalidInput(
            f"{PREFIX}PIPELINE {name!r}",
            [
                f"no such pipeline; there are {', '.join(names) or 'none'}; "
                f"{PIPELINE!r} is made where it is missing"
            ],
        )

    def _version(self, pipeline_id: str, name: str) -> str | None:
        found = self.connection.call(
            f"versions of pipeline {pipeline_id}",
            self.connection.pipelines.pipeline_service_list_pipeline_versions,
            pipeline_id,
            filter=_named(name),
        )
        versions = found.pipeline_versions or []
        return str(versions[0].pipeline_version_id) if versions else None

    def find_experiment(self) -> str | None:
        """Return the experiment's id; None for the default one where it is not made yet.

        Raises:
            InvalidInput: An experiment that the user named is not there.
        """
        name, namespace = self.settings.experiment, self.settings.namespace
        api = self.connection.experiments
        listing = api.experiment_service_list_experiments
        what = f"experiment {name!r}"
        found = self.connection.call(what, listing, namespace=namespace, filter=_named(name))
        if found.experiments:
            return str(found.experiments[0].experiment_id)
        if name != EXPERIMENT:
            there = self.connection.call(what, listing, namespace=namespace, page_size=PAGE)
            names = [experiment.display_name for experiment in there.experiments or []]
            raise InvalidInput(
                f"{PREFIX}EXPERIMENT {name!r}",
                [f"no such experiment; there are {', '.join(names) or 'none'}"],
            )
        return None

    def _make_experiment(self) -> str:
        import kfp_server_api

        api = self.connection.experiments
        name, create = self.settings.experiment, api.experiment_service_create_experiment
        body = kfp_server_api.V2beta1Experiment(display_name=name, namespace=self.settings.namespace or None)
        return str(self.connection.call(f"experiment {name!r}", create, body).experiment_id)

    def create_run(self, name: str, package: str, params: dict[str, Any]) -> str:
        """Start a run and return its id."""
        import kfp_server_api

        reference, experiment_id = self.places(package)
        body = kfp_server_api.V2beta1Run(
            display_name=name,
            experiment_id=experiment_id,
            pipeline_version_reference=reference,
            runtime_config=kfp_server_api.V2beta1RuntimeConfig(parameters=params),
            service_account=self.settings.service_account or None,
        )
        made = self.connection.call("new run", self.connection.runs.run_service_create_run, body)
        return str(made.run_id)

    def run(self, run_id: str) -> Any:
        """Return a run as the back end has it.

        Raises:
            NotThere: There is no such run, or none any more.
        """
        return self.connection.call(f"run {run_id}", self.connection.runs.run_service_get_run, run_id)

    def last_run(self) -> str:
        """Return the id of the newest run of the experiment.

        Raises:
            TunegateError: There is none.
        """
        runs, experiment_id = [], self.find_experiment()
        if experiment_id:
            runs = self.connection.call(
                "runs",
                self.connection.runs.run_service_list_runs,
                experiment_id=experiment_id,
                namespace=self.settings.namespace,
                page_size=1,
                sort_by="created_at desc",
            ).runs
        if not runs:
            raise TunegateError(
                f"no run in experiment {self.settings.experiment!r} yet: start one with `tunegate submit`"
            )
        return str(runs[0].run_id)


def _named(name: str) -> str:
    """Return the back end's filter for one display name."""
    predicate = {"operation": "EQUALS", "key": "display_name", "string_value": name}
    return json.dumps({"predicates": [predicate]})
