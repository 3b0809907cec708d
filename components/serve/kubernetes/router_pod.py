"""The pod of one router, which finds the engines of its deployment by their labels."""

from typing import Any

from components.serve.kubernetes.engine_pod import (
    CONTAINER_SECURITY,
    POD_SECURITY,
    environment,
    spread,
    without_empty,
)
from components.serve.kubernetes.labels import as_query, selector
from components.serve.kubernetes.pod import ENGINE_PORT, METRICS_PORT, ROUTER_PORT
from components.serve.spec import ServingSpec
from components.settings import ClusterSettings

# Not the name of the engines' port: a PodMonitor picks ports of all our pods by their names.
ROUTER_PORT_NAME, METRICS_PORT_NAME = "requests", "metrics"
ROUTER = ("python", "-m", "components.router.cluster")
SERVICE_ACCOUNT = "tunegate-router"  # may list and watch the pods of its namespace
# A node that hears late of its end goes on sending new connections to it: as long as any come, it stays.
QUIET_S = 5
ENDING_S = 2  # for a router's end itself, after its last request


def router_pod(spec: ServingSpec, settings: ClusterSettings) -> dict[str, Any]:
    """Return the pod's spec."""
    pod: dict[str, Any] = {
        "containers": [_router(spec, settings)],
        "securityContext": POD_SECURITY,
        "serviceAccountName": SERVICE_ACCOUNT,
        "enableServiceLinks": False,
        "terminationGracePeriodSeconds": settings.drain_s,
        "topologySpreadConstraints": spread(spec.name, "router"),
        "priorityClassName": settings.priority_class,
        "imagePullSecrets": [{"name": name} for name in settings.image_pull_secrets],
        "volumes": [{"name": "tmp", "emptyDir": {}}],
    }
    return without_empty(pod)


def _router(spec: ServingSpec, settings: ClusterSettings) -> dict[str, Any]:
    def asks(path: str, **times: int) -> dict[str, Any]:
        # Not at the clients' port: what they send there does not keep a probe waiting.
        return {"httpGet": {"path": path, "port": METRICS_PORT_NAME}, "timeoutSeconds": 2, **times}

    options = {
        "--selector": as_query(selector(spec.name, "engine")),
        "--namespace": settings.namespace,
        "--engine-port": str(ENGINE_PORT),
        "--port": str(ROUTER_PORT),
        "--metrics-port": str(METRICS_PORT),
        "--max-model-len": str(spec.max_model_len),
        "--drain-s": str(settings.drain_s - ENDING_S),
        "--quiet-s": str(QUIET_S),
    }
    return {
        "name": "router",
        "image": settings.control_image,
        "command": [*ROUTER, *(f"{name}={value}" for name, value in options.items())],
        "env": environment({"HOME": "/tmp"}),
        "ports": [
            {"name": ROUTER_PORT_NAME, "containerPort": ROUTER_PORT, "protocol": "TCP"},
            {"name": METRICS_PORT_NAME, "containerPort": METRICS_PORT, "protocol": "TCP"},
        ],
        "resources": {
            "requests": {"cpu": settings.router_cpu, "memory": "128Mi"},
            "limits": {"memory": "1Gi"},
        },
        "securityContext": CONTAINER_SECURITY,
        "terminationMessagePolicy": "FallbackToLogsOnError",
        # Ready when an engine has answered it.
        "readinessProbe": asks("/ready", periodSeconds=1, failureThreshold=2),
        # Late instead of a start-up probe: it is up in a second or two, and one state less is told by a node.
        "livenessProbe": asks("/live", initialDelaySeconds=60, periodSeconds=5, failureThreshold=6),
        "volumeMounts": [{"name": "tmp", "mountPath": "/tmp"}],
    }
