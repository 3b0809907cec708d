"""How far a roll-out is, and when it is given up."""

import time
from collections.abc import Iterable, Sequence

from components.serve.kubernetes.pod_state import Found
from components.serve.kubernetes.trouble import Trouble, find_trouble


class RolloutWatch:
    """Remembers since when a trouble has been seen, and gives up when its time is over.

    Args:
        schedule_patience_s: How long a pod may find no node.
    """

    def __init__(self, schedule_patience_s: float) -> None:
        self._schedule_patience_s = schedule_patience_s
        self._since: dict[tuple[str, str], float] = {}

    def hopeless(self, pods: Iterable[Found], events: Sequence[Found]) -> Trouble | None:
        """Return a trouble that has lasted too long, if there is one."""
        now, seen = time.monotonic(), set()
        for pod in pods:
            trouble = find_trouble(pod, events, self._schedule_patience_s)
            if trouble is None:
                continue
            key = (trouble.pod, trouble.container)
            seen.add(key)
            if now - self._since.setdefault(key, now) >= trouble.patience_s:
                return trouble
        self._since = {key: since for key, since in self._since.items() if key in seen}
        return None


def is_rolled_out(deployment: Found | None, enough: int | None = None) -> bool:
    """Return whether the pods of a Deployment are the newest, and ready.

    Args:
        deployment: As the API server has it.
        enough: So many that are ready will do, where an autoscaler wants more; nothing: all have to be.
    """
    if deployment is None:
        return False
    status, wanted = deployment.get("status") or {}, int(deployment["spec"].get("replicas", 1))
    if int(status.get("observedGeneration", 0)) < int(deployment["metadata"]["generation"]):
        return False
    there, newest, ready = (
        int(status.get(kind, 0)) for kind in ("replicas", "updatedReplicas", "readyReplicas")
    )
    if enough is not None and wanted > enough:
        return there == newest and ready >= enough
    return there == newest == ready == wanted


def refused_pods(deployment: Found) -> str:
    """Return why the API server does not let a Deployment make pods (quota, policy); empty if it does."""
    for condition in (deployment.get("status") or {}).get("conditions") or []:
        if condition["type"] == "ReplicaFailure" and condition["status"] == "True":
            return str(condition.get("message") or condition.get("reason"))
    return ""


def refusal_hint(why: str) -> str:
    """Return what to do about a refusal of pods, where it is known."""
    if "serviceaccount" in why:
        return "; kubectl apply -k manifests/base makes the accounts"
    return "; check TUNEGATE_CLUSTER_PRIORITY_CLASS" if "PriorityClass" in why else ""
