"""Every component's command through KFP's executor, as pods of the built images, from the uploaded package.

One release on a CPU with a real model, as small as it can be, then one that the quality gate refuses; the
engines that serve are stand-ins.
"""

import json
import uuid
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest

from components.tracking import records, runs
from components.tracking.records import StageRecord
from pipelines.kubeflow.compile import SHIPPED
from pipelines.kubeflow.params import KubeflowParams
from pipelines.kubeflow.submit import preflight
from pipelines.reading import read_params
from tests.cluster.package import BUCKET, Outputs, PackageRun, StageFailed, local_path
from tests.cluster.stage_namespace import StageImages, stage_images, stage_namespace, tracking_address
from tests.cluster.stage_pods import StagePods, in_store, read
from tests.components.serve.clients import ask

PRESET = Path(__file__).parents[2] / "pipelines" / "presets" / "smoke.yaml"
MODEL = "pods"
JUDGED = ["validate-dataset", "find-champion", "finetune", "evaluate", "quality-gate"]
PROMOTED = [*JUDGED, "push-image", "deploy", "stress", "service-gate", "promote", "close-release"]
# One of each type that is not what the form offers.
CHANGED = {"lora_r": 4, "learning_rate": 1e-3, "quality_metric": "exact_match", "skip_unchanged": True}
SMALL = {
    "num_train_epochs": 0.1,
    "max_eval_rows": 20,
    "max_new_tokens": 8,
    "scenario_duration_s": 5,
    "load_users": 2,
    "load_max_tokens": 4,
}

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(1200)]


@pytest.fixture(scope="module")
def images() -> StageImages:
    """The images of `containers/`; skips where there is no cluster to run them on."""
    return stage_images()


@pytest.fixture(scope="module")
def prepared(images: StageImages) -> Iterator[str]:
    """A namespace in which the package can run."""
    with stage_namespace(images) as name:
        yield name


class Release:
    """A release that is run pod by pod."""

    def __init__(
        self, namespace: str, images: StageImages, cached: Mapping[str, Outputs] | None = None
    ) -> None:
        self.namespace, self.images, self.run_id = namespace, images, str(uuid.uuid4())
        self.run = PackageRun(SHIPPED, self.run_id, StagePods(namespace, self.run_id).execute, cached)
        self.failure = ""

    def start(self, **changed: Any) -> None:
        values = {
            "dataset": "/cache/petstore/train.jsonl",
            "eval_dataset": "/cache/petstore/eval.jsonl",
            "model_name": MODEL,
            "image_repository": f"{self.images.registry}/tunegate-test/{self.namespace}",
            "train_image": self.images.train,
            "control_image": self.images.control,
            "train_gpus": 0,
            "train_cpu": "1",
            "train_memory": "4Gi",
        }
        params = preflight(
            read_params(KubeflowParams, PRESET, {**values, **SMALL, **changed}), check_data=False
        )
        try:
            self.run.start(params.model_dump(mode="json"))
        except StageFailed as error:
            self.failure = str(error)

    def file(self, task: str, artifact: str) -> str:
        """Return the content of an artifact."""
        return read(self.namespace, local_path(self.run.outputs[task].artifacts[artifact]["uri"]))

    def serves(self) -> bool:
        """Whether the deployment of this release answers at the live endpoint."""
        answer = json.loads(ask(f"http://{MODEL}.{self.namespace}.svc", MODEL))
        deployed = json.loads(self.file("deploy", "deployment"))["name"]
        return deployed in answer["choices"][0]["message"]["content"]

    def metrics(self, task: str) -> dict[str, float]:
        """Return what KFP shows as the task's metrics."""
        return self.run.outputs[task].artifacts["metrics"]["metadata"]  # type: ignore[no-any-return]

    def records(self, home: Path) -> dict[str, StageRecord]:
        """Return what the stages noted in MLflow, under the release that the pods' label names."""
        with pytest.MonkeyPatch.context() as patch:
            patch.setenv("TUNEGATE_HOME", str(home))
            patch.setenv("MLFLOW_TRACKING_URI", tracking_address(self.namespace))
            listed = records.recorded_stages(runs.client(), self.run_id)
        return {stage.record.stage: stage.record for stage in listed}


@pytest.fixture(scope="module")
def promoted(prepared: str, images: StageImages) -> Release:
    """A release whose pods have all run."""
    release = Release(prepared, images)
    release.start(**CHANGED)
    assert not release.failure, release.failure
    return release


def test_the_whole_graph_runs_in_pods_in_its_order_to_an_endpoint_that_answers(promoted: Release) -> None:
    assert list(promoted.run.outputs) == PROMOTED
    assert promoted.run.outputs["find-champion"].parameters == {"Output": ""}
    assert promoted.run.outputs["quality-gate"].parameters == {"Output": True}
    assert promoted.run.outputs["service-gate"].parameters == {"Output": True}
    assert promoted.serves()


def test_metrics_are_read_back_from_the_executors_output(promoted: Release) -> None:
    trained, evaluated = promoted.metrics("finetune"), promoted.metrics("evaluate")
    assert trained["steps"] >= 1 and trained["train_tokens"] > 100 and trained["tokens_per_s"] > 0
    assert 0 < trained["train_loss"] < 10
    assert evaluated["eval_rows"] == SMALL["max_eval_rows"]
    for metric in ("exact_match", "token_f1"):
        base, tuned = evaluated[f"base_{metric}"], evaluated[f"tuned_{metric}"]
        assert 0 <= base <= 1 and 0 <= tuned <= 1
        assert evaluated[f"gain_{metric}"] == pytest.approx(tuned - base)
    matrix = promoted.run.outputs["evaluate"].artifacts["confusion"]["metadata"]["confusionMatrix"]
    assert sum(sum(row["row"]) for row in matrix["rows"]) == SMALL["max_eval_rows"]
    assert promoted.metrics("stress")


def test_every_artifact_is_where_its_address_says_and_the_card_is_the_last(promoted: Release) -> None:
    listed = [
        (task, name, artifact)
        for task, outputs in promoted.run.outputs.items()
        for name, artifact in outputs.artifacts.items()
    ]
    for task, name, artifact in listed:
        assert artifact["uri"] == f"{BUCKET}/{promoted.run_id}/{task}/{name}"
        kind = artifact["type"]["schemaTitle"]
        if kind == "system.Markdown":
            assert promoted.file(task, name).startswith("# "), task
        elif kind == "system.HTML":
            assert "<html" in promoted.file(task, name)
    weights = local_path(promoted.run.outputs["finetune"].artifacts["adapter"]["uri"])
    files = in_store(promoted.namespace, "ls", weights).split()
    assert {"adapter_config.json", "adapter_model.safetensors"} <= set(files)
    pushed = promoted.run.outputs["push-image"].artifacts["image"]["metadata"]["reference"]
    assert pushed in promoted.file("push-image", "image")

    assert listed[-1][:2] == ("close-release", "card")
    card = promoted.file("close-release", "card")
    assert "PROMOTED" in card and promoted.run_id in card


def test_the_release_is_named_by_the_pods_label_and_parameters_keep_their_types(
    promoted: Release, tmp_path: Path
) -> None:
    records = promoted.records(tmp_path)
    assert list(records) == [
        *("dataset", "champion", "finetune", "evaluate", "quality-gate"),
        *("image", "deploy", "stress", "service-gate", "promote"),
    ]
    wanted: dict[str, dict[str, Any]] = {
        "finetune": {"lora_r": 4, "learning_rate": 1e-3, "num_train_epochs": 0.1, "lora_dropout": 0.0},
        "champion": {"skip_unchanged": True, "compare_with_champion": False, "model_name": MODEL},
        "quality-gate": {"quality_metric": "exact_match", "quality_margin": -1.0, "max_guard_drop": 1.0},
        "stress": {"load_users": 2, "slo_ttft_ms": 20000.0, "serving_target": "kubernetes"},
    }
    for stage, params in wanted.items():
        for name, value in params.items():
            got = records[stage].params[name]
            assert (got, type(got)) == (value, type(value)), f"{stage}: {name}"


def test_a_refused_release_fails_where_that_is_asked_for_and_is_closed_all_the_same(
    promoted: Release,
) -> None:
    # What KFP's cache would skip is skipped here too.
    cached = {name: promoted.run.outputs[name] for name in ("validate-dataset", "finetune", "evaluate")}
    refused = Release(promoted.namespace, promoted.images, cached)
    refused.start(quality_margin=0.99, fail_on_reject=True)

    assert list(refused.run.outputs) == [*JUDGED, "close-release"]
    assert refused.run.outputs["quality-gate"].parameters == {"Output": False}
    assert refused.failure.startswith("refuse-2: Failed"), refused.failure
    assert "fail_on_reject asks for a failed run" in refused.failure
    card = refused.file("close-release", "card")
    assert "REFUSED" in card and refused.run_id in card
    assert promoted.serves()
