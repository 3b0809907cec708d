"""The cluster's back end against an API server that only keeps what is applied."""

from pathlib import Path
from typing import Any
from urllib.parse import urlparse

import pytest

from components.errors import InvalidInput
from components.serve.kubernetes.backend import KubernetesBackend
from components.serve.spec import ServingSpec

Found = dict[str, Any]


class FakeCluster:
    """An API server without pods and without KEDA."""

    namespace = "tunegate"

    def __init__(self) -> None:
        self.objects: dict[tuple[str, str], Found] = {}

    def require(self) -> None:
        pass

    def knows(self, kind: str) -> bool:
        return False

    def get(self, kind: str, name: str) -> Found | None:
        return self.objects.get((kind, name))

    def list(self, kind: str, labels: str = "", fields: str = "") -> list[Found]:
        wanted = dict(pair.split("=") for pair in labels.split(",")).items()
        of_kind = [found for (listed, _), found in self.objects.items() if listed == kind]
        return [found for found in of_kind if wanted <= found["metadata"]["labels"].items()]

    def apply(self, manifest: Found, manager: str = "", dry_run: bool = False, force: bool = False) -> Found:
        if not dry_run and "labels" in manifest["metadata"]:  # the number of engines has none
            self.objects[manifest["kind"], manifest["metadata"]["name"]] = manifest
        return manifest

    def delete(self, kind: str, name: str, grace_s: int | None = None) -> None:
        del self.objects[kind, name]


@pytest.fixture
def cluster() -> FakeCluster:
    return FakeCluster()


@pytest.fixture
def backend(state: Path, cluster: FakeCluster, monkeypatch: pytest.MonkeyPatch) -> KubernetesBackend:
    settings = {"CONTROL_IMAGE": "control", "SERVE_IMAGE": "serve", "ADAPTER_SOURCE": "init-container"}
    for name, value in settings.items():
        monkeypatch.setenv(f"TUNEGATE_CLUSTER_{name}", value)
    backend = KubernetesBackend()
    backend._cluster = backend._scaler._cluster = cluster  # type: ignore[assignment]
    return backend


def spec(name: str) -> ServingSpec:
    return ServingSpec(
        name=name,
        model_name=name.removesuffix("-r1"),
        base_model="org/model@abc",
        image="reg.example/pet@sha256:" + "a" * 64,
        adapter_digest="sha256:" + "b" * 64,
        lora_r=8,
        replicas=2,
        max_model_len=2048,
    )


@pytest.mark.parametrize("name", ["pet-r1", "7b-pet-r1"], ids=["letter", "digit"])
def test_a_deployment_is_asked_at_its_service_and_leaves_nothing(
    backend: KubernetesBackend, cluster: FakeCluster, name: str
) -> None:
    backend.apply(spec(name))
    backend.apply(spec(name))

    (service,) = (named for kind, named in cluster.objects if kind == "Service")
    assert urlparse(backend.endpoint(name)).hostname == f"{service}.tunegate.svc"
    assert service[0].isalpha()
    backend.retire(name)
    assert cluster.objects == {}


def test_two_deployments_whose_services_would_have_one_name_are_told_apart(
    backend: KubernetesBackend, cluster: FakeCluster
) -> None:
    backend.apply(spec("7b-pet-r1"))
    before = dict(cluster.objects)

    with pytest.raises(InvalidInput, match="Service m7b-pet-r1: belongs to tunegate and is left alone"):
        backend.apply(spec("m7b-pet-r1"))
    backend.retire("m7b-pet-r1")

    assert cluster.objects == before
