"""The pods of the compiled package, without a cluster: which run on which branch, and with what."""

from typing import Any

import pytest

from pipelines.kubeflow.compile import SHIPPED
from tests.cluster.package import Json, PackageRun, StageFailed, Task, holds
from tests.cluster.stage_pods import pod_of
from tests.manifests.validation import VERSIONS, validate

TO_THE_FIRST_GATE = ["validate-dataset", "find-champion", "finetune", "evaluate", "quality-gate"]
TO_THE_SECOND_GATE = [*TO_THE_FIRST_GATE, "push-image", "deploy", "stress", "service-gate"]


class Recorded:
    """Runs nothing: notes every task and gives what the test says."""

    def __init__(self, fails: str = "", **answers: Any) -> None:
        self.tasks: list[Task] = []
        self.fails, self.answers = fails, answers

    def execute(self, task: Task) -> Json:
        self.tasks.append(task)
        if task.name == self.fails:
            raise StageFailed(task.name)
        outputs = task.executor_input["outputs"]
        said = self.answers.get(task.name.replace("-", "_"), True)
        return {
            "parameterValues": dict.fromkeys(outputs["parameters"], said),
            "artifacts": {
                name: {"artifacts": [{"metadata": {"made_by": task.name}}]} for name in outputs["artifacts"]
            },
        }

    def run(self, **form: Any) -> list[str]:
        """Run the package and return the tasks that had a pod."""
        given = {"dataset": "/cache/rows.jsonl", "image_repository": "registry/name"}
        PackageRun(SHIPPED, "run", self.execute).start(given | form)
        return [task.name for task in self.tasks]


@pytest.mark.parametrize(
    ("answers", "ran"),
    [
        pytest.param({}, [*TO_THE_SECOND_GATE, "promote"], id="promoted"),
        pytest.param({"service_gate": False}, [*TO_THE_SECOND_GATE, "refuse"], id="service refused"),
        pytest.param({"quality_gate": False}, [*TO_THE_FIRST_GATE, "refuse-2"], id="quality refused"),
        pytest.param({"find_champion": "unchanged"}, TO_THE_FIRST_GATE[:2], id="unchanged"),
    ],
)
def test_branches(answers: dict[str, Any], ran: list[str]) -> None:
    assert Recorded(**{"find_champion": "", **answers}).run() == [*ran, "close-release"]


def test_after_a_failure_the_exit_step_runs_and_nothing_else() -> None:
    recorded = Recorded(fails="finetune")
    with pytest.raises(StageFailed, match="finetune"):
        recorded.run()
    assert [task.name for task in recorded.tasks] == [*TO_THE_FIRST_GATE[:3], "close-release"]


@pytest.mark.parametrize("version", VERSIONS)
def test_every_pod_is_valid_where_kubernetes_drops_no_field(version: str) -> None:
    recorded = Recorded()
    recorded.run(train_node_selector={"nvidia.com/gpu.product": "A100"})
    for task in recorded.tasks:
        validate(pod_of(task, "name", "run", "namespace"), version)


def test_what_the_form_says_reaches_the_pods() -> None:
    recorded = Recorded()
    recorded.run(
        train_image="train:1",
        control_image="control:1",
        train_gpu_resource="amd.com/gpu",
        train_cpu="3",
        settings_map="own",
    )
    pods = {task.name: pod_of(task, "name", "run", "namespace")["spec"] for task in recorded.tasks}
    for name, pod in pods.items():
        (container,) = pod["containers"]
        trained = name in ("validate-dataset", "finetune", "evaluate")
        assert container["image"] == ("train:1" if trained else "control:1"), name
        assert {"name": "own", "optional": True, "key": "MLFLOW_TRACKING_URI"} in [
            item.get("valueFrom", {}).get("configMapKeyRef") for item in container["env"]
        ]
        assert ("/cache" in [mount["mountPath"] for mount in container["volumeMounts"]]) == trained
    limits = pods["finetune"]["containers"][0]["resources"]["limits"]
    assert limits == {"cpu": "3", "memory": "48Gi", "amd.com/gpu": "1"}


def test_artifacts_are_handed_on_with_their_metadata_and_numbers_as_the_back_end_writes_them() -> None:
    recorded = Recorded()
    recorded.run(learning_rate=1.0, lora_dropout=0.25, lora_r=4, skip_unchanged=True)
    inputs = {task.name: task.executor_input["inputs"] for task in recorded.tasks}
    (scores,) = inputs["promote"]["artifacts"]["scores"]["artifacts"]
    assert scores["metadata"] == {"made_by": "evaluate"} and scores["uri"].endswith("/run/evaluate/scores")
    got = inputs["finetune"]["parameterValues"]
    assert [repr(got[name]) for name in ("learning_rate", "lora_dropout", "lora_r")] == ["1", "0.25", "4"]
    assert inputs["find-champion"]["parameterValues"]["skip_unchanged"] is True


@pytest.mark.parametrize(
    ("condition", "value", "wanted"),
    [
        ("inputs.parameter_values['p'] == true", True, True),
        ("inputs.parameter_values['p'] == true", False, False),
        ("!(inputs.parameter_values['p'] == true)", False, True),
        ("inputs.parameter_values['p'] != 'unchanged'", "", True),
        ("inputs.parameter_values['p'] != 'unchanged'", "unchanged", False),
    ],
)
def test_conditions(condition: str, value: Any, wanted: bool) -> None:
    assert holds(condition, {"p": value}) is wanted
