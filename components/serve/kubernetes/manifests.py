"""The Kubernetes objects of one deployment, as they are applied.

A deployment `pet-r1` is a Deployment `pet-r1` of engines, a Deployment `pet-r1-router` of routers
that find the engines by their labels, a Service `pet-r1` in front of the routers, and a
PodDisruptionBudget and a NetworkPolicy for each. The live Service of a model name is one more; its
selector names the champion's routers.
"""

from collections.abc import Sequence
from typing import Any

from components.serve.kubernetes.cluster import API_VERSIONS
from components.serve.kubernetes.engine_pod import AdapterSource, engine_pod
from components.serve.kubernetes.labels import (
    MANAGED_BY,
    MODEL,
    OWNED,
    SPEC,
    Component,
    labels,
    selector,
)
from components.serve.kubernetes.network import engine_traffic, router_traffic
from components.serve.kubernetes.router_pod import ROUTER_PORT_NAME, router_pod
from components.serve.spec import ServingSpec
from components.settings import ClusterSettings

Manifest = dict[str, Any]


def deployment_manifests(
    spec: ServingSpec,
    settings: ClusterSettings,
    engine_command: Sequence[str],
    source: AdapterSource = "init-container",
) -> list[Manifest]:
    """Return everything that a deployment is made of; the engines' Deployment, which tells the spec, first.

    The number of engines is not in it: that belongs to `scale_manifest` alone, so that an autoscaler can
    be handed it.
    """
    pod = engine_pod(spec, settings, engine_command, source)
    engines = _deployment(spec, "engine", settings, spec.name, {SPEC: spec.model_dump_json()}, pod)
    router = _deployment(
        spec,
        "router",
        settings,
        router_name(spec.name),
        {},
        router_pod(spec, settings),
        settings.router_replicas,
    )
    return [
        engines,
        router,
        _policy(spec, "engine", settings, spec.name, engine_traffic(spec, settings)),
        _policy(spec, "router", settings, router_name(spec.name), router_traffic(spec, settings)),
        _service(spec, settings),
        _budget(spec, "engine", settings, spec.name),
        _budget(spec, "router", settings, router_name(spec.name)),
    ]


def scale_manifest(name: str, namespace: str, replicas: int) -> Manifest:
    """Return what sets the number of engines and nothing else."""
    return _object("Deployment", name, namespace, {}) | {"spec": {"replicas": replicas}}


def live_service(spec: ServingSpec, namespace: str) -> Manifest:
    """Return the Service that clients of a model name know, sending them to a deployment's routers."""
    own = {MANAGED_BY: OWNED, MODEL: spec.model_name, "app.kubernetes.io/component": "live"}
    return _object("Service", service_name(spec.model_name), namespace, own) | {
        "spec": {"type": "ClusterIP", "selector": selector(spec.name, "router"), "ports": [_PORT]}
    }


def service_name(name: str) -> str:
    """Return the name of the Service of a deployment or a model name: a DNS-1035 label.

    All else may be called `7b-pet`; a Service has to start with a letter. Two that get the same name are
    told apart by their labels: the second one is refused.
    """
    return name if name[0].isalpha() else f"m{name}"[:63].rstrip("-")


def router_name(name: str) -> str:
    """Return the name of the routers' Deployment."""
    return f"{name}-router"


_PORT = {"name": "http", "port": 80, "targetPort": ROUTER_PORT_NAME, "protocol": "TCP"}


def _object(
    kind: str, name: str, namespace: str, own: dict[str, str], annotations: dict[str, str] | None = None
) -> Manifest:
    metadata: Manifest = {"name": name, "namespace": namespace}
    if own:
        metadata["labels"] = own
    if annotations:
        metadata["annotations"] = annotations
    return {"apiVersion": API_VERSIONS[kind], "kind": kind, "metadata": metadata}


def _deployment(
    spec: ServingSpec,
    component: Component,
    settings: ClusterSettings,
    name: str,
    annotations: dict[str, str],
    pod: Manifest,
    replicas: int | None = None,
) -> Manifest:
    body: Manifest = {
        "selector": {"matchLabels": selector(spec.name, component)},
        "revisionHistoryLimit": 2,
        "progressDeadlineSeconds": settings.max_start_s + 60,
        # A replica is taken away only when another has taken its place.
        "strategy": {"type": "RollingUpdate", "rollingUpdate": {"maxUnavailable": 0, "maxSurge": 1}},
        "template": {"metadata": {"labels": labels(spec, component)}, "spec": pod},
    }
    if replicas is not None:
        body["replicas"] = replicas
    return _object("Deployment", name, settings.namespace, labels(spec, component), annotations) | {
        "spec": body
    }


def _service(spec: ServingSpec, settings: ClusterSettings) -> Manifest:
    return _object("Service", service_name(spec.name), settings.namespace, labels(spec, "router")) | {
        "spec": {"type": "ClusterIP", "selector": selector(spec.name, "router"), "ports": [_PORT]}
    }


def _budget(spec: ServingSpec, component: Component, settings: ClusterSettings, name: str) -> Manifest:
    """Allow a node to be drained, one replica at a time."""
    return _object("PodDisruptionBudget", name, settings.namespace, labels(spec, component)) | {
        "spec": {"maxUnavailable": 1, "selector": {"matchLabels": selector(spec.name, component)}}
    }


def _policy(
    spec: ServingSpec, component: Component, settings: ClusterSettings, name: str, traffic: Manifest
) -> Manifest:
    """Refuse all traffic of some pods but what is named."""
    return _object("NetworkPolicy", name, settings.namespace, labels(spec, component)) | {
        "spec": {
            "podSelector": {"matchLabels": selector(spec.name, component)},
            "policyTypes": ["Ingress", "Egress"],
            **traffic,
        }
    }
