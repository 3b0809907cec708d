"""The objects of a deployment, checked against the schemas of Kubernetes 1.32 and of the newest."""

import json
from pathlib import Path
from typing import Any

import kubernetes_validate
import pytest

from components.errors import InvalidInput
from components.serve.kubernetes.manifests import (
    deployment_manifests,
    live_name,
    live_service,
    scale_manifest,
)
from components.serve.spec import ServingSpec
from components.settings import ClusterSettings, load_cluster_settings

VERSIONS = ["1.32", kubernetes_validate.latest_version()]
COMMAND = ["python", "-m", "engine"]


@pytest.fixture
def spec() -> ServingSpec:
    return ServingSpec(
        name="pet-r1",
        model_name="pet",
        base_model="org/model@abc",
        image="reg.example/pet@sha256:" + "a" * 64,
        adapter_digest="sha256:" + "b" * 64,
        lora_r=8,
        replicas=2,
        max_model_len=2048,
    )


def settings(**changes: Any) -> ClusterSettings:
    return ClusterSettings(control_image="reg.example/control", serve_image="reg.example/serve", **changes)


EVERYTHING = {
    "cache_claim": "models",
    "registry_secret": "pull",
    "image_pull_secrets": ["pull"],
    "gpu_type": "NVIDIA-L4",
    "node_selector": {"pool": "gpu"},
    "tolerations": [{"key": "nvidia.com/gpu", "operator": "Exists", "effect": "NoSchedule"}],
}


@pytest.mark.parametrize("version", VERSIONS)
@pytest.mark.parametrize("changes", [{}, {"gpus": 0}, EVERYTHING], ids=["defaults", "cpu", "everything"])
def test_what_is_applied_is_valid(spec: ServingSpec, version: str, changes: dict[str, Any]) -> None:
    manifests = deployment_manifests(spec, settings(**changes), COMMAND)

    for manifest in [*manifests, live_service(spec, "tunegate")]:
        kubernetes_validate.validate(manifest, version, strict=True)


def pods(spec: ServingSpec, **changes: Any) -> list[dict[str, Any]]:
    manifests = deployment_manifests(spec, settings(**changes), COMMAND)
    return [m["spec"]["template"]["spec"] for m in manifests if m["kind"] == "Deployment"]


def test_nothing_runs_with_more_rights_than_it_needs(spec: ServingSpec) -> None:
    for pod in pods(spec):
        assert pod["securityContext"]["runAsNonRoot"]
        assert not pod["enableServiceLinks"]
        for container in [*pod.get("initContainers", []), *pod["containers"]]:
            assert container["securityContext"] == {
                "allowPrivilegeEscalation": False,
                "readOnlyRootFilesystem": True,
                "capabilities": {"drop": ["ALL"]},
            }
            assert "memory" in container["resources"]["limits"]
    engine, router = pods(spec)
    assert not engine["automountServiceAccountToken"]
    assert router["serviceAccountName"] == "tunegate-router"


def test_gpus_are_asked_for_where_replicas_have_some(spec: ServingSpec) -> None:
    with_gpus, without = (pods(spec, gpus=gpus)[0]["containers"][0] for gpus in (2, 0))

    assert with_gpus["resources"]["limits"]["nvidia.com/gpu"] == "2"
    assert "nvidia.com/gpu" not in without["resources"]["limits"]
    devices = [{v["name"]: v["value"] for v in c["env"]}["TUNEGATE_DEVICE"] for c in (with_gpus, without)]
    assert devices == ["cuda", "cpu"]


def test_a_kind_of_gpu_is_a_label_of_its_nodes(spec: ServingSpec) -> None:
    engine = pods(spec, **EVERYTHING)[0]

    assert engine["nodeSelector"] == {"pool": "gpu", "nvidia.com/gpu.product": "NVIDIA-L4"}
    assert engine["tolerations"] == EVERYTHING["tolerations"]


def test_a_pod_has_time_to_finish_what_it_has_begun(spec: ServingSpec) -> None:
    engine = pods(spec, drain_s=90)[0]
    variables = {v["name"]: v["value"] for v in engine["containers"][0]["env"]}

    assert engine["terminationGracePeriodSeconds"] == 90
    assert float(variables["TUNEGATE_DRAIN_S"]) < 90


def test_two_releases_share_no_name_and_no_pod(spec: ServingSpec) -> None:
    other = spec.model_copy(update={"name": "pet-r2"})
    first, second = (deployment_manifests(s, settings(), COMMAND) for s in (spec, other))

    names = [{(m["kind"], m["metadata"]["name"]) for m in manifests} for manifests in (first, second)]
    assert len(names[0]) == len(first)
    assert not names[0] & names[1]
    selectors = [json.dumps(m["spec"]["selector"]) for m in (*first, *second)]
    assert all("pet-r1" in chosen for chosen in selectors[: len(first)])
    assert all("pet-r2" in chosen for chosen in selectors[len(first) :])


def test_the_number_of_engines_is_applied_by_itself(spec: ServingSpec) -> None:
    engines = deployment_manifests(spec, settings(), COMMAND)[0]

    assert "replicas" not in engines["spec"]
    assert scale_manifest("pet-r1", "tunegate", 3)["spec"] == {"replicas": 3}


@pytest.mark.parametrize(
    ("model_name", "name"),
    [("pet", "pet"), ("7b-pet", "m7b-pet"), ("7" * 63, "m" + "7" * 62)],
    ids=["letter", "digit", "long"],
)
def test_the_live_service_has_a_name_that_services_may_have(model_name: str, name: str) -> None:
    assert live_name(model_name) == name


def test_settings_come_from_the_environment(monkeypatch: pytest.MonkeyPatch, state: Path) -> None:
    monkeypatch.setenv("TUNEGATE_CLUSTER_CONTROL_IMAGE", "reg/control")
    monkeypatch.setenv("TUNEGATE_CLUSTER_SERVE_IMAGE", "reg/serve")
    monkeypatch.setenv("TUNEGATE_CLUSTER_NODE_SELECTOR", '{"pool": "gpu"}')

    assert load_cluster_settings().node_selector == {"pool": "gpu"}


@pytest.mark.parametrize(
    ("name", "value", "words"),
    [
        ("GPUS", "-1", "TUNEGATE_CLUSTER_GPUS: got '-1'"),
        ("MEMORY", "16 GB", "TUNEGATE_CLUSTER_MEMORY: got '16 GB'"),
        ("TOLERATIONS", "none", "wanted JSON"),
    ],
    ids=["GPUs", "memory", "JSON"],
)
def test_wrong_settings_are_named(
    name: str, value: str, words: str, monkeypatch: pytest.MonkeyPatch, state: Path
) -> None:
    monkeypatch.setenv("TUNEGATE_CLUSTER_SERVE_IMAGE", "reg/serve")
    monkeypatch.setenv("TUNEGATE_CLUSTER_CONTROL_IMAGE", "reg/control")
    monkeypatch.setenv(f"TUNEGATE_CLUSTER_{name}", value)

    with pytest.raises(InvalidInput, match=words):
        load_cluster_settings()
