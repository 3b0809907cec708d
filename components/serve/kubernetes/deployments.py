"""What stands in the cluster for a deployment: found, scaled and removed."""

import time
from collections.abc import Sequence

from components.errors import InvalidInput, TunegateError
from components.serve.backend import Replica, ReplicaState
from components.serve.kubernetes.cluster import SCALE_MANAGER, Cluster
from components.serve.kubernetes.labels import (
    COMPONENT,
    INSTANCE,
    MANAGED_BY,
    OWNED,
    SPEC,
    Component,
    as_query,
    label,
    left_alone,
    selector,
)
from components.serve.kubernetes.manifests import router_name, scale_manifest
from components.serve.kubernetes.pod import ENGINE_PORT
from components.serve.kubernetes.pod_state import Found, is_ending, is_ready, runs_nothing
from components.serve.kubernetes.trouble import find_trouble
from components.serve.spec import ServingSpec

POLL_S = 0.25
MISSED_S = 120  # until a kubelet that missed a deletion finds it: it looks at each pod every minute or so
KINDS = ("Deployment", "Service", "PodDisruptionBudget", "NetworkPolicy")


class Deployments:
    """The deployments of one namespace; what others have put there is left alone.

    Args:
        cluster: The namespace.
        drain_s: How long a pod may take to end.
    """

    def __init__(self, cluster: Cluster, drain_s: int) -> None:
        self._cluster, self._drain_s = cluster, drain_s

    def specs(self) -> list[ServingSpec]:
        """Return what is deployed, running or stopped."""
        ours = as_query({MANAGED_BY: OWNED, COMPONENT: "engine"})
        return [spec_of(found) for found in self._cluster.list("Deployment", ours) if _tells_spec(found)]

    def find_spec(self, name: str) -> ServingSpec | None:
        """Return the spec of a deployment; nothing where its engines are gone or tell none."""
        found = self._cluster.get("Deployment", name)
        return spec_of(found) if found and _tells_spec(found) else None

    def engines(self, name: str) -> Found:
        """Return the Deployment of a deployment's engines.

        Raises:
            TunegateError: There is no such deployment.
        """
        found = self._cluster.get("Deployment", name)
        if found is None or not (_is_ours(found, name) and _tells_spec(found)):
            known = ", ".join(sorted(spec.name for spec in self.specs())) or "none"
            raise TunegateError(f"deployment {name!r}: there is no such one; deployed here: {known}")
        return found

    def wanted(self, name: str) -> int:
        """Return how many engines are to run."""
        return _wanted(self.engines(name))

    def pods(self, name: str, component: Component | None = None) -> list[Found]:
        """Return the pods of a deployment's engines or routers, or of both."""
        wanted = selector(name, component) if component else {MANAGED_BY: OWNED, INSTANCE: name}
        return self._cluster.list("Pod", as_query(wanted))

    def replicas(self, name: str) -> list[Replica]:
        """Return the replicas of a deployment and their states."""
        engines = self.engines(name)
        wanted, pods = _wanted(engines), self.pods(name, "engine")
        # Pods that are ending count only where none is to be left; elsewhere others take their place.
        shown = [pod for pod in pods if wanted == 0 or not is_ending(pod)]
        found = [
            Replica(pod["metadata"]["name"], _state(pod), _url(pod))
            for pod in sorted(shown, key=lambda pod: str(pod["metadata"]["name"]))
        ]
        coming = [Replica(f"{name}-{index}", "starting", "") for index in range(len(found), wanted)]
        laid_out = max(spec_of(engines).replicas, wanted)
        stopped = [
            Replica(f"{name}-{index}", "stopped", "") for index in range(len(found) + len(coming), laid_out)
        ]
        return [*found, *coming, *stopped]

    def set_replicas(self, name: str, replicas: int) -> None:
        """Set the number of engines, whoever set it last: an autoscaler does, and keeps it as its own."""
        manifest = scale_manifest(name, self._cluster.namespace, replicas)
        self._cluster.apply(manifest, SCALE_MANAGER, force=True)

    def refuse_foreign(self, spec: ServingSpec, manifests: Sequence[Found]) -> bool:
        """Refuse what is not ours or was deployed otherwise; return whether it stands here already."""
        problems, known = [], False
        for manifest in manifests:
            found = self._cluster.get(manifest["kind"], manifest["metadata"]["name"])
            if found is None:
                continue
            known = True
            if not _is_ours(found, spec.name):
                problems.append(left_alone(found))
            elif found["metadata"].get("annotations", {}).get(SPEC, spec.model_dump_json()) != (
                spec.model_dump_json()
            ):
                raise TunegateError(f"deployment {spec.name}: stands here with another spec; retire it first")
        if problems:
            raise InvalidInput(f"deployment {spec.name}", problems)
        return known

    def remove(self, name: str) -> None:
        """Remove routers, then engines: those still finish what the routers have begun."""
        routers = self._cluster.get("Deployment", router_name(name))
        if routers is not None and _is_ours(routers, name):
            self._cluster.delete("Deployment", router_name(name))
            self._wait_gone(name, "router")
        for kind in KINDS:
            for found in self._cluster.list(kind, as_query({MANAGED_BY: OWNED, INSTANCE: name})):
                self._cluster.delete(kind, found["metadata"]["name"])
        self._wait_gone(name, "engine")

    def _wait_gone(self, name: str, component: Component) -> None:
        deadline = time.monotonic() + self._drain_s + MISSED_S
        # Where no pod could be made, a ReplicaSet is left that goes on trying until it is deleted, too.
        while left := (pods := self.pods(name, component)) or self._replica_sets(name, component):
            for pod in filter(runs_nothing, pods):
                # A kubelet that waits for a volume gives it two minutes; one that has ended a pod without
                # saying so says it a minute later.
                self._cluster.delete("Pod", pod["metadata"]["name"], grace_s=0)
            if time.monotonic() > deadline:
                names = ", ".join(found["metadata"]["name"] for found in left)
                raise TunegateError(
                    f"deployment {name}: was deleted, but {names} did not end; is the node up?"
                )
            time.sleep(POLL_S)

    def _replica_sets(self, name: str, component: Component) -> list[Found]:
        return self._cluster.list("ReplicaSet", as_query(selector(name, component)))


def spec_of(engines: Found) -> ServingSpec:
    """Return what the Deployment of a deployment's engines was applied from."""
    return ServingSpec.model_validate_json(engines["metadata"]["annotations"][SPEC])


def _tells_spec(engines: Found) -> bool:
    """Say whether these are the engines of a deployment, as we have applied them."""
    return SPEC in (engines["metadata"].get("annotations") or {})


def _is_ours(found: Found, name: str) -> bool:
    return label(found, MANAGED_BY) == OWNED and label(found, INSTANCE) == name


def _wanted(engines: Found) -> int:
    return int(engines["spec"].get("replicas", 1))


def _state(pod: Found) -> ReplicaState:
    if is_ready(pod):
        return "ready"
    trouble = find_trouble(pod, [], 0)
    return "failed" if trouble and not is_ending(pod) else "starting"


def _url(pod: Found) -> str:
    address = (pod.get("status") or {}).get("podIP", "")
    return f"http://{address}:{ENGINE_PORT}" if address else ""
