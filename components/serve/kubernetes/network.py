"""Whom engines and routers may talk to: what a NetworkPolicy of each lets through, all else refused.

Prompts, answers and adapters stay in the namespace: an engine hears its own routers, and sends to nobody
but DNS and the address ranges of the setting `egress`. A router has to reach the API server, whose addresses
only the setting `api_server` can tell: without it, it may reach anybody at that port. Clients reach a
router's port for requests; its metrics and probes have another one, which is monitoring's alone. Neither
takes orders: the API server tells a router its replicas.
"""

from collections.abc import Iterable
from ipaddress import IPv4Network, IPv6Network
from typing import Any

from components.serve.kubernetes.labels import selector
from components.serve.kubernetes.pod import ENGINE_PORT, METRICS_PORT, ROUTER_PORT
from components.serve.spec import ServingSpec
from components.settings import ClusterSettings

Traffic = dict[str, Any]

API_SERVER_PORTS = (443, 6443)
# Where NodeLocal DNSCache listens on each node, which is in no namespace.
NODE_DNS = "169.254.20.10/32"

_DNS: Traffic = {
    "to": [{"namespaceSelector": {}}, {"ipBlock": {"cidr": NODE_DNS}}],
    "ports": [{"protocol": "UDP", "port": 53}, {"protocol": "TCP", "port": 53}],
}


def engine_traffic(spec: ServingSpec, settings: ClusterSettings) -> Traffic:
    """Return the rules of a deployment's engines; what fetches their adapters is in the same pods."""
    routers = {"podSelector": {"matchLabels": selector(spec.name, "router")}}
    egress = [_DNS]
    if settings.egress:
        egress.append({"to": _ranges(settings.egress)})
    return {
        "ingress": [
            {"from": [routers], "ports": _tcp(ENGINE_PORT)},
            *_metrics(settings, ENGINE_PORT),
        ],
        "egress": egress,
    }


def router_traffic(spec: ServingSpec, settings: ClusterSettings) -> Traffic:
    """Return the rules of a deployment's routers."""
    clients: list[Traffic] = [{"podSelector": {}}]
    if settings.client_namespaces:
        clients.append({"namespaceSelector": {"matchLabels": settings.client_namespaces}})
    clients += _ranges(settings.client_ranges)
    engines = {"podSelector": {"matchLabels": selector(spec.name, "engine")}}
    api_server: Traffic = {"ports": _tcp(*API_SERVER_PORTS)}
    if settings.api_server:
        api_server["to"] = _ranges(settings.api_server)
    return {
        "ingress": [
            {"from": clients, "ports": _tcp(ROUTER_PORT)},
            *_metrics(settings, METRICS_PORT),
        ],
        "egress": [{"to": [engines], "ports": _tcp(ENGINE_PORT)}, _DNS, api_server],
    }


def _metrics(settings: ClusterSettings, port: int) -> list[Traffic]:
    if not settings.monitoring_namespaces:
        return []
    readers = {"namespaceSelector": {"matchLabels": settings.monitoring_namespaces}}
    return [{"from": [readers], "ports": _tcp(port)}]


def _tcp(*ports: int) -> list[Traffic]:
    return [{"protocol": "TCP", "port": port} for port in ports]


def _ranges(networks: Iterable[IPv4Network | IPv6Network]) -> list[Traffic]:
    return [{"ipBlock": {"cidr": str(network)}} for network in networks]
