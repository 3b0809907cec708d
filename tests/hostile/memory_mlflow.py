"""An MLflow client in memory: what the end of a release asks of one, without a database for each test."""

import itertools
import re
import threading
import time
from collections.abc import Sequence
from pathlib import Path
from types import SimpleNamespace
from typing import Any

from mlflow.exceptions import MlflowException
from mlflow.protos.databricks_pb2 import RESOURCE_ALREADY_EXISTS, RESOURCE_DOES_NOT_EXIST


class MemoryMlflow:
    """Runs and registered models as entries of dictionaries; several threads may ask."""

    def __init__(self) -> None:
        self._runs: dict[str, SimpleNamespace] = {}
        self._files: dict[str, dict[str, str]] = {}
        self._models: dict[str, SimpleNamespace] = {}
        self._versions: dict[str, list[SimpleNamespace]] = {}
        self._numbers = itertools.count()
        self._making = threading.Lock()

    # Runs.

    def get_experiment_by_name(self, name: str) -> SimpleNamespace:
        return SimpleNamespace(experiment_id="1", name=name)

    def create_run(self, experiment: str, tags: dict[str, str], run_name: str) -> SimpleNamespace:
        run_id = f"run{next(self._numbers)}"
        started = int(time.time() * 1000)
        info = SimpleNamespace(
            run_id=run_id,
            experiment_id=experiment,
            start_time=started,
            end_time=None,
            status="RUNNING",
            artifact_uri=f"memory:/{run_id}",
        )
        data = SimpleNamespace(tags=dict(tags), params={}, metrics={})
        self._files[run_id] = {}
        self._runs[run_id] = SimpleNamespace(info=info, data=data)
        return self._runs[run_id]

    def get_run(self, run_id: str) -> SimpleNamespace:
        return self._runs[run_id]

    def search_runs(
        self, experiments: Sequence[str], wanted: str, order_by: object = None, max_results: int = 1000
    ) -> list[SimpleNamespace]:
        tags = dict(re.findall(r"tags\.`([^`]+)` = '([^']*)'", wanted))
        status = re.findall(r"attributes\.status = '(\w+)'", wanted)
        return [
            run
            for run in self._runs.values()
            if tags.items() <= run.data.tags.items() and (not status or run.info.status == status[0])
        ][:max_results]

    def log_batch(self, run_id: str, metrics: Sequence[Any] = (), params: Sequence[Any] = ()) -> None:
        self._runs[run_id].data.metrics.update({metric.key: metric.value for metric in metrics})
        self._runs[run_id].data.params.update({param.key: param.value for param in params})

    def log_metric(self, run_id: str, key: str, value: float) -> None:
        self._runs[run_id].data.metrics[key] = value

    def set_tag(self, run_id: str, key: str, value: str) -> None:
        self._runs[run_id].data.tags[key] = value

    def set_terminated(self, run_id: str, status: str = "FINISHED") -> None:
        self._runs[run_id].info.status = status

    def log_text(self, run_id: str, text: str, path: str) -> None:
        self._files[run_id][path] = text

    def list_artifacts(self, run_id: str, folder: str | None = None) -> list[SimpleNamespace]:
        return [SimpleNamespace(path=path) for path in self._files[run_id]]

    def download_artifacts(self, run_id: str, path: str, folder: str) -> str:
        place = Path(folder) / path
        place.write_text(self._files[run_id][path])
        return str(place)

    # The registry.

    def create_registered_model(self, name: str) -> None:
        with self._making:
            if name in self._models:
                raise MlflowException("it is there", RESOURCE_ALREADY_EXISTS)
            self._versions[name] = []
            self._models[name] = SimpleNamespace(name=name, aliases={})

    def get_registered_model(self, name: str) -> SimpleNamespace:
        if name not in self._models:
            raise MlflowException("there is none", RESOURCE_DOES_NOT_EXIST)
        return SimpleNamespace(name=name, aliases=dict(self._models[name].aliases))

    def search_registered_models(self, max_results: int) -> list[SimpleNamespace]:
        return [self.get_registered_model(name) for name in self._models]

    def create_model_version(
        self, name: str, source: str, run_id: str, tags: dict[str, str], **_: object
    ) -> SimpleNamespace:
        with self._making:
            version = str(len(self._versions[name]) + 1)
            made = SimpleNamespace(name=name, version=version, run_id=run_id, tags=dict(tags))
            self._versions[name].append(made)
        return made

    def get_model_version(self, name: str, version: str) -> SimpleNamespace:
        found = [one for one in self._versions.get(name, []) if one.version == version]
        if not found:
            raise MlflowException("there is none", RESOURCE_DOES_NOT_EXIST)
        return found[0]

    def search_model_versions(self, wanted: str, max_results: int) -> list[SimpleNamespace]:
        (name,) = re.findall(r"name = '([^']*)'", wanted)
        tags = dict(re.findall(r"tags\.`([^`]+)` = '([^']*)'", wanted))
        return [one for one in self._versions.get(name, []) if tags.items() <= one.tags.items()]

    def set_model_version_tag(self, name: str, version: str, key: str, value: str) -> None:
        self.get_model_version(name, version).tags[key] = value

    def set_registered_model_alias(self, name: str, alias: str, version: str) -> None:
        self._models[name].aliases[alias] = version

    def delete_registered_model_alias(self, name: str, alias: str) -> None:
        self._models[name].aliases.pop(alias, None)
