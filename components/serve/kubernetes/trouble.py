"""Why a pod is not ready, out of what the API server knows about it."""

import re
from collections.abc import Sequence
from dataclasses import dataclass

from components.errors import NotReady
from components.serve.kubernetes.pod import NO_ACCESS, TRY_AGAIN, WRONG_INPUT
from components.serve.kubernetes.pod_state import (
    Found,
    condition,
    has_started,
    is_ending,
    is_ready,
    pending_statuses,
)

DEATHS_TO_GIVE_UP = 2
PASSING_PATIENCE_S = 60  # for what may pass: a registry that answers 500, a volume that is being attached
_PULL = ("ErrImagePull", "ImagePullBackOff", "InvalidImageName", "ErrImageNeverPull", "ImageInspectError")
_CREATE = ("CreateContainerConfigError", "CreateContainerError", "RunContainerError")
# What a registry says when asking again will not help.
_FINAL_PULL = (
    "not found",
    "manifest unknown",
    "unauthorized",
    "denied",
    "forbidden",
    "invalid",
    "couldn't parse",
    "http response to https",
    "no such host",
    "x509",
)
# How our own programs end in a pod: what that means, and how long it may go on.
_ENDINGS = {
    WRONG_INPUT: ("refused its input", 0),
    NO_ACCESS: (
        "the registry refused it; check the Secret that TUNEGATE_CLUSTER_REGISTRY_SECRET names: adapters "
        "are pulled with it",
        0,
    ),
    TRY_AGAIN: ("got no answer from the registry", PASSING_PATIENCE_S),
}
MISSING_PATIENCE_S = 5  # for what may be about to be made
_MISSING = re.compile(r'(?:secret|persistentvolumeclaim) "[^"]*" not found|non-existent secret key')
_VOLUME_SETTINGS = {
    "api-keys": "TUNEGATE_CLUSTER_API_KEYS_SECRET",
    "registry": "TUNEGATE_CLUSTER_REGISTRY_SECRET",
    "cache": "TUNEGATE_CLUSTER_CACHE_CLAIM",
}
_NODES_COMING = ("TriggeredScaleUp", "Nominated")  # cluster-autoscaler, Karpenter
_NO_PULL_SECRET = "FailedToRetrieveImagePullSecret"
_MOUNT = ("FailedMount", "FailedAttachVolume", "FailedCreatePodSandBox")
_REACHED_NOBODY = re.compile(
    r"can't be reached|connection (?:refused|timed out)|connect timeout|network is unreachable"
    r"|no route to host|name resolution|name or service not known|max retries exceeded",
    re.IGNORECASE,
)
_REACH_HINT = (
    "; if the address is right, its range is missing in TUNEGATE_CLUSTER_EGRESS: the deployment's "
    "NetworkPolicy lets engines, and what fetches their adapters, send nowhere else"
)


@dataclass(frozen=True)
class Trouble:
    """What keeps a pod from being ready.

    Attributes:
        pod: Its name.
        container: The one that has the trouble; empty: the pod itself.
        why: What is wrong and what to do, without a full stop.
        patience_s: How long it may last before the roll-out is given up.
        previous: Whether the log that tells more is that of the container before its restart.
        last_words: What it wrote last before it ended, as far as the API server knows.
    """

    pod: str
    container: str
    why: str
    patience_s: float = 0.0
    previous: bool = False
    last_words: str = ""

    def log(self, asked_for: str) -> str:
        """Return the end of its log.

        Args:
            asked_for: As the node gives it: the log of the container's next start, if that was quick.
        """
        last_line = self.last_words.strip().rpartition("\n")[2]
        return asked_for if last_line in asked_for else self.last_words.strip()


def find_trouble(pod: Found, events: Sequence[Found], schedule_patience_s: float) -> Trouble | None:
    """Return what keeps a pod from being ready, or nothing while it is starting as it should."""
    if is_ready(pod) or is_ending(pod):
        return None
    name = pod["metadata"]["name"]
    own = [event for event in events if event["involvedObject"].get("name") == name]
    return (
        _unschedulable(pod, own, schedule_patience_s)
        or next(filter(None, (_of_container(pod, status, own) for status in pending_statuses(pod))), None)
        or (None if has_started(pod) else _mount(name, own))  # the event stays when the volume has come
    )


def last_probe(pod: Found, events: Sequence[Found]) -> str:
    """Return what the last failed probe of a pod said; empty if none failed."""
    said = [
        event
        for event in events
        if event.get("reason") == "Unhealthy"
        and event["involvedObject"].get("name") == pod["metadata"]["name"]
    ]
    said.sort(key=lambda event: str(event.get("lastTimestamp") or event.get("eventTime") or ""))
    return str(said[-1]["message"]).strip() if said else ""


def given_up(name: str, trouble: Trouble, log: str) -> NotReady:
    """Return the error that tells a trouble, with the end of the log where there is one."""
    place = f"{trouble.pod} ({trouble.container})" if trouble.container else trouble.pod
    shown = f". The end of its log:\n{log}" if log else ""
    hint = _REACH_HINT if _REACHED_NOBODY.search(log) else ""
    return NotReady(f"deployment {name}: {place}: {trouble.why}{hint}{shown}")


def _unschedulable(pod: Found, events: Sequence[Found], patience_s: float) -> Trouble | None:
    scheduled = condition(pod, "PodScheduled")
    if scheduled.get("status") != "False":
        return None
    if any(event.get("reason") in _NODES_COMING for event in events):
        return None
    message = str(scheduled.get("message", ""))
    if _MISSING.search(message):
        why = f"unschedulable: {message}; check {_VOLUME_SETTINGS['cache']}"
        return Trouble(pod["metadata"]["name"], "", why, MISSING_PATIENCE_S)
    why = (
        f"unschedulable: {scheduled.get('message', scheduled.get('reason', ''))}; "
        "compare what it asks for (TUNEGATE_CLUSTER_GPUS, _GPU_TYPE, _CPU, _MEMORY, _NODE_SELECTOR) "
        "with kubectl describe nodes"
    )
    return Trouble(pod["metadata"]["name"], "", why, patience_s)


def _of_container(pod: Found, status: Found, events: Sequence[Found]) -> Trouble | None:
    name, container = pod["metadata"]["name"], status["name"]
    waiting = (status.get("state") or {}).get("waiting") or {}
    reason, message = waiting.get("reason", ""), str(waiting.get("message") or waiting.get("reason") or "")
    if reason in _PULL:
        return _pull(name, container, status, message, events)
    if reason in _CREATE:
        hint = "; check TUNEGATE_CLUSTER_HUB_SECRET" if "secret" in message.lower() else ""
        return Trouble(name, container, f"can't be started: {message}{hint}", patience_s=10)
    if failures := _too_many_start_probes(pod, status, events):
        said = last_probe(pod, events)
        return Trouble(name, container, f"failed startup probe {failures} times: {said}")
    now = (status.get("state") or {}).get("terminated") or {}
    ended = now or (status.get("lastState") or {}).get("terminated") or {}
    if not ended:
        return None
    if ended.get("reason") == "OOMKilled":
        why = (
            f"out of memory: it was killed at its limit of {_memory_limit(pod, container)}; "
            "raise TUNEGATE_CLUSTER_MEMORY, or lower max_model_len"
        )
        return Trouble(name, container, why, previous=not now)
    killed = [event for event in events if event.get("reason") == "Killing" and "failed" in event["message"]]
    if killed:
        said = last_probe(pod, events)
        return Trouble(name, container, f"{killed[-1]['message']}: {said}", previous=not now)
    code, last_words = ended.get("exitCode"), str(ended.get("message") or "")
    deaths = int(status.get("restartCount", 0)) + bool(now)
    if code in _ENDINGS:
        why, patience_s = _ENDINGS[code]
        return Trouble(name, container, why, patience_s, not now, last_words)
    if deaths >= DEATHS_TO_GIVE_UP:
        why = f"keeps dying (exit code {code})"
        return Trouble(name, container, why, previous=not now, last_words=last_words)
    return None


def _too_many_start_probes(pod: Found, status: Found, events: Sequence[Found]) -> int:
    """Return how many start-up probes failed if the container is to be ended for it, else 0.

    Kubelets before 1.21 end it a minute or two later.
    """
    limits = [
        container["startupProbe"]["failureThreshold"]
        for container in pod["spec"]["containers"]
        if container["name"] == status["name"] and "startupProbe" in container
    ]
    if status.get("started") or not limits:
        return 0
    failed = [event for event in events if str(event.get("message")).startswith("Startup probe failed")]
    times = sum(int(event.get("count") or 1) for event in failed)
    return times if times >= limits[0] else 0


def _pull(pod: str, container: str, status: Found, message: str, events: Sequence[Found]) -> Trouble:
    # While the kubelet backs off, only the event says what the registry answered.
    failures = [
        str(event["message"]) for event in events if "Failed to pull image" in str(event.get("message"))
    ]
    said = failures[-1] if failures else message
    unread = [str(event["message"]) for event in events if event.get("reason") == _NO_PULL_SECRET]
    image = str(status.get("image", ""))
    # What was asked for may hold any of the words.
    answered = said.replace(image, "").replace(image.partition("/")[0], "").lower()
    final = any(words in answered for words in _FINAL_PULL) and "500 internal" not in answered
    why = (
        f"image pull: {image}: {said}; check the reference, the registry, "
        "and TUNEGATE_CLUSTER_IMAGE_PULL_SECRETS"
    )
    why += f" ({unread[-1]})" if unread else ""
    return Trouble(pod, container, why, patience_s=0 if final else PASSING_PATIENCE_S)


def _mount(pod: str, events: Sequence[Found]) -> Trouble | None:
    failed = [event for event in events if event.get("reason") in _MOUNT]
    if not failed:
        return None
    missing = [event for event in failed if _MISSING.search(str(event["message"]))]
    chosen = (missing or failed)[-1]
    why = f"{chosen['reason']}: {chosen['message']}"
    named = [setting for volume, setting in _VOLUME_SETTINGS.items() if f'volume "{volume}"' in why]
    why += f"; check {named[0]}" if named else ""
    return Trouble(pod, "", why, MISSING_PATIENCE_S if missing else PASSING_PATIENCE_S)


def _memory_limit(pod: Found, container: str) -> str:
    containers = [*pod["spec"].get("initContainers", []), *pod["spec"]["containers"]]
    found: Found = next((c for c in containers if c["name"] == container), {})
    limits = (found.get("resources") or {}).get("limits") or {}
    return str(limits.get("memory", "(none: the node is full)"))
