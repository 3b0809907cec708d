"""The champion's autoscaler on a real API server; KEDA itself is not there, nor is its work.

Where the cluster has no kind ScaledObject, a minimal one is made for these tests and deleted afterwards.
"""

import json
import time
from collections.abc import Iterator

import pytest
import yaml

from components.errors import InvalidInput, TunegateError
from components.serve.kubernetes.backend import KubernetesBackend
from components.serve.kubernetes.cluster import Cluster, Conflict
from components.serve.kubernetes.scaler import HELD
from components.serve.spec import ServingSpec
from tests.cluster.conftest import BackendOf, MakeSpec, kubectl

READY_S = 120
CRD = "scaledobjects.keda.sh"
OPEN = {"type": "object", "x-kubernetes-preserve-unknown-fields": True}
SCHEMA = {
    "type": "object",
    "required": ["spec"],
    "properties": {
        "spec": {**OPEN, "required": ["scaleTargetRef", "triggers"]},
        "status": OPEN,
    },
}


def has_kind() -> bool:
    return bool(kubectl("get", "crd", CRD, "--ignore-not-found"))


@pytest.fixture(scope="module")
def autoscaled(serving: pytest.MonkeyPatch) -> Iterator[None]:
    """Settings that want champions scaled."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("TUNEGATE_CLUSTER_AUTOSCALE_MAX_REPLICAS", "3")
        patch.setenv("TUNEGATE_CLUSTER_AUTOSCALE_PROMETHEUS", "http://prometheus.monitoring:9090")
        patch.setenv("TUNEGATE_CLUSTER_DRAIN_S", "10")
        yield


def test_a_cluster_without_keda_is_refused_before_anything_is_applied(
    autoscaled: None, backend_of: BackendOf, make_spec: MakeSpec, namespace: str
) -> None:
    if has_kind():
        pytest.skip("this cluster has the kind ScaledObject")
    words = r"has no keda\.sh/v1alpha1 ScaledObject; install KEDA"

    with pytest.raises(InvalidInput, match=words):
        backend_of().check("scaled", "org/base")
    with pytest.raises(InvalidInput, match=words):
        backend_of().apply(make_spec("scaled-r1", model_name="scaled", replicas=1))
    assert "scaled-r1" not in kubectl("get", "deployments", "--namespace", namespace)


@pytest.fixture(scope="module")
def kind() -> Iterator[None]:
    """The kind ScaledObject, which is deleted afterwards if it was not there."""
    if has_kind():
        yield
        return
    names = {"kind": "ScaledObject", "listKind": "ScaledObjectList", "plural": "scaledobjects"}
    version = {
        "name": "v1alpha1",
        "served": True,
        "storage": True,
        "subresources": {"status": {}},
        "schema": {"openAPIV3Schema": SCHEMA},
    }
    crd = {
        "apiVersion": "apiextensions.k8s.io/v1",
        "kind": "CustomResourceDefinition",
        "metadata": {"name": CRD},
        "spec": {
            "group": "keda.sh",
            "scope": "Namespaced",
            "names": names | {"singular": "scaledobject"},
            "versions": [version],
        },
    }
    kubectl("apply", "-f", "-", stdin=yaml.safe_dump(crd))
    try:
        kubectl("wait", "--for=condition=Established", f"crd/{CRD}", "--timeout=60s")
        yield
    finally:
        kubectl("delete", "crd", CRD, "--timeout=60s")


@pytest.fixture(scope="module")
def backend(autoscaled: None, kind: None, cluster: Cluster, backend_of: BackendOf) -> KubernetesBackend:
    """A back end that has its champions scaled, once the API server offers the kind."""
    deadline = time.monotonic() + 30
    while not cluster.knows("ScaledObject"):
        assert time.monotonic() < deadline
        time.sleep(0.2)
    return backend_of()


@pytest.fixture(scope="module")
def champion(backend: KubernetesBackend, make_spec: MakeSpec) -> ServingSpec:
    """A champion that is scaled."""
    spec = make_spec("scaled-r1", model_name="scaled", replicas=1)
    backend.apply(spec)
    backend.wait_ready(spec.name, READY_S)
    assert not scalers(backend._cluster)  # none scales a candidate
    backend.promote(spec.name)
    return spec


def scalers(cluster: Cluster) -> dict[str, str]:
    """Return which deployment each ScaledObject names."""
    return {
        found["metadata"]["name"]: found["spec"]["scaleTargetRef"]["name"]
        for found in cluster.list("ScaledObject")
    }


def held(cluster: Cluster) -> str | None:
    found = cluster.get("ScaledObject", "scaled") or {}
    value: str | None = (found["metadata"].get("annotations") or {}).get(HELD)
    return value


def replicas(cluster: Cluster, name: str) -> int:
    found = cluster.get("Deployment", name)
    assert found is not None
    return int(found["spec"]["replicas"])


def scale_as_an_autoscaler(namespace: str, name: str, wanted: int) -> None:
    """Set replicas as the HorizontalPodAutoscaler does on servers that say who it was (1.22 and newer)."""
    kubectl(
        *("patch", "deployment", name, "--namespace", namespace, "--type=merge"),
        *("--field-manager=kube-controller-manager", "-p", json.dumps({"spec": {"replicas": wanted}})),
    )


def test_the_scaler_names_the_champion_and_a_second_promotion_changes_nothing(
    backend: KubernetesBackend, cluster: Cluster, champion: ServingSpec
) -> None:
    assert scalers(cluster) == {"scaled": champion.name}
    before = cluster.get("ScaledObject", "scaled")

    backend.check("scaled", "org/base")
    backend.promote(champion.name)
    backend.apply(champion)

    assert cluster.get("ScaledObject", "scaled") == before
    assert before is not None and before["spec"]["maxReplicaCount"] == 3


def test_what_the_autoscaler_sets_stays_and_conflicts_with_nothing(
    backend: KubernetesBackend, cluster: Cluster, champion: ServingSpec, namespace: str
) -> None:
    scale_as_an_autoscaler(namespace, champion.name, 2)

    backend.apply(champion)
    backend.restore("scaled", READY_S)
    backend.promote(champion.name)
    assert replicas(cluster, champion.name) == 2
    backend.wait_ready(champion.name, READY_S)

    kubectl("scale", "deployment", champion.name, "--namespace", namespace, "--replicas=3")
    backend.apply(champion)
    assert replicas(cluster, champion.name) == 3


def test_a_stop_holds_the_scaler_and_a_restore_lets_it_go(
    backend: KubernetesBackend, cluster: Cluster, champion: ServingSpec, namespace: str
) -> None:
    scale_as_an_autoscaler(namespace, champion.name, 2)

    backend.scale(champion.name, 0)
    assert (held(cluster), replicas(cluster, champion.name)) == ("0", 0)
    backend.restore("scaled", READY_S)
    assert (held(cluster), replicas(cluster, champion.name)) == (None, 1)

    place = ("scaledobject", "scaled", "--namespace", namespace)
    kubectl("annotate", *place, f"{HELD}=3")
    with pytest.raises(Conflict, match="kubectl"):
        backend.scale(champion.name, 0)
    with pytest.raises(TunegateError, match="held at 3 replicas by somebody else"):
        backend.restore("scaled", READY_S)
    kubectl("annotate", *place, f"{HELD}-")
    backend.restore("scaled", READY_S)


def test_a_conflict_is_told_and_no_traffic_is_switched(
    backend: KubernetesBackend, cluster: Cluster, champion: ServingSpec, namespace: str
) -> None:
    place = ("scaledobject", "scaled", "--namespace", namespace, "--type=merge")
    kubectl("patch", *place, "--field-manager=platform-team", "-p", '{"spec": {"maxReplicaCount": 9}}')
    before = cluster.get("Service", "scaled")
    try:
        with pytest.raises(Conflict, match=r"maxReplicaCount: .*platform-team"):
            backend.promote(champion.name)
    finally:
        kubectl("patch", *place, "--field-manager=platform-team", "-p", '{"spec": {"maxReplicaCount": 3}}')
    assert cluster.get("Service", "scaled") == before


def test_the_scaler_follows_the_traffic_there_and_back_and_nothing_is_left(
    backend: KubernetesBackend,
    backend_of: BackendOf,
    cluster: Cluster,
    champion: ServingSpec,
    make_spec: MakeSpec,
    namespace: str,
) -> None:
    new = make_spec("scaled-r2", model_name="scaled", replicas=1)
    backend.apply(new)
    backend.wait_ready(new.name, READY_S)
    assert scalers(cluster) == {"scaled": champion.name}
    scale_as_an_autoscaler(namespace, champion.name, 2)

    backend.promote(new.name)
    assert scalers(cluster) == {"scaled": new.name}
    backend.apply(champion)  # a roll-back: it was scaled, and is to take the traffic as it is
    backend.promote(champion.name)
    assert scalers(cluster) == {"scaled": champion.name}
    assert replicas(cluster, champion.name) == 2
    backend.retire(new.name)
    assert scalers(cluster) == {"scaled": champion.name}

    kubectl("delete", "service", "scaled", "--namespace", namespace)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("TUNEGATE_CLUSTER_AUTOSCALE_MAX_REPLICAS", "0")
        backend_of().retire(champion.name)
    assert scalers(cluster) == {}
