"""The pod of one engine: the adapter fetched and verified first, then vLLM."""

from collections.abc import Sequence
from typing import Any, Literal

from components.engine.api_keys import DIRECTORY_VARIABLE
from components.engine.config import engine_environment
from components.serve.kubernetes.labels import Component, selector
from components.serve.kubernetes.pod import (
    ADAPTER_VARIABLE,
    ADAPTER_VOLUME,
    DRAIN_VARIABLE,
    ENGINE_PORT,
    FETCHED_FOLDER,
    MOUNTED_FOLDER,
    READY_PATIENCE_S,
    SPEC_VARIABLE,
)
from components.serve.spec import ServingSpec
from components.settings import ClusterSettings, load_settings

API_KEYS, CACHE = "/api-keys", "/cache"
REGISTRY_CONFIG = "/registry"
REPLICA = ("python", "-m", "components.serve.kubernetes.replica")
AdapterSource = Literal["image-volume", "init-container"]
ADAPTER_FOLDERS = {"image-volume": MOUNTED_FOLDER, "init-container": FETCHED_FOLDER}
USER_ID = 10001
TOKEN = "HF_TOKEN"  # read by the hub's client
GPU_PRODUCT = "nvidia.com/gpu.product"  # set by NVIDIA's GPU feature discovery

CONTAINER_SECURITY = {
    "allowPrivilegeEscalation": False,
    "readOnlyRootFilesystem": True,
    "capabilities": {"drop": ["ALL"]},
}
POD_SECURITY = {
    "runAsNonRoot": True,
    "runAsUser": USER_ID,
    "runAsGroup": USER_ID,
    "fsGroup": USER_ID,
    "seccompProfile": {"type": "RuntimeDefault"},
}


def engine_pod(
    spec: ServingSpec, settings: ClusterSettings, command: Sequence[str], source: AdapterSource
) -> dict[str, Any]:
    """Return the pod's spec.

    Args:
        spec: What is served.
        settings: Of the cluster.
        command: What the engine's container runs.
        source: How the adapter gets into the pod.
    """
    node_selector = dict(settings.node_selector)
    if settings.gpu_type:
        node_selector[GPU_PRODUCT] = settings.gpu_type
    pod: dict[str, Any] = {
        "initContainers": [_adapter(spec, settings, source)],
        "containers": [_engine(spec, settings, command, source)],
        "volumes": _volumes(spec, settings, source),
        "securityContext": POD_SECURITY,
        "automountServiceAccountToken": False,
        # A Service named vllm would set VLLM_PORT=tcp://..., which vLLM takes for its own setting.
        "enableServiceLinks": False,
        "terminationGracePeriodSeconds": settings.drain_s,
        "topologySpreadConstraints": spread(spec.name, "engine"),
        "tolerations": settings.tolerations,
        "nodeSelector": node_selector,
        "priorityClassName": settings.priority_class,
        "imagePullSecrets": [{"name": name} for name in settings.image_pull_secrets],
    }
    return without_empty(pod)


def mounts_image(deployment: dict[str, Any]) -> bool:
    """Return whether the pods of a Deployment mount the adapter's image; an API server may have cut it."""
    volumes = deployment["spec"]["template"]["spec"].get("volumes") or []
    return any(volume["name"] == "adapter" and "image" in volume for volume in volumes)


def spread(name: str, component: Component) -> list[dict[str, Any]]:
    """Put pods on different nodes where there are several; on one node, all the same."""
    return [
        {
            "maxSkew": 1,
            "topologyKey": "kubernetes.io/hostname",
            "whenUnsatisfiable": "ScheduleAnyway",
            "labelSelector": {"matchLabels": selector(name, component)},
        }
    ]


def without_empty(pod: dict[str, Any]) -> dict[str, Any]:
    """Leave out what is empty: the API server drops it, and it would then look like a change."""
    return {key: value for key, value in pod.items() if value not in ([], {}, "")}


def environment(variables: dict[str, str]) -> list[dict[str, str]]:
    """Return variables as a container takes them."""
    return [{"name": name, "value": value} for name, value in variables.items()]


def _adapter(spec: ServingSpec, settings: ClusterSettings, source: AdapterSource) -> dict[str, Any]:
    """Verify the adapter, and pull it by digest before where it is not mounted.

    What is wrong with it stands in the log's last lines.
    """
    variables = {
        SPEC_VARIABLE: spec.model_dump_json(),
        ADAPTER_VARIABLE: ADAPTER_FOLDERS[source],
        "TUNEGATE_HOME": "/tmp/tunegate",
        "TUNEGATE_INSECURE_REGISTRIES": load_settings().insecure_registries,
        "TUNEGATE_MAX_ADAPTER_BYTES": str(load_settings().max_adapter_bytes),
        "HOME": "/tmp",
        **settings.engine_env,
    }
    is_mounted = source == "image-volume"
    volume: dict[str, Any] = {"name": "adapter", "mountPath": ADAPTER_VOLUME}
    mounts = [
        volume | {"readOnly": True} if is_mounted else volume,
        {"name": "tmp", "mountPath": "/tmp"},
    ]
    if _pulls_with_secret(settings, source):
        variables["DOCKER_CONFIG"] = REGISTRY_CONFIG
        mounts.append({"name": "registry", "mountPath": REGISTRY_CONFIG, "readOnly": True})
    return {
        "name": "adapter",
        "image": settings.control_image,
        "command": [*REPLICA, "verify" if is_mounted else "fetch"],
        "env": environment(variables),
        "resources": {"requests": {"cpu": "100m", "memory": "256Mi"}, "limits": {"memory": "1Gi"}},
        "securityContext": CONTAINER_SECURITY,
        "terminationMessagePolicy": "FallbackToLogsOnError",
        "volumeMounts": mounts,
    }


def _engine(
    spec: ServingSpec, settings: ClusterSettings, command: Sequence[str], source: AdapterSource
) -> dict[str, Any]:
    resources: dict[str, Any] = {
        "requests": {"cpu": settings.cpu, "memory": settings.memory},
        "limits": {"memory": settings.memory},  # of memory only: a limit of cores makes tokens late
    }
    if settings.gpus:
        resources["requests"][settings.gpu_resource] = str(settings.gpus)
        resources["limits"][settings.gpu_resource] = str(settings.gpus)
    mounts: list[dict[str, Any]] = [
        {"name": "adapter", "mountPath": ADAPTER_VOLUME, "readOnly": True},
        {"name": "cache", "mountPath": CACHE},
        {"name": "shm", "mountPath": "/dev/shm"},
        {"name": "tmp", "mountPath": "/tmp"},
    ]
    if settings.api_keys_secret:
        mounts.append({"name": "api-keys", "mountPath": API_KEYS, "readOnly": True})
    alive = {"httpGet": {"path": "/health", "port": "http"}, "timeoutSeconds": 5}
    return {
        "name": "engine",
        "image": settings.serve_image,
        "command": list(command),
        "env": [*environment(_engine_variables(spec, settings, source)), *_hub_token(settings)],
        "ports": [{"name": "http", "containerPort": ENGINE_PORT, "protocol": "TCP"}],
        "resources": resources,
        "securityContext": CONTAINER_SECURITY,
        "terminationMessagePolicy": "FallbackToLogsOnError",
        # Lists the adapter and has answered a completion, asked once a start: a process for each probe of a
        # whole life would cost a replica a tenth of a core. It waits by itself; a period is a second long.
        "startupProbe": {
            "exec": {"command": [*REPLICA, "ready"]},
            "periodSeconds": 1,
            "timeoutSeconds": READY_PATIENCE_S + 60,
            "failureThreshold": max(1, settings.max_start_s // READY_PATIENCE_S),
        },
        "readinessProbe": alive | {"periodSeconds": 1, "failureThreshold": 2},
        "livenessProbe": alive | {"periodSeconds": 10, "failureThreshold": 6},
        "lifecycle": {"preStop": {"exec": {"command": [*REPLICA, "drain"]}}},
        "volumeMounts": mounts,
    }


def _engine_variables(spec: ServingSpec, settings: ClusterSettings, source: AdapterSource) -> dict[str, str]:
    device: Literal["cpu", "cuda"] = "cuda" if settings.gpus else "cpu"
    caches = {
        "HF_HOME": f"{CACHE}/huggingface",
        "TORCHINDUCTOR_CACHE_DIR": f"{CACHE}/torchinductor",
        "TRITON_CACHE_DIR": f"{CACHE}/triton",
        "TUNEGATE_HOME": f"{CACHE}/tunegate",
        "VLLM_CACHE_ROOT": f"{CACHE}/vllm",
    }
    own = {
        SPEC_VARIABLE: spec.model_dump_json(),
        ADAPTER_VARIABLE: ADAPTER_FOLDERS[source],
        DRAIN_VARIABLE: str(settings.drain_s - 5),
        "TUNEGATE_DEVICE": device,
        "HOME": "/tmp",
        "USER": "tunegate",  # torch asks for it, and the image knows no name for the user's number
    }
    if settings.api_keys_secret:
        own[DIRECTORY_VARIABLE] = API_KEYS
    return own | caches | engine_environment(device) | settings.engine_env


def _hub_token(settings: ClusterSettings) -> list[dict[str, Any]]:
    if not settings.hub_secret:
        return []
    return [{"name": TOKEN, "valueFrom": {"secretKeyRef": {"name": settings.hub_secret, "key": TOKEN}}}]


def _pulls_with_secret(settings: ClusterSettings, source: AdapterSource) -> bool:
    return bool(settings.registry_secret) and source == "init-container"


def _volumes(spec: ServingSpec, settings: ClusterSettings, source: AdapterSource) -> list[dict[str, Any]]:
    adapter: dict[str, Any] = {"emptyDir": {}}
    if source == "image-volume":
        adapter = {"image": {"reference": spec.image, "pullPolicy": "IfNotPresent"}}
    cache: dict[str, Any] = {"emptyDir": {}}
    if settings.cache_claim:
        cache = {"persistentVolumeClaim": {"claimName": settings.cache_claim}}
    volumes = [
        {"name": "adapter"} | adapter,
        {"name": "cache"} | cache,
        {"name": "shm", "emptyDir": {"medium": "Memory", "sizeLimit": settings.shared_memory}},
        {"name": "tmp", "emptyDir": {}},
    ]
    if settings.api_keys_secret:
        volumes.append({"name": "api-keys", "secret": {"secretName": settings.api_keys_secret}})
    if _pulls_with_secret(settings, source):
        key = {"key": ".dockerconfigjson", "path": "config.json"}
        volumes.append(
            {"name": "registry", "secret": {"secretName": settings.registry_secret, "items": [key]}}
        )
    return volumes
