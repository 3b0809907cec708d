"""What is selected by label is really there: in these manifests, or in what the back end applies."""

import json
from typing import Any

import pytest

from components.serve.kubernetes.pod import ENGINE_PORT
from components.settings import ClusterSettings
from tests.manifests.rendering import (
    MANIFESTS,
    Manifest,
    everything,
    find,
    matches,
    pod_of,
    rendered,
    served,
)

WORKLOADS = [m for m in [*everything(), *served()] if m["kind"] in ("Deployment", "StatefulSet")]
POLICIES = [m for m in everything() if m["kind"] == "NetworkPolicy"]
OF_OTHERS = {"stages"}  # pods that Kubeflow Pipelines makes


def picked(selector: Manifest, namespace: str = "") -> list[Manifest]:
    """Return the workloads whose pods a selector picks, in one namespace or in all."""
    return [
        w
        for w in WORKLOADS
        if namespace in ("", w["metadata"]["namespace"])
        and matches(selector, w["spec"]["template"]["metadata"]["labels"])
    ]


def ports(workload: Manifest) -> dict[str, int]:
    return {p["name"]: p["containerPort"] for c in pod_of(workload)["containers"] for p in c.get("ports", [])}


@pytest.mark.parametrize(
    "service", [m for m in everything() if m["kind"] == "Service"], ids=lambda m: m["metadata"]["name"]
)
def test_a_service_has_its_pods_and_their_port(service: Manifest) -> None:
    (workload,) = picked({"matchLabels": service["spec"]["selector"]}, service["metadata"]["namespace"])

    assert workload["metadata"]["name"] == service["metadata"]["name"]
    assert {port["targetPort"] for port in service["spec"]["ports"]} <= ports(workload).keys()


@pytest.mark.parametrize("policy", POLICIES, ids=lambda m: m["metadata"]["name"])
def test_a_policy_picks_pods_that_there_are(policy: Manifest) -> None:
    spec = policy["spec"]
    namespace = policy["metadata"]["namespace"]
    chosen = picked(spec["podSelector"], namespace)

    assert bool(chosen) == (policy["metadata"]["name"] not in OF_OTHERS)
    if not spec["podSelector"]:  # of the whole namespace
        return
    for rule in spec.get("ingress", []):
        wanted = {port["port"] for port in rule["ports"]}
        assert all(wanted <= ports(workload).keys() for workload in chosen)
    for rule in spec.get("egress", []):
        for peer in rule.get("to", []):
            if "podSelector" in peer and "namespaceSelector" not in peer:
                (other,) = picked(peer["podSelector"], namespace)
                assert {port["port"] for port in rule["ports"]} <= ports(other).keys()


def test_nothing_is_open_that_no_policy_opens() -> None:
    everyone = find("network", "NetworkPolicy", "default-deny")["spec"]

    assert everyone == {"podSelector": {}, "policyTypes": ["Ingress", "Egress"]}


def test_the_database_answers_mlflow_alone() -> None:
    spec = find("mlflow", "NetworkPolicy", "mlflow-database")["spec"]

    assert "Egress" in spec["policyTypes"] and "egress" not in spec
    assert len(spec["ingress"]) == 1
    (peer,) = spec["ingress"][0]["from"]
    assert [w["metadata"]["name"] for w in picked(peer["podSelector"])] == ["mlflow"]


def test_policies_of_the_metrics_open_no_other_way_to_the_engines() -> None:
    for policy in rendered("monitoring"):
        if policy["kind"] == "NetworkPolicy":
            assert policy["spec"]["policyTypes"] == ["Ingress"]
            (rule,) = policy["spec"]["ingress"]
            (peer,) = rule["from"]
            assert {"namespaceSelector", "podSelector"} == peer.keys()


def test_prometheus_finds_the_engines() -> None:
    spec = find("monitoring", "PodMonitor", "tunegate-engines")["spec"]
    (engines,) = picked(spec["selector"])
    (endpoint,) = spec["podMetricsEndpoints"]

    assert engines["metadata"]["name"] == "pet-r1"
    assert ports(engines)[endpoint["port"]] == ENGINE_PORT


def test_prometheus_finds_the_routers_by_their_services_once_more_for_the_champion() -> None:
    spec = find("monitoring", "ServiceMonitor", "tunegate-routers")["spec"]
    services = [
        m for m in served() if m["kind"] == "Service" and matches(spec["selector"], m["metadata"]["labels"])
    ]
    (endpoint,) = spec["endpoints"]

    component = "app.kubernetes.io/component"
    assert sorted(s["metadata"]["labels"][component] for s in services) == ["live", "router"]
    for service in services:
        (routers,) = picked({"matchLabels": service["spec"]["selector"]})
        assert endpoint["targetPort"] in ports(routers)


@pytest.mark.parametrize("kind", ["PodMonitor", "ServiceMonitor"])
def test_series_are_labelled_from_labels_that_there_are(kind: str) -> None:
    (monitor,) = [m for m in rendered("monitoring") if m["kind"] == kind]
    (endpoint,) = monitor["spec"].get("podMetricsEndpoints") or monitor["spec"]["endpoints"]
    labels = {
        f"__meta_kubernetes_{place}_label_{key.replace('.', '_').replace('/', '_').replace('-', '_')}"
        for m in served()
        for place, found in (
            ("service", m["metadata"]["labels"] if m["kind"] == "Service" else {}),
            ("pod", m["spec"].get("template", {"metadata": {"labels": {}}})["metadata"]["labels"]),
        )
        for key in found
    }

    assert {r["targetLabel"] for r in endpoint["relabelings"]} == {"component", "deployment", "model"}
    for relabeling in endpoint["relabelings"]:
        assert set(relabeling["sourceLabels"]) <= labels


def test_the_dashboard_is_found_by_the_sidecar_of_grafana() -> None:
    config = find("monitoring", "ConfigMap", "tunegate-dashboard")

    assert config["metadata"]["labels"]["grafana_dashboard"] == "1"
    assert json.loads(config["data"]["dashboard.json"])["title"] == "Tunegate serving"


def gpu_settings() -> ClusterSettings:
    path = MANIFESTS / "overlays/gpu/serving.env"
    return ClusterSettings(_env_file=path, control_image="reg/control", serve_image="reg/serve")  # type: ignore[call-arg]


def test_engines_go_to_the_gpu_nodes_for_serving() -> None:
    engine = pod_of(served(gpu_settings())[0])
    pool = find("overlays/gpu", "NodePool", "tunegate-serving")["spec"]["template"]

    assert all(tolerated(taint, engine["tolerations"]) for taint in pool["spec"]["taints"])
    promised: dict[str, list[Any]] = {key: [value] for key, value in pool["metadata"]["labels"].items()}
    promised |= {r["key"]: r["values"] for r in pool["spec"]["requirements"]}
    for key, value in engine["nodeSelector"].items():
        assert value in promised[key]


def test_pods_without_a_gpu_stay_off_the_gpu_nodes() -> None:
    routers = pod_of(served(gpu_settings())[1])

    for pool in (m for m in rendered("overlays/gpu") if m["kind"] == "NodePool"):
        assert not all(
            tolerated(t, routers.get("tolerations", [])) for t in pool["spec"]["template"]["spec"]["taints"]
        )


def tolerated(taint: Manifest, tolerations: list[Manifest]) -> bool:
    return any(
        t["key"] == taint["key"]
        and t.get("effect") in (None, taint["effect"])
        and (t.get("operator") == "Exists" or t.get("value") == taint["value"])
        for t in tolerations
    )


def test_nodes_that_serve_are_not_emptied_to_save_money() -> None:
    pool = find("overlays/gpu", "NodePool", "tunegate-serving")["spec"]
    capacity = [
        r["values"] for r in pool["template"]["spec"]["requirements"] if r["key"].endswith("capacity-type")
    ]

    assert pool["disruption"]["consolidationPolicy"] == "WhenEmpty"
    assert capacity == [["on-demand"]]
    for found in (m for m in rendered("overlays/gpu") if m["kind"] == "NodePool"):
        assert int(found["spec"]["limits"]["nvidia.com/gpu"]) > 0
        reference = found["spec"]["template"]["spec"]["nodeClassRef"]
        node_class = find("overlays/gpu", reference["kind"], reference["name"])
        assert node_class["apiVersion"] == f"{reference['group']}/v1"
