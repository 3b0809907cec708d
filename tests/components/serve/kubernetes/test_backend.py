"""What the back end asks, and makes of objects that somebody has edited, over a fake API server."""

from typing import Any
from urllib.parse import urlparse

import pytest

from components.errors import InvalidInput, TunegateError
from components.serve.kubernetes import backend as module
from components.serve.kubernetes.backend import KubernetesBackend
from components.serve.kubernetes.labels import INSTANCE
from components.serve.kubernetes.manifests import deployment_manifests, live_service
from components.settings import ClusterSettings
from tests.components.serve.kubernetes.fake_cluster import FakeCluster
from tests.components.serve.specs import spec_of

SETTINGS = ClusterSettings(control_image="c", serve_image="s")


@pytest.fixture
def cluster() -> FakeCluster:
    """One with a champion and a candidate."""
    cluster = FakeCluster(has_keda=False)
    for name in ("pet-r1", "pet-r2"):
        cluster.apply(deployment_manifests(spec_of(name), SETTINGS, ["engine"])[0])
    cluster.apply(live_service(spec_of("pet-r1"), "tunegate"))
    return cluster


@pytest.fixture
def backend(state: Any, cluster: FakeCluster, monkeypatch: pytest.MonkeyPatch) -> KubernetesBackend:
    settings = {"CONTROL_IMAGE": "control", "SERVE_IMAGE": "serve", "ADAPTER_SOURCE": "init-container"}
    for name, value in settings.items():
        monkeypatch.setenv(f"TUNEGATE_CLUSTER_{name}", value)
    made = KubernetesBackend()
    made._cluster = made._scaler._cluster = cluster  # type: ignore[assignment]
    return made


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


class Clock:
    """A time that passes only where somebody sleeps."""

    def __init__(self) -> None:
        self.now = 0.0

    def monotonic(self) -> float:
        return self.now

    def sleep(self, seconds: float) -> None:
        self.now += seconds


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    clock = Clock()
    monkeypatch.setattr(module, "time", clock)
    monkeypatch.setattr(module, "wait_reachable", lambda url: None)
    return clock


def test_a_start_is_noticed_at_once_and_looked_into_once_a_second(
    backend: KubernetesBackend, cluster: FakeCluster, clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    cluster.apply(deployment_manifests(spec_of("pet-r2"), SETTINGS, ["engine"])[1])
    monkeypatch.setattr(backend, "_rolled_out", lambda name: clock.now >= 10.25)
    seen: list[float] = []

    assert backend.wait_ready("pet-r2", 60, lambda replicas: seen.append(clock.now)) == 10.25

    assert seen == list(range(11))
    assert cluster.listed["Event"] == 11


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


def test_two_deployments_whose_services_would_have_one_name_are_told_apart(
    backend: KubernetesBackend, cluster: FakeCluster
) -> None:
    backend.apply(spec_of("7b-dog-r1"))
    before = dict(cluster.objects)

    with pytest.raises(InvalidInput, match="Service m7b-dog-r1: belongs to tunegate and is left alone"):
        backend.apply(spec_of("m7b-dog-r1"))
    backend.retire("m7b-dog-r1")

    assert cluster.objects == before
