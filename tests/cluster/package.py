"""A run of the compiled package, task by task: what Kubeflow's back end does between two pods.

It reads the two documents of the package alone: the graph with its conditions and its exit step, where each
task's parameters and artifacts come from, and the executor input that a task's command is given. Of the
language of packages it knows what ours is written in.
"""

import json
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cache
from graphlib import TopologicalSorter
from pathlib import Path
from typing import Any

import yaml

PLACEHOLDER = re.compile(r"\{\{\$\.inputs\.parameters\['([^']+)'\]\}\}")
CONDITION = re.compile(r"inputs\.parameter_values\['([^']+)'\] (==|!=) (true|false|'[^']*')")
BUCKET = "minio://mlpipeline/v2/artifacts/tunegate-release"

Json = dict[str, Any]


class StageFailed(Exception):
    """A task's container ended badly; its log is the message."""


@dataclass(frozen=True)
class Task:
    """A task that is about to run.

    Attributes:
        name: Its name in the package.
        container: The image, the command, the arguments, the environment and the resources it asks for.
        platform: What Kubernetes is told besides.
        form: The parameters of its group, which `platform` names.
        executor_input: What its command is given.
    """

    name: str
    container: Json
    platform: Json
    form: Json
    executor_input: Json

    @property
    def parameters(self) -> Json:
        """What the task is called with."""
        return self.executor_input["inputs"]["parameterValues"]  # type: ignore[no-any-return]

    @property
    def command(self) -> list[str]:
        """The container's command and arguments with the executor input in its place."""
        words = [*self.container["command"], *self.container["args"]]
        return [json.dumps(self.executor_input) if word == "{{$}}" else word for word in words]

    def filled(self, text: str) -> str:
        """Put the parameters that a text names in their places."""
        return PLACEHOLDER.sub(lambda found: str(self.parameters[found[1]]), text)


@dataclass(frozen=True)
class Outputs:
    """What a task left behind."""

    parameters: Json
    artifacts: dict[str, Json]


class PackageRun:
    """One run of a package.

    Args:
        package: The compiled package.
        run_id: Names the run; part of the addresses of its artifacts.
        execute: Runs a task and returns its executor output; raises `StageFailed`.
        cached: Outputs of an earlier run for the tasks that are to be skipped.

    Attributes:
        outputs: What each task left behind, in the order in which they ran.
    """

    def __init__(
        self,
        package: Path,
        run_id: str,
        execute: Callable[[Task], Json],
        cached: Mapping[str, Outputs] | None = None,
    ) -> None:
        self.spec, platform = _documents(package)
        self.pods = platform["platforms"]["kubernetes"]["deploymentSpec"]["executors"]
        self.run_id, self.execute, self.cached = run_id, execute, cached or {}
        self.outputs: dict[str, Outputs] = {}

    def start(self, form: Json) -> None:
        """Run the graph to its end.

        Args:
            form: Values for the parameters of the form.

        Raises:
            StageFailed: A task failed; the exit step has run.
        """
        defined = self.spec["root"]["inputDefinitions"]["parameters"]
        assert set(form) <= set(defined), set(form) - set(defined)
        values = {name: form.get(name, field.get("defaultValue")) for name, field in defined.items()}
        self._run_group(self.spec["root"]["dag"], values, {})

    def _run_group(self, dag: Json, parameters: Json, artifacts: Json) -> None:
        tasks, failed = dag["tasks"], None
        order = TopologicalSorter({name: task.get("dependentTasks", ()) for name, task in tasks.items()})
        for name in order.static_order():
            task = tasks[name]
            always = task.get("triggerPolicy", {}).get("strategy") == "ALL_UPSTREAM_TASKS_COMPLETED"
            if failed and not always:
                continue
            try:
                self._run_task(name, task, parameters, artifacts)
            except StageFailed as error:
                failed = error
        if failed:
            raise failed

    def _run_task(self, name: str, task: Json, form: Json, artifacts: Json) -> None:
        values = {key: self._parameter(wanted, form) for key, wanted in _inputs(task, "parameters")}
        # A constant may name other parameters of its own task.
        values = {key: _filled(value, values) for key, value in values.items()}
        given = {key: self._artifact(wanted, artifacts) for key, wanted in _inputs(task, "artifacts")}
        condition = task.get("triggerPolicy", {}).get("condition")
        if condition and not holds(condition, values):
            return
        component = self.spec["components"][task["componentRef"]["name"]]
        if "dag" in component:
            self._run_group(component["dag"], values, given)
            return
        if name in self.cached:
            self.outputs[name] = self.cached[name]
            return
        label = component["executorLabel"]
        container = self.spec["deploymentSpec"]["executors"][label]["container"]
        executor_input = self._executor_input(name, component, values, given)
        wrote = self.execute(Task(name, container, self.pods[label], form, executor_input))
        made = executor_input["outputs"]["artifacts"]
        self.outputs[name] = Outputs(
            parameters=wrote.get("parameterValues", {}),
            artifacts={
                key: {**slot["artifacts"][0], **wrote["artifacts"][key]["artifacts"][0]}
                for key, slot in made.items()
            },
        )

    def _parameter(self, wanted: Json, form: Json) -> Any:
        if "componentInputParameter" in wanted:
            return form[wanted["componentInputParameter"]]
        if "taskOutputParameter" in wanted:
            source = wanted["taskOutputParameter"]
            return self.outputs[source["producerTask"]].parameters[source["outputParameterKey"]]
        return wanted["runtimeValue"]["constant"]

    def _artifact(self, wanted: Json, artifacts: Json) -> Json:
        if "componentInputArtifact" in wanted:
            return artifacts[wanted["componentInputArtifact"]]  # type: ignore[no-any-return]
        source = wanted["taskOutputArtifact"]
        return self.outputs[source["producerTask"]].artifacts[source["outputArtifactKey"]]

    def _executor_input(self, name: str, component: Json, values: Json, given: Json) -> Json:
        outputs, root = component.get("outputDefinitions", {}), f"{BUCKET}/{self.run_id}/{name}"
        made = {
            key: {"name": key, "type": defined["artifactType"], "uri": f"{root}/{key}", "metadata": {}}
            for key, defined in outputs.get("artifacts", {}).items()
        }
        folder = local_path(root)
        return {
            "inputs": {
                "parameterValues": {key: _as_written(value) for key, value in values.items()},
                "artifacts": {key: {"artifacts": [artifact]} for key, artifact in given.items()},
            },
            "outputs": {
                "parameters": {
                    key: {"outputFile": f"{folder}/{key}"} for key in outputs.get("parameters", {})
                },
                "artifacts": {key: {"artifacts": [artifact]} for key, artifact in made.items()},
                "outputFile": f"{folder}/executor_output.json",
            },
        }


@cache
def _documents(package: Path) -> list[Json]:
    return list(yaml.safe_load_all(package.read_text(encoding="utf-8")))


def local_path(uri: str) -> str:
    """Return where kfp's executor finds an artifact in its pod."""
    return uri.replace("minio://", "/minio/")


def holds(condition: str, values: Json) -> bool:
    """Evaluate a task's condition."""
    inner = condition.removeprefix("!(").removesuffix(")") if condition.startswith("!(") else condition
    found = CONDITION.fullmatch(inner)
    assert found, f"{condition}: not a condition that is known here"
    same = bool(values[found[1]] == json.loads(found[3].replace("'", '"')))
    return (same == (found[2] == "==")) != (inner != condition)


def _inputs(task: Json, kind: str) -> list[tuple[str, Json]]:
    return list(task.get("inputs", {}).get(kind, {}).items())


def _filled(value: Any, values: Json) -> Any:
    return PLACEHOLDER.sub(lambda f: str(values[f[1]]), value) if isinstance(value, str) else value


def _as_written(value: Any) -> Any:
    """Write a number as the back end does, whose one type of number knows no 1.0."""
    return int(value) if isinstance(value, float) and value.is_integer() else value
