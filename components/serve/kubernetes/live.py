"""The live Service of a model name: whose it is, and whether it sends to a deployment's routers."""

import time
from typing import Any

from components.errors import InvalidInput, NotReady
from components.serve import probe
from components.serve.kubernetes.cluster import Cluster
from components.serve.kubernetes.labels import (
    COMPONENT,
    INSTANCE,
    MANAGED_BY,
    MODEL,
    OWNED,
    as_query,
    is_of_model,
    label,
    left_alone,
    selector,
)
from components.serve.kubernetes.manifests import live_service, service_name
from components.serve.kubernetes.pod_state import is_ready
from components.serve.spec import ServingSpec

SWITCH_TIMEOUT_S = 30
WAY_PATIENCE_S = 5


def live_url(model_name: str, namespace: str) -> str:
    """Return the base URL (without `/v1`) of a live Service."""
    return f"http://{service_name(model_name)}.{namespace}.svc"


def find_live(cluster: Cluster, model_name: str) -> dict[str, Any] | None:
    """Return the live Service of a model name, if there is one.

    Raises:
        InvalidInput: Somebody else has one of that name.
    """
    found = cluster.get("Service", service_name(model_name))
    if found is not None and not is_of_model(found, model_name):
        raise InvalidInput(f"live endpoint of {model_name}", [left_alone(found)])
    return found


def live_model(cluster: Cluster, name: str) -> str:
    """Return the model name whose live traffic a deployment takes; empty: none."""
    for service in cluster.list("Service", as_query({MANAGED_BY: OWNED, COMPONENT: "live"})):
        if sends_to(service) == name:
            return label(service, MODEL)
    return ""


def sends_to(service: dict[str, Any]) -> str:
    """Return the deployment that a live Service names; empty where somebody has edited that away."""
    return str((service["spec"].get("selector") or {}).get(INSTANCE, ""))


def switch_live(cluster: Cluster, spec: ServingSpec) -> None:
    """Send the live traffic of the deployment's model name to it, and wait until that is so.

    Raises:
        InvalidInput: Somebody else has a Service of that name.
        NotReady: The Service was changed, but still sends elsewhere.
    """
    is_new = find_live(cluster, spec.model_name) is None
    cluster.apply(live_service(spec, cluster.namespace))
    _wait_switched(cluster, spec)
    if is_new:
        wait_reachable(live_url(spec.model_name, cluster.namespace))


def _wait_switched(cluster: Cluster, spec: ServingSpec) -> None:
    """Wait until the live Service names the routers of a deployment and no others."""
    deadline = time.monotonic() + SWITCH_TIMEOUT_S
    name = service_name(spec.model_name)
    while True:
        pods = cluster.list("Pod", as_query(selector(spec.name, "router")))
        routers = {(pod.get("status") or {}).get("podIP", "") for pod in pods if is_ready(pod)}
        found = cluster.get("Endpoints", name) or {}
        subsets = found.get("subsets") or []
        serving = {address["ip"] for subset in subsets for address in subset.get("addresses") or []}
        if serving and serving <= routers:
            return
        if time.monotonic() > deadline:
            raise NotReady(
                f"deployment {spec.name}: the live Service {name} has not switched to it within "
                f"{SWITCH_TIMEOUT_S} s; it sends to {', '.join(sorted(serving)) or 'nobody'}"
            )
        time.sleep(0.1)


def wait_reachable(url: str) -> None:
    """Give the cluster's DNS and nodes a moment to learn the way; from outside the cluster there is none."""
    deadline = time.monotonic() + WAY_PATIENCE_S
    while not probe.is_up(url):
        if time.monotonic() > deadline:
            return
        time.sleep(0.1)
