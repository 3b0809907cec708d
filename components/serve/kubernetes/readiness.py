"""Waiting for a deployment to come up, and saying why it does not."""

import time
from typing import Any

from components.errors import NotReady
from components.serve.backend import WaitProgress
from components.serve.kubernetes.cluster import Cluster
from components.serve.kubernetes.deployments import POLL_S, Deployments, spec_of
from components.serve.kubernetes.manifests import router_name
from components.serve.kubernetes.pod_state import is_ending, is_ready
from components.serve.kubernetes.rollout import RolloutWatch, is_rolled_out, refusal_hint, refused_pods
from components.serve.kubernetes.trouble import find_trouble, given_up, last_probe

LOOK_S = 1.0  # why something is not ready yet takes more requests than whether it is


class Readiness:
    """Waits for the engines and routers of deployments.

    Args:
        cluster: The namespace.
        deployments: Those in it.
        schedule_patience_s: How long a pod may find no node.
    """

    def __init__(self, cluster: Cluster, deployments: Deployments, schedule_patience_s: float) -> None:
        self._cluster, self._deployments = cluster, deployments
        self._schedule_patience_s = schedule_patience_s

    def wait(self, name: str, timeout_s: float, progress: WaitProgress | None = None) -> None:
        """Wait until the engines of the spec and the routers are ready.

        Raises:
            NotReady: Too late, or it is stopped, or something of it will not come up.
        """
        started = time.monotonic()
        if self._deployments.wanted(name) == 0:
            raise NotReady(f"deployment {name}: is stopped; scale it up first")
        watch, next_look = RolloutWatch(self._schedule_patience_s), started
        while not self._rolled_out(name):
            if time.monotonic() >= next_look:
                next_look = time.monotonic() + LOOK_S
                if progress is not None:
                    progress(self._deployments.replicas(name))
                self._refuse_hopeless(name, watch)
            if time.monotonic() - started > timeout_s:
                raise self._too_late(name, timeout_s)
            time.sleep(POLL_S)

    def _rolled_out(self, name: str) -> bool:
        engines = self._cluster.get("Deployment", name)
        enough = spec_of(engines).replicas if engines else None
        return is_rolled_out(engines, enough) and is_rolled_out(
            self._cluster.get("Deployment", router_name(name))
        )

    def _refuse_hopeless(self, name: str, watch: RolloutWatch) -> None:
        for part in (name, router_name(name)):
            found = self._cluster.get("Deployment", part)
            if found is None:
                raise NotReady(f"deployment {name}: {part} was deleted while it started")
            if why := refused_pods(found):
                raise NotReady(
                    f"deployment {name}: the API server refuses its pods: {why}{refusal_hint(why)}"
                )
        trouble = watch.hopeless(self._deployments.pods(name), self._events())
        if trouble is not None:
            log = ""
            if trouble.container:
                log = trouble.log(self._cluster.log_end(trouble.pod, trouble.container, trouble.previous))
            raise given_up(name, trouble, log)

    def _too_late(self, name: str, timeout_s: float) -> NotReady:
        events = self._events()
        waiting = [pod for pod in self._deployments.pods(name) if not is_ready(pod) and not is_ending(pod)]
        names = ", ".join(str(pod["metadata"]["name"]) for pod in waiting) or "pods that are not there yet"
        text = f"deployment {name}: not ready within {timeout_s:.0f} s, still waiting for {names}"
        for pod in waiting[:1]:
            trouble = find_trouble(pod, events, 0)
            said = trouble.why if trouble else last_probe(pod, events)
            log = self._cluster.log_end(pod["metadata"]["name"], pod["spec"]["containers"][0]["name"], False)
            text += f". {said}" if said else ""
            text += f". The end of the log of {pod['metadata']['name']}:\n{log}" if log else ""
        return NotReady(text)

    def _events(self) -> list[dict[str, Any]]:
        return self._cluster.list("Event", fields="involvedObject.kind=Pod")
