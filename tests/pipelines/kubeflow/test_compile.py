"""What stands in the package that is uploaded."""

import re
from pathlib import Path
from typing import Any

import pytest
import yaml
from pydantic import ValidationError
from typer.testing import CliRunner

from components.progress import STAGES
from pipelines.cli import app
from pipelines.kubeflow.compile import SHIPPED, package_text
from pipelines.kubeflow.params import POD_FIELDS, KubeflowParams
from pipelines.kubeflow.settings import CompileSettings
from pipelines.params import ReleaseParams

ENGINE = ["exec-evaluate", "exec-finetune"]
TRAIN = [*ENGINE, "exec-validate-dataset"]
ONCE = [
    "find-champion",
    "deploy",
    "stress",
    "quality-gate",
    "service-gate",
    "promote",
    "refuse",
    "refuse-2",
    "close-release",
]


@pytest.fixture(scope="module")
def package() -> tuple[dict[str, Any], dict[str, Any]]:
    spec, platform = yaml.safe_load_all(SHIPPED.read_text())
    return spec, platform["platforms"]["kubernetes"]["deploymentSpec"]["executors"]


def tasks_of(spec: dict[str, Any]) -> dict[str, Any]:
    """Every task that is a stage, wherever in the graph it stands."""
    groups = [spec["root"], *spec["components"].values()]
    found = {name: task for group in groups for name, task in group.get("dag", {}).get("tasks", {}).items()}
    return {name: task for name, task in found.items() if not name.startswith(("condition", "exit-handler"))}


def test_the_shipped_package_is_the_source():
    said = "pipelines/release.yaml is not what the source says: tunegate compile -o pipelines/release.yaml"
    assert SHIPPED.read_text() == package_text(CompileSettings()), said


def test_the_form_is_the_parameters_in_the_order_of_the_stages(package: tuple[dict[str, Any], Any]):
    form = package[0]["root"]["inputDefinitions"]["parameters"]
    assert list(form) == [*ReleaseParams.model_fields, *POD_FIELDS]
    for name, field in KubeflowParams.model_fields.items():
        assert form[name]["description"] == field.description
        assert field.is_required() or form[name]["defaultValue"] == field.default, name
    required = [name for name, value in form.items() if not value.get("isOptional")]
    assert required == ["dataset", "image_repository"]
    assert form["serving_target"]["defaultValue"] == "kubernetes"
    assert form["train_gpus"]["parameterType"] == "NUMBER_INTEGER"
    assert form["train_node_selector"]["parameterType"] == "STRUCT"


def test_both_gates_and_the_exit_step_are_in_the_graph(package: tuple[dict[str, Any], Any]):
    spec, _ = package
    assert {"quality-gate", "service-gate", "promote", "refuse", "close-release"} <= set(tasks_of(spec))
    assert len(STAGES) + 4 == len(tasks_of(spec))  # the champion, refuse on two branches, the exit step
    assert "close-release" in spec["root"]["dag"]["tasks"]
    policy = spec["root"]["dag"]["tasks"]["close-release"]["triggerPolicy"]["strategy"]
    assert policy == "ALL_UPSTREAM_TASKS_COMPLETED"
    # Older back ends can't hand an exit step the final status; what happened is in the records.
    assert "taskFinalStatus" not in SHIPPED.read_text()


def test_every_parameter_that_is_read_is_handed_down(package: tuple[dict[str, Any], Any]):
    spec, _ = package
    for name, component in spec["components"].items():
        known = set(component.get("inputDefinitions", {}).get("parameters", {}))
        read = set(re.findall(r"componentInputParameter: (\S+)", yaml.dump(component.get("dag", {}))))
        assert read <= known, name


def test_every_pod_is_given_the_parameters_that_it_names(package: tuple[dict[str, Any], dict[str, Any]]):
    """What a container names comes from its task; what Kubernetes is told, from the group that it is in."""
    spec, pods = package
    for group in [spec["root"], *spec["components"].values()]:
        there = set(group.get("inputDefinitions", {}).get("parameters", {}))
        for name, task in group.get("dag", {}).get("tasks", {}).items():
            executor = spec["deploymentSpec"]["executors"].get(f"exec-{name}")
            if executor is None:  # a group
                continue
            named = re.findall(
                r"inputs\.parameters\['([^']+)'\]", str(executor["container"]["image"])
            ) + re.findall(r"pipelinechannel--\w+", str(executor["container"].get("resources", "")))
            assert named and set(named) <= set(task["inputs"]["parameters"]), name
            read = set(re.findall(r"componentInputParameter: (\S+)", yaml.dump(pods[f"exec-{name}"])))
            assert read and read <= there, name


def test_images_are_our_own_and_nothing_is_installed_at_start(package: tuple[dict[str, Any], Any]):
    spec, _ = package
    for name, executor in spec["deploymentSpec"]["executors"].items():
        wanted = "train_image" if name in TRAIN else "control_image"
        assert f"pipelinechannel--{wanted}" in executor["container"]["image"], name
    assert "pip install" not in SHIPPED.read_text()


def test_pods_get_what_they_need(package: tuple[dict[str, Any], dict[str, Any]]):
    spec, pods = package
    for name, pod in pods.items():
        assert pod["fieldPathAsEnv"] == [
            {"name": "RELEASE_ID", "fieldPath": "metadata.labels['pipeline/runid']"}
        ]
        handed = {item["envVar"] for item in pod["configMapAsEnv"][0]["keyToEnv"]}
        assert {"MLFLOW_TRACKING_URI", "TUNEGATE_CLUSTER_NAMESPACE", "TUNEGATE_DEVICE"} <= handed
        assert {"TUNEGATE_MLFLOW_URL", "AZURE_STORAGE_ACCOUNT_NAME"} <= handed
        secrets = {item["envVar"] for item in pod["secretAsEnv"][0]["keyToEnv"]}
        assert {"HF_TOKEN", "MLFLOW_TRACKING_TOKEN", "TUNEGATE_API_KEY"} <= secrets
        assert int(pod["activeDeadlineSeconds"]) > 0
        assert ("pvcMount" in pod) == (name in TRAIN)
        volumes = {volume["mountPath"] for volume in pod["emptyDirMounts"]}
        assert volumes == ({"/tmp", "/dev/shm"} if name in ENGINE else {"/tmp"})
        assert ("nodeSelector" in pod) == ("tolerations" in pod) == (name in ENGINE)
    for name in ENGINE:
        resources = spec["deploymentSpec"]["executors"][name]["container"]["resources"]
        assert "train_gpus" in resources["accelerator"]["resourceCount"]


def test_only_what_is_worth_it_is_tried_again_and_only_what_may_is_cached(
    package: tuple[dict[str, Any], Any],
):
    tasks = tasks_of(package[0])
    assert all("retryPolicy" not in tasks[name] for name in ONCE)
    for name in ("validate-dataset", "finetune", "evaluate", "push-image"):
        assert tasks[name]["retryPolicy"]["backoffFactor"] == 2.0
    cached = [name for name, task in tasks.items() if task["cachingOptions"].get("enableCache")]
    assert sorted(cached) == ["evaluate", "finetune", "push-image"]


def test_with_a_digest_the_dataset_stage_is_cached_and_the_source_is_part_of_the_key():
    spec, _ = yaml.safe_load_all(package_text(CompileSettings(), cache_dataset=True))
    assert tasks_of(spec)["validate-dataset"]["cachingOptions"]["enableCache"]
    for executor in spec["deploymentSpec"]["executors"].values():
        assert re.search(r"\n# source [0-9a-f]{16}\n$", executor["container"]["command"][-1])


def test_settings_of_the_compile_step_reach_the_package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("TUNEGATE_HOME", str(tmp_path))
    monkeypatch.setenv("TUNEGATE_KUBEFLOW_SHARED_MEMORY", "3Gi")
    monkeypatch.setenv("TUNEGATE_KUBEFLOW_CACHE_VOLUME", "false")
    said = CliRunner().invoke(app, ["compile", "-o", str(tmp_path / "own.yaml")])
    assert said.exit_code == 0, said.output
    text = (tmp_path / "own.yaml").read_text()
    assert "sizeLimit: 3Gi" in text and "pvcMount" not in text


def test_times_and_retries_of_some_stages_leave_the_others(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("TUNEGATE_KUBEFLOW_TIMEOUTS_S", '{"finetune": 60}')
    monkeypatch.setenv("TUNEGATE_KUBEFLOW_RETRIES", '{"evaluate": 0, "deploy": 0}')
    usual, own = CompileSettings.model_construct(), CompileSettings()
    assert own.timeouts_s == {**usual.timeouts_s, "finetune": 60}
    assert own.retries == {**usual.retries, "evaluate": 0, "deploy": 0}


def test_wrong_times_and_retries_are_named_all_at_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("TUNEGATE_HOME", str(tmp_path))
    monkeypatch.setenv("TUNEGATE_KUBEFLOW_TIMEOUTS_S", '{"tune": 5, "finetune": 0}')
    monkeypatch.setenv("TUNEGATE_KUBEFLOW_RETRIES", '{"finetune": -1, "promote": 2}')
    said = CliRunner().invoke(app, ["compile", "-o", str(tmp_path / "own.yaml")])
    assert said.exit_code == 1 and "2 problems" in said.output, said.output
    for words in (
        "TUNEGATE_KUBEFLOW_TIMEOUTS_S: got {'tune': 5, 'finetune': 0}",
        "no stage 'tune', there are validate_dataset, find_champion",
        "finetune 0, wanted 1 or more",
        "finetune -1, wanted 0 or more",
        "promote 2, but it is tried once",
    ):
        assert words in said.output


@pytest.mark.parametrize("stage", [name for name in ONCE if name != "refuse-2"])
def test_what_runs_once_can_not_be_tried_again(stage: str):
    with pytest.raises(ValidationError, match="it is tried once"):
        CompileSettings(retries={stage.replace("-", "_"): 1})


def test_wrong_settings_are_named_all_at_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("TUNEGATE_HOME", str(tmp_path))
    monkeypatch.setenv("TUNEGATE_KUBEFLOW_SHARED_MEMORY", "much")
    monkeypatch.setenv("TUNEGATE_KUBEFLOW_BACKOFF_S", "-1")
    said = CliRunner().invoke(app, ["compile", "-o", str(tmp_path / "own.yaml")])
    assert said.exit_code == 1
    assert "TUNEGATE_KUBEFLOW_SHARED_MEMORY" in said.output and "TUNEGATE_KUBEFLOW_BACKOFF_S" in said.output
