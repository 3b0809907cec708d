"""Who may talk to whom: what the NetworkPolicies of a deployment let through, asked packet by packet."""

from ipaddress import ip_address, ip_network
from typing import Any

import pytest

from components.serve.kubernetes.labels import selector
from components.serve.kubernetes.manifests import deployment_manifests
from components.serve.spec import ServingSpec
from components.settings import ClusterSettings
from tests.components.serve.specs import spec_of

MONITORING, SUPPORT, OTHER = {"name": "monitoring"}, {"team": "support"}, {"name": "other"}


@pytest.fixture
def spec() -> ServingSpec:
    return spec_of()


def policies(spec: ServingSpec, **changes: Any) -> dict[str, Any]:
    """Return the rules of each kind of pod."""
    settings = ClusterSettings(control_image="control", serve_image="serve", **changes)
    found = [m for m in deployment_manifests(spec, settings, ["engine"]) if m["kind"] == "NetworkPolicy"]
    return {m["spec"]["podSelector"]["matchLabels"]["app.kubernetes.io/component"]: m["spec"] for m in found}


class Pod:
    """Somebody in the cluster; `namespace` are its namespace's labels, None for our own namespace."""

    def __init__(self, labels: dict[str, str], namespace: dict[str, str] | None = None) -> None:
        self.labels, self.namespace = labels, namespace


def fits(peer: dict[str, Any], who: Pod | str) -> bool:
    """Say whether a peer of a rule is meant, as the API reference of NetworkPolicyPeer defines it."""
    if isinstance(who, str):
        return "ipBlock" in peer and ip_address(who) in ip_network(peer["ipBlock"]["cidr"])
    if "ipBlock" in peer:
        return False
    if "namespaceSelector" in peer:
        wanted = peer["namespaceSelector"].get("matchLabels", {})
        assert "podSelector" not in peer
        return wanted.items() <= (who.namespace or {}).items()
    return who.namespace is None and peer["podSelector"].get("matchLabels", {}).items() <= who.labels.items()


def passes(rules: list[dict[str, Any]], peers: str, who: Pod | str, port: int) -> bool:
    """Say whether traffic is let through; a rule without peers or ports is for all of them."""
    return any(
        (peers not in rule or any(fits(peer, who) for peer in rule[peers]))
        and ("ports" not in rule or port in {p["port"] for p in rule["ports"]})
        for rule in rules
    )


ROUTER, ENGINE = Pod(selector("pet-r1", "router")), Pod(selector("pet-r1", "engine"))
THEIR_ROUTER, THEIR_ENGINE = Pod(selector("pet-r2", "router")), Pod(selector("pet-r2", "engine"))
CLIENT, PROMETHEUS = Pod({"app": "shop"}), Pod({"app": "prometheus"}, MONITORING)
HELPDESK, STRANGER, DNS = Pod({}, SUPPORT), Pod({}, OTHER), Pod({}, {"name": "kube-system"})
REGISTRY, OFFICE = "203.0.113.9", "198.51.100.7"

EVERYTHING = {
    "egress": ["203.0.113.0/24"],
    "client_namespaces": SUPPORT,
    "client_ranges": ["198.51.100.0/24"],
    "monitoring_namespaces": MONITORING,
    "api_server": ["10.96.0.1/32"],
}


@pytest.mark.parametrize(
    ("component", "direction", "who", "port", "by_default", "with_settings"),
    [
        pytest.param("engine", "ingress", ROUTER, 8000, True, True, id="its router asks an engine"),
        pytest.param("engine", "ingress", THEIR_ROUTER, 8000, False, False, id="another's router doesn't"),
        pytest.param("engine", "ingress", CLIENT, 8000, False, False, id="a client doesn't, past the router"),
        pytest.param("engine", "ingress", ENGINE, 8000, False, False, id="engines are not asked by engines"),
        pytest.param("engine", "ingress", PROMETHEUS, 8000, False, True, id="an engine's metrics"),
        pytest.param("engine", "ingress", STRANGER, 8000, False, False, id="a stranger asks an engine"),
        pytest.param("engine", "egress", DNS, 53, True, True, id="an engine asks for names"),
        pytest.param("engine", "egress", "169.254.20.10", 53, True, True, id="and its node"),
        pytest.param("engine", "egress", "8.8.8.8", 53, False, False, id="and nobody outside"),
        pytest.param("engine", "egress", REGISTRY, 443, False, True, id="the registry"),
        pytest.param("engine", "egress", "198.51.100.1", 443, False, False, id="the world"),
        pytest.param("engine", "egress", CLIENT, 8000, False, False, id="an engine sends to no pod"),
        pytest.param("engine", "egress", "10.96.0.1", 443, False, False, id="nor to the API server"),
        pytest.param("router", "ingress", CLIENT, 8000, True, True, id="a client asks a router"),
        pytest.param("router", "ingress", HELPDESK, 8000, False, True, id="one of another namespace"),
        pytest.param("router", "ingress", STRANGER, 8000, False, False, id="a stranger doesn't"),
        pytest.param("router", "ingress", OFFICE, 8000, False, True, id="an address outside the cluster"),
        pytest.param("router", "ingress", PROMETHEUS, 29000, False, True, id="a router's metrics"),
        pytest.param("router", "ingress", PROMETHEUS, 8000, False, False, id="monitoring asks no model"),
        pytest.param("router", "ingress", CLIENT, 29000, False, False, id="a client at the inner port"),
        pytest.param("router", "ingress", HELPDESK, 29000, False, False, id="nor one of another namespace"),
        pytest.param("router", "ingress", OFFICE, 29000, False, False, id="nor one outside the cluster"),
        pytest.param("router", "ingress", THEIR_ROUTER, 29000, False, False, id="nor another router"),
        pytest.param("engine", "ingress", OFFICE, 8000, False, False, id="nobody outside asks an engine"),
        pytest.param("router", "egress", ENGINE, 8000, True, True, id="a router asks its engine"),
        pytest.param("router", "egress", THEIR_ENGINE, 8000, False, False, id="not another's"),
        pytest.param("router", "egress", "10.96.0.1", 443, True, True, id="the API server"),
        pytest.param("router", "egress", "192.0.2.7", 6443, True, False, id="any, where none is named"),
        pytest.param("router", "egress", REGISTRY, 80, False, False, id="nobody else"),
        pytest.param("router", "egress", DNS, 53, True, True, id="a router asks for names"),
    ],
)
def test_traffic(
    spec: ServingSpec,
    component: str,
    direction: str,
    who: Pod | str,
    port: int,
    by_default: bool,
    with_settings: bool,
) -> None:
    peers = {"ingress": "from", "egress": "to"}[direction]

    for settings, wanted in (({}, by_default), (EVERYTHING, with_settings)):
        policy = policies(spec, **settings)[component]
        assert direction.capitalize() in policy["policyTypes"]
        assert passes(policy[direction], peers, who, port) == wanted
