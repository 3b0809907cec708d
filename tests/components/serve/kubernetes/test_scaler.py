"""What scales a champion: applied behind the traffic, held for a stop, and never left naming nobody."""

from collections.abc import Callable
from typing import Any

import pytest

from components.errors import InvalidInput, TunegateError
from components.serve.kubernetes import backend as backend_module
from components.serve.kubernetes.backend import KubernetesBackend
from components.serve.kubernetes.cluster import Conflict
from components.serve.kubernetes.manifests import deployment_manifests, live_service
from components.serve.kubernetes.scaler import KIND, Scaler, scaled_object
from components.serve.spec import ServingSpec
from components.settings import ClusterSettings, load_cluster_settings
from tests.components.serve.kubernetes.fake_cluster import FakeCluster, backend_on
from tests.components.serve.specs import spec_of
from tests.manifests.validation import VERSIONS, validate

Found = dict[str, Any]
ON = ClusterSettings(
    control_image="c",
    serve_image="s",
    autoscale_max_replicas=8,
    autoscale_prometheus="http://prometheus-operated.monitoring:9090",
    autoscale_waiting=6,
)
OFF = ClusterSettings(control_image="c", serve_image="s")


@pytest.fixture
def cluster() -> FakeCluster:
    return FakeCluster()


@pytest.fixture
def scaler(cluster: FakeCluster) -> Scaler:
    return Scaler(cluster, ON)  # type: ignore[arg-type]


BackendOf = Callable[..., KubernetesBackend]


@pytest.fixture
def backend_of(state: Any, cluster: FakeCluster, monkeypatch: pytest.MonkeyPatch) -> BackendOf:
    """Make a back end on the fake cluster; deployments that are put there are ready."""

    def make(settings: ClusterSettings = ON) -> KubernetesBackend:
        return backend_on(cluster, settings)

    def switch(cluster: FakeCluster, spec: ServingSpec) -> None:
        cluster.apply(live_service(spec, cluster.namespace))

    monkeypatch.setattr(backend_module, "switch_live", switch)
    return make


def put(cluster: FakeCluster, spec: ServingSpec, running: int) -> None:
    """Put a deployment on the cluster whose replicas are ready."""
    deployment = deployment_manifests(spec, ON, ["engine"])[0]
    deployment["spec"]["replicas"] = running
    cluster.apply(deployment)
    for index in range(running):
        pod: Found = {
            "kind": "Pod",
            "metadata": {
                "name": f"{spec.name}-{index}",
                "labels": deployment["spec"]["template"]["metadata"]["labels"],
            },
            "status": {"podIP": f"10.0.0.{index}", "conditions": [{"type": "Ready", "status": "True"}]},
        }
        cluster.apply(pod)
    cluster.changes.clear()


@pytest.mark.parametrize("version", VERSIONS)
def test_what_is_applied_is_valid(version: str) -> None:
    validate(scaled_object(spec_of(), ON), version)


def test_the_champions_engines_are_scaled_by_what_waits_for_them() -> None:
    scaled = scaled_object(spec_of(), ON)

    assert scaled["metadata"]["name"] == "pet"
    assert scaled["spec"]["scaleTargetRef"] == {
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "name": "pet-r1",
    }
    assert (scaled["spec"]["minReplicaCount"], scaled["spec"]["maxReplicaCount"]) == (2, 8)
    waiting, cache = (trigger["metadata"] for trigger in scaled["spec"]["triggers"])
    assert waiting["query"] == 'sum(vllm:num_requests_waiting{namespace="tunegate", deployment="pet-r1"})'
    assert cache["query"].endswith('{namespace="tunegate", deployment="pet-r1"})')
    assert waiting["threshold"] == "6"
    assert waiting["serverAddress"] == cache["serverAddress"] == ON.autoscale_prometheus
    assert "fallback" not in scaled["spec"]


def test_a_deployment_that_is_larger_than_the_most_keeps_its_size() -> None:
    scaled = scaled_object(spec_of(replicas=12), ON)["spec"]

    assert (scaled["minReplicaCount"], scaled["maxReplicaCount"]) == (12, 12)


@pytest.mark.parametrize(
    ("model_name", "name"), [("pet", "pet"), ("1pet", "m1pet")], ids=["a letter first", "a digit first"]
)
def test_it_is_named_as_the_live_service(model_name: str, name: str) -> None:
    spec = spec_of(f"{model_name}-r1", model_name=model_name)

    assert scaled_object(spec, ON)["metadata"]["name"] == name
    assert live_service(spec, "tunegate")["metadata"]["name"] == name


@pytest.mark.parametrize(
    ("values", "words"),
    [
        ({"MAX_REPLICAS": "8"}, r"AUTOSCALE_PROMETHEUS: got '', wanted the url of a prometheus"),
        ({"MAX_REPLICAS": "8", "PROMETHEUS": "prom:9090"}, "AUTOSCALE_PROMETHEUS: got 'prom:9090'"),
        ({"MAX_REPLICAS": "-1", "WAITING": "0"}, r"(?s)MAX_REPLICAS: got '-1'.*AUTOSCALE_WAITING: got '0'"),
    ],
    ids=["no Prometheus", "no URL", "out of range"],
)
def test_settings_that_can_not_be_are_told(
    state: Any, monkeypatch: pytest.MonkeyPatch, values: dict[str, str], words: str
) -> None:
    monkeypatch.setenv("TUNEGATE_CLUSTER_CPU", "lots")
    for name, value in values.items():
        monkeypatch.setenv(f"TUNEGATE_CLUSTER_AUTOSCALE_{name}", value)

    with pytest.raises(InvalidInput, match=words) as told:
        load_cluster_settings()
    assert "TUNEGATE_CLUSTER_CPU: got 'lots'" in str(told.value)


def test_no_prometheus_is_needed_where_nothing_is_scaled(state: Any) -> None:
    assert load_cluster_settings().autoscale_max_replicas == 0


def test_a_cluster_without_keda_is_told_what_to_install() -> None:
    (problem,) = Scaler(FakeCluster(lacks=[KIND]), ON).problems("pet")  # type: ignore[arg-type]

    assert "AUTOSCALE_MAX_REPLICAS: got 8, but the cluster has no keda.sh/v1alpha1 ScaledObject" in problem
    assert "install KEDA (https://keda.sh" in problem
    assert Scaler(FakeCluster(lacks=[KIND]), OFF).problems("pet") == []  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("labels", "owner"),
    [
        ({}, "somebody else"),
        ({"app.kubernetes.io/managed-by": "Helm"}, "Helm"),
        ({"app.kubernetes.io/managed-by": "tunegate", "tunegate.io/model": "other"}, "tunegate"),
    ],
    ids=["nobody's", "of Helm", "of another model"],
)
def test_somebody_elses_scaler_is_left_alone_and_no_traffic_switched(
    backend_of: BackendOf, cluster: FakeCluster, labels: dict[str, str], owner: str
) -> None:
    put(cluster, spec_of(), 2)
    cluster.objects[KIND, "pet"] = {
        "kind": KIND,
        "metadata": {"name": "pet", "labels": labels},
        "spec": {"scaleTargetRef": {"name": "pet-r1"}},
    }

    for refused in (lambda: backend_of().promote("pet-r1"), lambda: backend_of().apply(spec_of("pet-r2"))):
        with pytest.raises(InvalidInput, match=f"ScaledObject pet: belongs to {owner} and is left alone"):
            refused()
    assert cluster.changes == []


def test_a_promotion_moves_the_traffic_and_then_the_scaler(
    backend_of: BackendOf, cluster: FakeCluster
) -> None:
    put(cluster, spec_of("pet-r1"), 2)
    put(cluster, spec_of("pet-r2"), 2)
    backend = backend_of()

    backend.promote("pet-r1")
    assert cluster.changes == ["apply Service pet", "apply ScaledObject pet"]
    backend.promote("pet-r2")

    assert cluster.objects[KIND, "pet"]["spec"]["scaleTargetRef"]["name"] == "pet-r2"
    backend.retire("pet-r1")
    assert (KIND, "pet") in cluster.objects


def test_a_conflict_is_told_before_the_traffic_is_switched(
    backend_of: BackendOf, cluster: FakeCluster, monkeypatch: pytest.MonkeyPatch
) -> None:
    put(cluster, spec_of(), 2)
    take = cluster.apply

    def refuse(manifest: Found, *more: Any, **options: Any) -> Found:
        if manifest["kind"] == KIND:
            raise Conflict("somebody else manages .spec.maxReplicaCount")
        return take(manifest, *more, **options)

    monkeypatch.setattr(cluster, "apply", refuse)
    with pytest.raises(Conflict, match="maxReplicaCount"):
        backend_of().promote("pet-r1")

    assert cluster.changes == []


def test_a_champion_that_waits_for_more_than_its_own_replicas_takes_the_traffic_back(
    backend_of: BackendOf, cluster: FakeCluster
) -> None:
    put(cluster, spec_of(), 2)
    cluster.objects["Deployment", "pet-r1"]["spec"]["replicas"] = 3  # KEDA has asked for one more

    backend_of().promote("pet-r1")

    assert [replica.state for replica in backend_of().replicas("pet-r1")] == ["ready", "ready", "starting"]
    assert "apply Service pet" in cluster.changes


def test_one_that_names_a_retired_deployment_is_not_left(backend_of: BackendOf, cluster: FakeCluster) -> None:
    put(cluster, spec_of(), 0)
    Scaler(cluster, ON).follow(spec_of())  # type: ignore[arg-type]  # its live Service was deleted by hand

    backend_of(OFF).retire("pet-r1")

    assert cluster.objects == {}


def test_a_promotion_without_autoscaling_ends_that_of_the_model_alone(
    backend_of: BackendOf, cluster: FakeCluster, scaler: Scaler
) -> None:
    scaler.follow(spec_of())
    scaler.follow(spec_of("cat-r1", model_name="cat"))
    put(cluster, spec_of("pet-r2"), 2)

    backend_of(OFF).promote("pet-r2")

    assert [name for kind, name in cluster.objects if kind == KIND] == ["cat"]


def test_a_stop_holds_the_scaler_whatever_the_settings_are_now(
    backend_of: BackendOf, cluster: FakeCluster, scaler: Scaler, monkeypatch: pytest.MonkeyPatch
) -> None:
    put(cluster, spec_of(), 5)
    cluster.apply(live_service(spec_of(), "tunegate"))
    scaler.follow(spec_of())
    backend = backend_of(OFF)
    monkeypatch.setattr(backend, "wait_ready", lambda *_: None)
    cluster.changes.clear()

    backend.scale("pet-r1", 0)
    assert (cluster.held("pet"), cluster.replicas("pet-r1")) == ("0", 0)
    assert cluster.changes == [
        "apply ScaledObject pet",
        "apply Deployment pet-r1",
    ]  # held before it is stopped

    backend.restore("pet", 1)
    assert (cluster.held("pet"), cluster.replicas("pet-r1")) == (None, 2)


def test_a_champion_that_was_scaled_up_is_not_made_smaller(
    backend_of: BackendOf, cluster: FakeCluster, scaler: Scaler, monkeypatch: pytest.MonkeyPatch
) -> None:
    put(cluster, spec_of(), 5)
    cluster.apply(live_service(spec_of(), "tunegate"))
    scaler.follow(spec_of())
    backend = backend_of()
    monkeypatch.setattr(backend, "wait_ready", lambda *_: None)

    backend.restore("pet", 1)
    backend.apply(spec_of())

    assert cluster.replicas("pet-r1") == 5


@pytest.mark.parametrize(
    ("replicas", "held"), [(1, "1"), (2, None), (8, None)], ids=["fewer than its own", "its own", "the most"]
)
def test_a_champion_is_held_below_its_own_number_only(
    backend_of: BackendOf, cluster: FakeCluster, scaler: Scaler, replicas: int, held: str | None
) -> None:
    put(cluster, spec_of(), 2)
    scaler.follow(spec_of())

    backend_of().scale("pet-r1", replicas)

    assert (cluster.held("pet"), cluster.replicas("pet-r1")) == (held, replicas)


@pytest.mark.parametrize(("scaled", "most"), [(True, 8), (False, 2)], ids=["champion", "candidate"])
def test_more_replicas_than_may_be_are_refused(
    backend_of: BackendOf, cluster: FakeCluster, scaler: Scaler, scaled: bool, most: int
) -> None:
    put(cluster, spec_of(), 2)
    scaler.follow(spec_of() if scaled else spec_of("pet-r0"))

    with pytest.raises(InvalidInput, match=f"got {most + 1}, wanted 0 to {most}"):
        backend_of().scale("pet-r1", most + 1)


def test_the_hold_of_somebody_else_is_told_and_not_taken_away(
    backend_of: BackendOf, cluster: FakeCluster, scaler: Scaler
) -> None:
    put(cluster, spec_of(), 3)
    scaler.follow(spec_of())
    cluster.annotate("pet", "3")

    with pytest.raises(
        TunegateError, match=r"held at 3 replicas by somebody else; kubectl annotate .*replicas- "
    ):
        backend_of().scale("pet-r1", 2)
    with pytest.raises(Conflict):
        backend_of().scale("pet-r1", 0)
    scaler.follow(spec_of("pet-r2"))  # a promotion goes on

    assert (cluster.held("pet"), cluster.replicas("pet-r1")) == ("3", 3)


def test_a_promotion_lets_go_what_a_stop_holds(cluster: FakeCluster, scaler: Scaler) -> None:
    scaler.follow(spec_of("pet-r1"))
    scaler.hold("pet-r1", 0)

    scaler.follow(spec_of("pet-r2"))

    assert cluster.held("pet") is None
