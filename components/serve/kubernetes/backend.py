"""Serving on a Kubernetes cluster: candidate and champion side by side in one namespace."""

import time
from collections.abc import Callable, Sequence
from typing import Any

from components.errors import InvalidInput, NotReady, TunegateError, noted
from components.serve.backend import Backend, Replica, ReplicaState, WaitProgress
from components.serve.kubernetes.adapter_source import adapter_source
from components.serve.kubernetes.checks import (
    denied_rights,
    missing_images,
    missing_key,
    missing_kinds,
    unreachable_services,
    unserved_base_model,
    unset_images,
)
from components.serve.kubernetes.cluster import SCALE_MANAGER, Cluster
from components.serve.kubernetes.engine_pod import REPLICA, AdapterSource
from components.serve.kubernetes.labels import (
    COMPONENT,
    INSTANCE,
    MANAGED_BY,
    OWNED,
    SPEC,
    as_query,
    label,
    left_alone,
    selector,
)
from components.serve.kubernetes.live import (
    find_live,
    live_model,
    live_url,
    sends_to,
    switch_live,
    wait_reachable,
)
from components.serve.kubernetes.manifests import (
    deployment_manifests,
    router_name,
    scale_manifest,
    service_name,
)
from components.serve.kubernetes.pod import ENGINE_PORT
from components.serve.kubernetes.rollout import (
    RolloutWatch,
    find_trouble,
    given_up,
    is_ending,
    is_ready,
    is_rolled_out,
    last_probe,
    refusal_hint,
    refused_pods,
    runs_nothing,
)
from components.serve.kubernetes.scaler import Scaler
from components.serve.spec import ServingSpec
from components.settings import load_cluster_settings

POLL_S = 0.25
LOOK_S = 1.0  # why something is not ready yet takes more requests than whether it is
MISSED_S = 120  # until a kubelet that missed a deletion finds it: it looks at each pod every minute or so
KINDS = ("Deployment", "Service", "PodDisruptionBudget", "NetworkPolicy")

EngineCommand = Callable[[ServingSpec], Sequence[str]]


def engine_command(spec: ServingSpec) -> Sequence[str]:
    """Return what the engine's container runs."""
    return [*REPLICA, "serve"]


class KubernetesBackend(Backend):
    """Serves in one namespace; everything that is known about it stands in the cluster.

    Args:
        command: Makes the command line of an engine's container.
    """

    def __init__(self, command: EngineCommand = engine_command) -> None:
        self._settings = load_cluster_settings()
        self._cluster = Cluster(self._settings.namespace)
        self._scaler = Scaler(self._cluster, self._settings)
        self._command = command

    def check(self, model_name: str, base_model: str) -> None:
        """Refuse a cluster that can't be used, or can't be reached from here as a release needs it."""
        problems = unserved_base_model(self._settings, base_model)  # told also where there is no cluster
        with noted(problems):
            self._cluster.require()
            problems += [
                *missing_images(self._settings),
                *missing_key(self._settings),
                *missing_kinds(self._cluster, KINDS),
                *denied_rights(self._cluster),
                *self._scaler.problems(model_name),
                *unreachable_services(),
            ]
            find_live(self._cluster, model_name)
        if problems:
            raise InvalidInput(f"the cluster of namespace {self._settings.namespace}", problems)

    def apply(self, spec: ServingSpec) -> None:
        """Start what the spec describes beside whatever serves already; a second call changes nothing.

        That the image holds the right adapter is checked in the pods, and said by `wait_ready`. Replicas
        that an autoscaler has added are not taken away: what is to be champion again may need them.
        """
        _refuse_local_image(spec)
        if problems := unset_images(self._settings):
            raise InvalidInput("settings of the cluster", problems)
        self._cluster.require()
        self._refuse_unscalable(spec)
        known = self._refuse_foreign(spec, self._manifests(spec, "init-container"))
        source = adapter_source(spec, self._settings, self._cluster, self._manifests)
        manifests = self._manifests(spec, source)
        for manifest in manifests:  # whatever would be refused is refused before anything is there
            self._cluster.apply(manifest, dry_run=True)
        try:
            for manifest in manifests:
                self._cluster.apply(manifest)
            self._start(spec)
        except BaseException:
            if not known:
                self._remove(spec.name)
            raise

    def wait_ready(self, name: str, timeout_s: float, progress: WaitProgress | None = None) -> float:
        """Wait until every replica lists the adapter and has answered, and the routers know one.

        Replicas that an autoscaler adds to those of the spec are not waited for.
        """
        started = time.monotonic()
        if self._wanted(self._deployment(name)) == 0:
            raise NotReady(f"deployment {name}: is stopped; scale it up first")
        watch, next_look = RolloutWatch(self._settings.schedule_patience_s), started
        while not self._rolled_out(name):
            if time.monotonic() >= next_look:
                next_look = time.monotonic() + LOOK_S
                if progress is not None:
                    progress(self.replicas(name))
                self._refuse_hopeless(name, watch)
            if time.monotonic() - started > timeout_s:
                raise self._too_late(name, timeout_s)
            time.sleep(POLL_S)
        wait_reachable(self.endpoint(name))
        return time.monotonic() - started

    def endpoint(self, name: str) -> str:
        """Return the base URL (without `/v1`) of one deployment's router; it is reached from the cluster."""
        self._deployment(name)
        return f"http://{service_name(name)}.{self._settings.namespace}.svc"

    def live_endpoint(self, model_name: str) -> str:
        """Return the base URL (without `/v1`) that stays the same from champion to champion."""
        return live_url(model_name, self._settings.namespace)

    def deployments(self) -> list[ServingSpec]:
        """Return what is deployed, running or stopped."""
        ours = as_query({MANAGED_BY: OWNED, COMPONENT: "engine"})
        return [_spec_of(found) for found in self._cluster.list("Deployment", ours) if _tells_spec(found)]

    def replicas(self, name: str) -> list[Replica]:
        """Return the replicas of a deployment and their states."""
        deployment = self._deployment(name)
        wanted, pods = self._wanted(deployment), self._pods(name, "engine")
        # Pods that are ending count only where none is to be left; elsewhere others take their place.
        shown = [pod for pod in pods if wanted == 0 or not is_ending(pod)]
        found = [
            Replica(pod["metadata"]["name"], self._state(pod), _url(pod))
            for pod in sorted(shown, key=lambda pod: str(pod["metadata"]["name"]))
        ]
        coming = [Replica(f"{name}-{index}", "starting", "") for index in range(len(found), wanted)]
        laid_out = max(_spec_of(deployment).replicas, wanted)
        stopped = [
            Replica(f"{name}-{index}", "stopped", "") for index in range(len(found) + len(coming), laid_out)
        ]
        return [*found, *coming, *stopped]

    def kill_replica(self, name: str) -> str:
        """End one ready replica without warning, as the loss of its node would, and return its name."""
        ready = [replica.name for replica in self.replicas(name) if replica.state == "ready"]
        if not ready:
            raise TunegateError(f"deployment {name}: no replica is ready, so none can be killed")
        self._cluster.delete("Pod", ready[0], grace_s=0)
        return ready[0]

    def scale(self, name: str, replicas: int) -> None:
        """Set the number of running replicas; 0 stops them all and keeps the deployment.

        A champion that is scaled stays at a number below its spec's, and goes on being scaled from others.
        """
        least = _spec_of(self._deployment(name)).replicas
        most = max(least, self._scaler.most_replicas(name))
        if not 0 <= replicas <= most:
            problem = f"got {replicas}, wanted 0 to {most}; for more, deploy it with more"
            raise InvalidInput(f"replicas of deployment {name}", [problem])
        if replicas < least:
            self._scaler.hold(name, replicas)
        else:
            self._scaler.let_go(name)
        self._set_replicas(name, replicas)

    def champion(self, model_name: str) -> ServingSpec | None:
        """Return the deployment that takes the live traffic."""
        service = find_live(self._cluster, model_name)
        if service is None or not (name := sends_to(service)):
            return None
        found = self._cluster.get("Deployment", name)
        return _spec_of(found) if found and _tells_spec(found) else None

    def promote(self, name: str) -> None:
        """Send the live traffic of the deployment's model name to it; requests in flight are finished.

        New connections go to the new routers; those that are open stay with the old ones until these
        are retired, which lets them finish. The autoscaler, where one is wanted, comes after the traffic.
        """
        spec = _spec_of(self._deployment(name))
        replicas = self.replicas(name)
        not_ready = [f"{r.name} is {r.state}" for r in replicas if r.state != "ready"]
        if len(replicas) - len(not_ready) < spec.replicas:
            raise NotReady(f"deployment {name}: can't take live traffic: {', '.join(not_ready)}")
        self._refuse_unscalable(spec)
        self._scaler.try_follow(spec)
        switch_live(self._cluster, spec)
        self._scaler.follow(spec)

    def restore(self, model_name: str, timeout_s: float) -> None:
        """Start the engines of a champion that was scaled to nothing."""
        spec = self.champion(model_name)
        if spec is None:
            raise TunegateError(
                f"model {model_name}: nothing takes its live traffic in {self._settings.namespace}"
            )
        self._start(spec)
        self.wait_ready(spec.name, timeout_s)

    def retire(self, name: str) -> None:
        """Stop a deployment and leave nothing of it behind; one that is not there is no error.

        Requests that it still works on are finished first.
        """
        if model_name := live_model(self._cluster, name):
            raise TunegateError(
                f"deployment {name}: takes the live traffic of {model_name}; promote another one first"
            )
        self._remove(name)

    def _manifests(self, spec: ServingSpec, source: AdapterSource) -> list[dict[str, Any]]:
        return deployment_manifests(spec, self._settings, self._command(spec), source)

    def _remove(self, name: str) -> None:
        """Routers before engines: what they have begun is finished by engines that are still there."""
        self._scaler.forget(name)
        routers = self._cluster.get("Deployment", router_name(name))
        if routers is not None and _is_ours(routers, name):
            self._cluster.delete("Deployment", router_name(name))
            self._wait_gone(name, "router")
        for kind in KINDS:
            for found in self._cluster.list(kind, as_query({MANAGED_BY: OWNED, INSTANCE: name})):
                self._cluster.delete(kind, found["metadata"]["name"])
        self._wait_gone(name, "engine")

    def _wait_gone(self, name: str, component: Any) -> None:
        deadline = time.monotonic() + self._settings.drain_s + MISSED_S
        while left := self._pods(name, component):
            for pod in filter(runs_nothing, left):
                # A kubelet that waits for a volume gives it two minutes; one that has ended a pod without
                # saying so says it a minute later.
                self._cluster.delete("Pod", pod["metadata"]["name"], grace_s=0)
            if time.monotonic() > deadline:
                names = ", ".join(pod["metadata"]["name"] for pod in left)
                raise TunegateError(
                    f"deployment {name}: was deleted, but {names} did not end; is the node up?"
                )
            time.sleep(POLL_S)

    def _refuse_foreign(self, spec: ServingSpec, manifests: Sequence[dict[str, Any]]) -> bool:
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

    def _refuse_unscalable(self, spec: ServingSpec) -> None:
        """Refuse what could not be scaled as champion, before anything is changed."""
        if problems := self._scaler.problems(spec.model_name):
            raise InvalidInput(f"autoscaling of {spec.model_name}", problems)

    def _start(self, spec: ServingSpec) -> None:
        """Run as many engines as the spec says, or as many more as there are."""
        self._scaler.let_go(spec.name)
        if self._wanted(self._deployment(spec.name)) < spec.replicas:
            self._set_replicas(spec.name, spec.replicas)

    def _set_replicas(self, name: str, replicas: int) -> None:
        """Set the number of engines, whoever set it last: an autoscaler does, and keeps it as its own."""
        manifest = scale_manifest(name, self._settings.namespace, replicas)
        self._cluster.apply(manifest, SCALE_MANAGER, force=True)

    def _rolled_out(self, name: str) -> bool:
        engines = self._cluster.get("Deployment", name)
        enough = _spec_of(engines).replicas if engines else None
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
        trouble = watch.hopeless(self._pods(name), self._events())
        if trouble is not None:
            log = ""
            if trouble.container:
                log = self._cluster.log_end(trouble.pod, trouble.container, trouble.previous)
            raise given_up(name, trouble, log)

    def _too_late(self, name: str, timeout_s: float) -> NotReady:
        events = self._events()
        waiting = [pod for pod in self._pods(name) if not is_ready(pod) and not is_ending(pod)]
        names = ", ".join(str(pod["metadata"]["name"]) for pod in waiting) or "pods that are not there yet"
        text = f"deployment {name}: not ready within {timeout_s:.0f} s, still waiting for {names}"
        for pod in waiting[:1]:
            trouble = find_trouble(pod, events, 0)
            said = trouble.why if trouble else last_probe(pod, events)
            log = self._cluster.log_end(pod["metadata"]["name"], pod["spec"]["containers"][0]["name"], False)
            text += f". {said}" if said else ""
            text += f". The end of the log of {pod['metadata']['name']}:\n{log}" if log else ""
        return NotReady(text)

    def _deployment(self, name: str) -> dict[str, Any]:
        found = self._cluster.get("Deployment", name)
        if found is None or not (_is_ours(found, name) and _tells_spec(found)):
            known = ", ".join(sorted(spec.name for spec in self.deployments())) or "none"
            raise TunegateError(f"deployment {name!r}: there is no such one; deployed here: {known}")
        return found

    def _pods(self, name: str, component: Any = None) -> list[dict[str, Any]]:
        wanted = selector(name, component) if component else {MANAGED_BY: OWNED, INSTANCE: name}
        return self._cluster.list("Pod", as_query(wanted))

    def _events(self) -> list[dict[str, Any]]:
        return self._cluster.list("Event", fields="involvedObject.kind=Pod")

    def _state(self, pod: dict[str, Any]) -> ReplicaState:
        if is_ready(pod):
            return "ready"
        trouble = find_trouble(pod, [], 0)
        return "failed" if trouble and not is_ending(pod) else "starting"

    @staticmethod
    def _wanted(deployment: dict[str, Any]) -> int:
        return int(deployment["spec"].get("replicas", 1))


def _refuse_local_image(spec: ServingSpec) -> None:
    if spec.image.startswith("oci:"):
        problem = f"{spec.image}: is on this machine's disk; set image_repository to a registry (host/name)"
        raise InvalidInput(f"deployment {spec.name}", [problem])


def _is_ours(found: dict[str, Any], name: str) -> bool:
    return label(found, MANAGED_BY) == OWNED and label(found, INSTANCE) == name


def _tells_spec(deployment: dict[str, Any]) -> bool:
    """Say whether these are the engines of a deployment, as we have applied them."""
    return SPEC in (deployment["metadata"].get("annotations") or {})


def _spec_of(deployment: dict[str, Any]) -> ServingSpec:
    return ServingSpec.model_validate_json(deployment["metadata"]["annotations"][SPEC])


def _ip(pod: dict[str, Any]) -> str:
    return str((pod.get("status") or {}).get("podIP", ""))


def _url(pod: dict[str, Any]) -> str:
    return f"http://{_ip(pod)}:{ENGINE_PORT}" if _ip(pod) else ""
