"""What the back end asks, and makes of objects that somebody has edited, over a fake API server."""

from pathlib import Path
from typing import Any
from urllib.parse import urlparse

import pytest

from components.errors import InvalidInput, TunegateError
from components.serve.kubernetes.backend import KubernetesBackend
from components.serve.kubernetes.labels import INSTANCE
from components.serve.kubernetes.manifests import deployment_manifests, live_service
from components.serve.kubernetes.scaler import KIND
from components.settings import ClusterSettings
from tests.components.serve.kubernetes.fake_cluster import FakeCluster, backend_on
from tests.components.serve.specs import spec_of

SETTINGS = ClusterSettings(control_image="c", serve_image="s", adapter_source="init-container")


@pytest.fixture
def cluster() -> FakeCluster:
    """One with a champion and a candidate."""
    cluster = FakeCluster(lacks=[KIND])
    for name in ("pet-r1", "pet-r2"):
        cluster.apply(deployment_manifests(spec_of(name), SETTINGS, ["engine"])[0])
    cluster.apply(live_service(spec_of("pet-r1"), "tunegate"))
    return cluster


@pytest.fixture
def backend(state: Path, cluster: FakeCluster) -> KubernetesBackend:
    return backend_on(cluster, SETTINGS)


@pytest.mark.parametrize(
    "selector", [None, {}, {INSTANCE: "pet-r0"}], ids=["none", "empty", "of one that left"]
)
def test_a_live_service_that_names_no_deployment_has_no_champion(
    backend: KubernetesBackend, cluster: FakeCluster, selector: dict[str, str] | None
) -> None:
    assert backend.champion("pet") == spec_of("pet-r1")
    service = cluster.objects["Service", "pet"]["spec"]
    service["selector"] = selector
    if selector is None:
        del service["selector"]

    assert backend.champion("pet") is None
    backend.retire("pet-r2")
    assert [spec.name for spec in backend.deployments()] == ["pet-r1"]


@pytest.mark.parametrize("annotations", [None, {}, {"note": "by hand"}], ids=["none", "empty", "another"])
def test_a_deployment_that_tells_no_spec_hides_no_other(
    backend: KubernetesBackend, cluster: FakeCluster, annotations: dict[str, str] | None
) -> None:
    metadata = cluster.objects["Deployment", "pet-r1"]["metadata"]
    metadata["annotations"] = annotations
    if annotations is None:
        del metadata["annotations"]

    assert backend.deployments() == [spec_of("pet-r2")]
    assert backend.champion("pet") is None
    with pytest.raises(TunegateError, match="'pet-r1': there is no such one; deployed here: pet-r2"):
        backend.replicas("pet-r1")


@pytest.mark.parametrize("name", ["dog-r1", "7b-dog-r1"], ids=["letter", "digit"])
def test_a_deployment_is_asked_at_its_service_and_leaves_nothing(
    backend: KubernetesBackend, cluster: FakeCluster, name: str
) -> None:
    before = dict(cluster.objects)
    backend.apply(spec_of(name))
    backend.apply(spec_of(name))

    (service,) = (named for kind, named in cluster.objects.keys() - before if kind == "Service")
    assert urlparse(backend.endpoint(name)).hostname == f"{service}.tunegate.svc"
    assert service[0].isalpha()
    backend.retire(name)
    assert cluster.objects == before


def test_a_deployment_is_gone_only_with_what_could_still_start_a_pod(
    backend: KubernetesBackend, cluster: FakeCluster, monkeypatch: pytest.MonkeyPatch
) -> None:
    left, listed = ("ReplicaSet", "pet-r2-5f"), cluster.list
    labels = cluster.objects["Deployment", "pet-r2"]["spec"]["template"]["metadata"]["labels"]
    cluster.objects[left] = {"kind": "ReplicaSet", "metadata": {"name": "pet-r2-5f", "labels": labels}}

    def collected_late(kind: str, labels: str = "", fields: str = "") -> list[dict[str, Any]]:
        if cluster.listed["ReplicaSet"] == 2:
            cluster.objects.pop(left, None)
        return listed(kind, labels, fields)

    monkeypatch.setattr(cluster, "list", collected_late)
    backend.retire("pet-r2")
    assert left not in cluster.objects and cluster.listed["ReplicaSet"] > 2


def test_two_deployments_whose_services_would_have_one_name_are_told_apart(
    backend: KubernetesBackend, cluster: FakeCluster
) -> None:
    backend.apply(spec_of("7b-dog-r1"))
    before = dict(cluster.objects)

    with pytest.raises(InvalidInput, match="Service m7b-dog-r1: belongs to tunegate and is left alone"):
        backend.apply(spec_of("m7b-dog-r1"))
    backend.retire("m7b-dog-r1")

    assert cluster.objects == before


def test_traffic_that_is_taken_away_goes_to_nobody(backend: KubernetesBackend, cluster: FakeCluster) -> None:
    backend.withdraw("pet")
    backend.withdraw("pet")

    assert backend.champion("pet") is None
    assert ("Service", "pet") not in cluster.objects
    assert {spec.name for spec in backend.deployments()} == {"pet-r1", "pet-r2"}
