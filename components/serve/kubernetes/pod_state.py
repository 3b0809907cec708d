"""How far a pod is, out of what the API server knows about it."""

from typing import Any

Found = dict[str, Any]


def is_ready(pod: Found) -> bool:
    """Return whether a pod takes requests."""
    return condition(pod, "Ready").get("status") == "True" and not is_ending(pod)


def is_ending(pod: Found) -> bool:
    """Return whether a pod was deleted and is still there, or has ended for good."""
    return bool(pod["metadata"].get("deletionTimestamp")) or _phase(pod) in ("Failed", "Succeeded")


def runs_nothing(pod: Found) -> bool:
    """Return whether nothing of a pod needs time to end.

    No container of it, of those before the engine neither, was ever started; or it was deleted, and they have
    all ended.
    """
    if any("running" in (status.get("state") or {}) for status in _all_statuses(pod)):
        return False
    never_ran = _phase(pod) == "Pending" and not has_started(pod)
    return never_ran or bool(pod["metadata"].get("deletionTimestamp"))


def has_started(pod: Found) -> bool:
    """Return whether a container of a pod was ever started: its volumes and its network are there."""
    return any(
        {"running", "terminated"} & set(status.get("state") or {})
        or status.get("lastState")
        or status.get("restartCount")
        for status in _all_statuses(pod)
    )


def condition(pod: Found, kind: str) -> Found:
    """Return one condition of a pod, such as `PodScheduled`; empty where it has none of the kind."""
    conditions = (pod.get("status") or {}).get("conditions") or []
    return next((found for found in conditions if found["type"] == kind), {})


def pending_statuses(pod: Found) -> list[Found]:
    """Return the statuses of the containers that a pod may be waiting for, in the order of their start."""
    status = pod.get("status") or {}
    first = [s for s in status.get("initContainerStatuses") or [] if not s.get("ready")]  # ready: it is done
    return [*first, *(status.get("containerStatuses") or [])]


def _all_statuses(pod: Found) -> list[Found]:
    status = pod.get("status") or {}
    return [*(status.get("initContainerStatuses") or []), *(status.get("containerStatuses") or [])]


def _phase(pod: Found) -> str:
    return str((pod.get("status") or {}).get("phase", ""))
