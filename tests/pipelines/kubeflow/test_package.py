"""The package that is uploaded, loaded and run by kfp.local: what is uploaded is what was tested."""

import json
from pathlib import Path
from typing import Any

import pytest

from pipelines.kubeflow.compile import SHIPPED
from pipelines.kubeflow.params import KubeflowParams
from tests.pipelines.test_release import TO_THE_FIRST_GATE, TO_THE_SECOND_GATE, Graph

pytestmark = pytest.mark.release


class Package(Graph):
    model = KubeflowParams
    starts = ("-m", "tests.pipelines.kubeflow.run_package", str(SHIPPED))


@pytest.fixture
def package(tmp_path: Path) -> Package:
    return Package(tmp_path)


def test_the_package_that_submit_uploads(tmp_path: Path, packages: dict[bool, str]):
    """With a digest of the dataset its stage may be skipped, and every command names the source."""
    file = tmp_path / "submitted.yaml"
    file.write_text(packages[True])
    package = Package(tmp_path)
    package.starts = (*Package.starts[:-1], str(file))
    form = {"image_repository": "registry/name", "dataset_digest": "sha256:rows"}
    ran = package.run(service="failed", **form)
    assert ran == [*TO_THE_SECOND_GATE, "refuse", "refused", "closed"], package.ended.stderr
    assert package.ended.returncode == 0, package.ended.stderr


def test_a_release_is_promoted_and_what_is_changed_in_the_form_reaches_the_stages_with_its_type(
    package: Package, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setenv("STAND_IN_PARAMS", str(tmp_path / "stages.jsonl"))
    form = {"lora_r": 4, "learning_rate": 1, "quality_metric": "exact_match", "min_goodput": 0.5}
    ran = package.run(
        **form, model_name="python", compare_with_champion=True, image_repository="registry/name"
    )
    assert ran == [*TO_THE_SECOND_GATE, "promote", "promoted", "closed"], package.ended.stderr
    assert package.ended.returncode == 0, package.ended.stderr
    got: dict[str, Any] = {}
    for line in (tmp_path / "stages.jsonl").read_text().splitlines():
        got |= json.loads(line)
    assert got["finetune"]["lora_r"] == 4 and type(got["finetune"]["lora_r"]) is int
    assert got["finetune"]["learning_rate"] == 1.0 and type(got["finetune"]["learning_rate"]) is float
    assert got["champion"]["compare_with_champion"] is True and got["champion"]["skip_unchanged"] is False
    assert got["quality-gate"]["quality_metric"] == "exact_match"
    assert got["service-gate"]["min_goodput"] == 0.5
    assert got["deploy"]["model_name"] == "python" and got["deploy"]["serving_target"] == "kubernetes"


def test_nothing_is_trained_where_the_champion_has_seen_the_same(package: Package):
    ran = package.run(champion="unchanged", image_repository="registry/name")
    assert ran == ["dataset", "champion", "closed"], package.ended.stdout + package.ended.stderr


def test_a_refused_release_goes_red_where_that_is_asked_for(package: Package):
    stages = package.run(quality="failed", fail_on_reject=True, image_repository="registry/name")
    assert stages == [*TO_THE_FIRST_GATE, "refuse", "refused", "closed"]
    assert package.ended.returncode != 0
