"""Pods and events as the API server gives them."""

from typing import Any

Found = dict[str, Any]


def pod(*statuses: Found, **changes: Any) -> Found:
    engine = {
        "name": "engine",
        "resources": {"limits": {"memory": "4Gi"}},
        "startupProbe": {"failureThreshold": 2},
    }
    spec = {"containers": [engine]}
    conditions = changes.pop("conditions", [])
    status = {"phase": "Pending", "containerStatuses": list(statuses), "conditions": conditions}
    return {"metadata": {"name": "pet-x", **changes}, "spec": spec, "status": status}


def container(restarts: int = 0, last: Found | None = None, **state: Found) -> Found:
    return {
        "name": "engine",
        "image": "reg/serve@sha256:1",
        "restartCount": restarts,
        "state": state,
        "lastState": {"terminated": last} if last else {},
    }


def event(reason: str, message: str, name: str = "pet-x", at: str = "2026-01-01T00:00:00Z") -> Found:
    return {
        "reason": reason,
        "message": message,
        "involvedObject": {"kind": "Pod", "name": name},
        "lastTimestamp": at,
    }


UNSCHEDULABLE = {
    "type": "PodScheduled",
    "status": "False",
    "reason": "Unschedulable",
    "message": "0/1 nodes are available: 1 Insufficient nvidia.com/gpu.",
}
BACK_OFF = container(waiting={"reason": "ImagePullBackOff", "message": "Back-off pulling image"})
RUNNING = {"running": {}}
