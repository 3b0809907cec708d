"""The autoscaler of champions: for each model name one ScaledObject of KEDA, which follows the live traffic.

It is named as the live Service and names the champion's engines; while it does, their number is KEDA's.
"""

from typing import Any

from components.errors import TunegateError
from components.serve.kubernetes.cluster import API_VERSIONS, SCALE_MANAGER, Cluster
from components.serve.kubernetes.labels import (
    COMPONENT,
    MANAGED_BY,
    MODEL,
    OWNED,
    as_query,
    is_of_model,
    left_alone,
)
from components.serve.kubernetes.manifests import service_name
from components.serve.spec import ServingSpec
from components.settings import ClusterSettings

Found = dict[str, Any]

KIND = "ScaledObject"
HELD = (
    "autoscaling.keda.sh/paused-replicas"  # an annotation: KEDA keeps to this number until it is taken away
)
CACHE_IN_USE = "0.6"  # share of a replica's KV cache
# More at once as soon as requests wait; fewer one by one, and not before a lull is sure to last.
_BEHAVIOUR = {
    "scaleUp": {
        "stabilizationWindowSeconds": 30,
        # A replica needs about that long to start.
        "policies": [{"type": "Percent", "value": 100, "periodSeconds": 120}],
    },
    "scaleDown": {
        "stabilizationWindowSeconds": 900,
        "policies": [{"type": "Pods", "value": 1, "periodSeconds": 300}],
    },
}


class Scaler:
    """Keeps the autoscalers of one namespace.

    Args:
        cluster: The namespace.
        settings: Whether champions are scaled, and how far.
    """

    def __init__(self, cluster: Cluster, settings: ClusterSettings) -> None:
        self._cluster = cluster
        self._settings = settings

    def problems(self, model_name: str) -> list[str]:
        """Return what keeps the champion of a model name from being scaled as the settings want it."""
        wanted = self._settings.autoscale_max_replicas
        if not wanted:
            return []
        if not self._cluster.knows(KIND):
            return [
                f"TUNEGATE_CLUSTER_AUTOSCALE_MAX_REPLICAS: got {wanted}, but the cluster has no "
                f"{API_VERSIONS[KIND]} {KIND}; install KEDA (https://keda.sh/docs/latest/deploy), or set it "
                "to 0"
            ]
        found = self._cluster.get(KIND, service_name(model_name))
        return [] if found is None or is_of_model(found, model_name) else [left_alone(found)]

    def try_follow(self, spec: ServingSpec) -> None:
        """Raise what `follow` would, and change nothing."""
        if self._settings.autoscale_max_replicas:
            self._cluster.apply(scaled_object(spec, self._settings), dry_run=True)

    def follow(self, spec: ServingSpec) -> None:
        """Scale a champion instead of the one before it; or nobody, where champions are not scaled."""
        if self._settings.autoscale_max_replicas:
            self._cluster.apply(scaled_object(spec, self._settings))
            self._hold(spec.name, None)
        else:
            for found in self._ours({MODEL: spec.model_name}):
                self._cluster.delete(KIND, found["metadata"]["name"])

    def forget(self, name: str) -> None:
        """Delete what scales a deployment."""
        for found in self._scaling(name):
            self._cluster.delete(KIND, found["metadata"]["name"])

    def most_replicas(self, name: str) -> int:
        """Return how far a deployment may be scaled; 0: nothing scales it."""
        return max((int(found["spec"]["maxReplicaCount"]) for found in self._scaling(name)), default=0)

    def hold(self, name: str, replicas: int) -> None:
        """Keep a deployment that is scaled at a number of replicas, 0 for instance.

        Raises:
            Conflict: Somebody else holds it at another number.
        """
        self._hold(name, replicas)

    def let_go(self, name: str) -> None:
        """Let a deployment be scaled again.

        Raises:
            TunegateError: Somebody else holds it at a number of replicas.
        """
        for held in self._hold(name, None):
            place = held["metadata"]
            raise TunegateError(
                f"deployment {name}: {KIND} {place['name']} is held at {place['annotations'][HELD]} replicas "
                f"by somebody else; kubectl annotate scaledobject {place['name']} "
                f"--namespace {place['namespace']} {HELD}- lets it go"
            )

    def _hold(self, name: str, replicas: int | None) -> list[Found]:
        """Set or take away our annotation; return those that are held all the same."""
        wanted = None if replicas is None else str(replicas)
        still_held = []
        for found in self._scaling(name):
            if _held_at(found) != wanted:
                where = found["metadata"]["name"], found["metadata"]["namespace"]
                found = self._cluster.apply(_hold_manifest(*where, wanted), SCALE_MANAGER)
            if _held_at(found) is not None:
                still_held.append(found)
        return still_held

    def _scaling(self, name: str) -> list[Found]:
        return [found for found in self._ours({}) if found["spec"]["scaleTargetRef"]["name"] == name]

    def _ours(self, wanted: dict[str, str]) -> list[Found]:
        """Return our ScaledObjects, also those of settings that have changed since."""
        if not self._cluster.knows(KIND):
            return []
        return self._cluster.list(KIND, as_query({MANAGED_BY: OWNED, **wanted}))


def scaled_object(spec: ServingSpec, settings: ClusterSettings) -> Found:
    """Return what scales a champion: more replicas when requests wait, fewer when there is room for fewer.

    There is no fallback: while Prometheus does not answer, the number of replicas stays what it is.
    """
    # The label `deployment` is made by the PodMonitor of manifests/monitoring.
    of_deployment = f'{{namespace="{settings.namespace}", deployment="{spec.name}"}}'
    return {
        "apiVersion": API_VERSIONS[KIND],
        "kind": KIND,
        "metadata": {
            "name": service_name(spec.model_name),
            "namespace": settings.namespace,
            "labels": {MANAGED_BY: OWNED, MODEL: spec.model_name, COMPONENT: "live"},
        },
        "spec": {
            "scaleTargetRef": {"apiVersion": "apps/v1", "kind": "Deployment", "name": spec.name},
            "minReplicaCount": spec.replicas,
            "maxReplicaCount": max(spec.replicas, settings.autoscale_max_replicas),
            "pollingInterval": 15,
            "advanced": {"horizontalPodAutoscalerConfig": {"behavior": _BEHAVIOUR}},
            "triggers": [
                _trigger(
                    "waiting",
                    f"sum(vllm:num_requests_waiting{of_deployment})",
                    str(settings.autoscale_waiting),
                    settings,
                ),
                # That nothing waits does not say that a replica is spare: without this one, replicas that are
                # busy, but keep up, would be taken away.
                _trigger(
                    "cache-in-use", f"sum(vllm:kv_cache_usage_perc{of_deployment})", CACHE_IN_USE, settings
                ),
            ],
        },
    }


def _trigger(name: str, query: str, threshold: str, settings: ClusterSettings) -> Found:
    """Return a figure that is to be below a threshold for each replica."""
    return {
        "type": "prometheus",
        "name": name,
        "metricType": "AverageValue",
        "metadata": {
            "serverAddress": settings.autoscale_prometheus,
            "query": query,
            "threshold": threshold,
            "ignoreNullValues": "false",  # engines that are not scraped are no engines without work
        },
    }


def _hold_manifest(name: str, namespace: str, replicas: str | None) -> Found:
    metadata: Found = {"name": name, "namespace": namespace}
    if replicas is not None:
        metadata["annotations"] = {HELD: replicas}
    return {"apiVersion": API_VERSIONS[KIND], "kind": KIND, "metadata": metadata}


def _held_at(found: Found) -> str | None:
    held: str | None = (found["metadata"].get("annotations") or {}).get(HELD)
    return held
