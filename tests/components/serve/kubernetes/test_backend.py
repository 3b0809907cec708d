"""What the back end asks, and makes of objects that somebody has edited, over a fake API server."""

from collections import Counter
from typing import Any
from urllib.parse import urlparse

import pytest

from components.errors import InvalidInput, TunegateError
from components.serve.kubernetes import backend as module
from components.serve.kubernetes.backend import KubernetesBackend
from components.serve.kubernetes.labels import INSTANCE
from components.serve.kubernetes.manifests import deployment_manifests, live_service
from components.serve.spec import ServingSpec
from components.settings import ClusterSettings

Found = dict[str, Any]
SETTINGS = ClusterSettings(control_image="c", serve_image="s")


def spec_of(name: str) -> ServingSpec:
    return ServingSpec(
        name=name,
        model_name="pet",
        base_model="org/model",
        image="reg.example/pet@sha256:" + "a" * 64,
        adapter_digest="sha256:" + "b" * 64,
        lora_r=8,
        replicas=2,
        max_model_len=2048,
    )


class FakeCluster:
    """An API server that keeps what is applied, and counts how often each kind is listed."""

    namespace = "tunegate"

    def __init__(self) -> None:
        self.objects: dict[tuple[str, str], Found] = {}
        self.listed: Counter[str] = Counter()

    def put(self, found: Found) -> None:
        found["metadata"]["generation"] = 1
        self.objects[found["kind"], found["metadata"]["name"]] = found

    def require(self) -> None:
        pass

    def apply(self, manifest: Found, manager: str = "", dry_run: bool = False, force: bool = False) -> Found:
        if not dry_run and "labels" in manifest["metadata"]:  # the number of engines has none
            self.objects[manifest["kind"], manifest["metadata"]["name"]] = manifest
        return manifest

    def get(self, kind: str, name: str) -> Found | None:
        assert name, "the API server would list all of them"
        return self.objects.get((kind, name))

    def list(self, kind: str, labels: str = "", fields: str = "") -> list[Found]:
        self.listed[kind] += 1
        wanted = dict(pair.split("=") for pair in labels.split(",") if pair).items()
        return [
            found
            for (of_kind, _), found in self.objects.items()
            if of_kind == kind and wanted <= found["metadata"].get("labels", {}).items()
        ]

    def knows(self, kind: str) -> bool:
        return False

    def delete(self, kind: str, name: str, grace_s: int | None = None) -> None:
        del self.objects[kind, name]


@pytest.fixture
def cluster() -> FakeCluster:
    """One with a champion and a candidate."""
    cluster = FakeCluster()
    for name in ("pet-r1", "pet-r2"):
        cluster.put(deployment_manifests(spec_of(name), SETTINGS, ["engine"])[0])
    cluster.put(live_service(spec_of("pet-r1"), "tunegate"))
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
    cluster.put(deployment_manifests(spec_of("pet-r2"), SETTINGS, ["engine"])[1])
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
