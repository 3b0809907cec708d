"""Serving on a Kubernetes cluster: candidate and champion side by side in one namespace."""

import time
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from typing import Any

from components.errors import InvalidInput, NotReady, TunegateError, noted
from components.serve.backend import Backend, Replica, WaitProgress
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
from components.serve.kubernetes.cluster import Cluster
from components.serve.kubernetes.deployments import KINDS, Deployments, spec_of
from components.serve.kubernetes.engine_pod import REPLICA, AdapterSource
from components.serve.kubernetes.leases import KubernetesLeases
from components.serve.kubernetes.live import (
    find_live,
    live_model,
    live_url,
    sends_to,
    switch_live,
    wait_reachable,
)
from components.serve.kubernetes.manifests import deployment_manifests, service_name
from components.serve.kubernetes.readiness import Readiness
from components.serve.kubernetes.scaler import Scaler
from components.serve.lease import WAIT_S, Lease, Unfinished
from components.serve.spec import ServingSpec
from components.settings import load_cluster_settings

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
        self._leases = KubernetesLeases(self._cluster)
        self._scaler = Scaler(self._cluster, self._settings)
        self._deployments = Deployments(self._cluster, self._settings.drain_s)
        self._readiness = Readiness(self._cluster, self._deployments, self._settings.schedule_patience_s)
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
        known = self._deployments.refuse_foreign(spec, self._manifests(spec, "init-container"))
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
        self._readiness.wait(name, timeout_s, progress)
        wait_reachable(self.endpoint(name))
        return time.monotonic() - started

    def endpoint(self, name: str) -> str:
        """Return the base URL (without `/v1`) of one deployment's router; it is reached from the cluster."""
        self._deployments.engines(name)
        return f"http://{service_name(name)}.{self._settings.namespace}.svc"

    def live_endpoint(self, model_name: str) -> str:
        """Return the base URL (without `/v1`) that stays the same from champion to champion."""
        return live_url(model_name, self._settings.namespace)

    def deployments(self) -> list[ServingSpec]:
        """Return what is deployed, running or stopped."""
        return self._deployments.specs()

    def replicas(self, name: str) -> list[Replica]:
        """Return the replicas of a deployment and their states."""
        return self._deployments.replicas(name)

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
        least = spec_of(self._deployments.engines(name)).replicas
        most = max(least, self._scaler.most_replicas(name))
        if not 0 <= replicas <= most:
            problem = f"got {replicas}, wanted 0 to {most}; for more, deploy it with more"
            raise InvalidInput(f"replicas of deployment {name}", [problem])
        if replicas < least:
            self._scaler.hold(name, replicas)
        else:
            self._scaler.let_go(name)
        self._deployments.set_replicas(name, replicas)

    def champion(self, model_name: str) -> ServingSpec | None:
        """Return the deployment that takes the live traffic."""
        service = find_live(self._cluster, model_name)
        if service is None or not (name := sends_to(service)):
            return None
        return self._deployments.find_spec(name)

    def promote(self, name: str) -> None:
        """Send the live traffic of the deployment's model name to it; requests in flight are finished.

        New connections go to the new routers; those that are open stay with the old ones until these
        are retired, which lets them finish. The autoscaler, where one is wanted, comes after the traffic.
        """
        spec = spec_of(self._deployments.engines(name))
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

    def withdraw(self, model_name: str) -> None:
        """Take the live traffic of a model name from whatever has it: its Service is deleted."""
        service = find_live(self._cluster, model_name)
        if service is None:
            return
        self._cluster.delete("Service", service["metadata"]["name"])
        self._scaler.forget(sends_to(service))

    def lease(
        self, model_name: str, holder: str, say: Callable[[str], None], wait_s: float = WAIT_S
    ) -> AbstractContextManager[Lease]:
        """Hold the right to move the live traffic of a model name; it expires when we are gone."""
        return self._leases.hold(model_name, holder, say, wait_s)

    def unfinished(self, model_name: str) -> Unfinished | None:
        """Return what was begun with a model's traffic and is not over."""
        return self._leases.unfinished(model_name)

    def _manifests(self, spec: ServingSpec, source: AdapterSource) -> list[dict[str, Any]]:
        return deployment_manifests(spec, self._settings, self._command(spec), source)

    def _remove(self, name: str) -> None:
        self._scaler.forget(name)
        self._deployments.remove(name)

    def _refuse_unscalable(self, spec: ServingSpec) -> None:
        """Refuse what could not be scaled as champion, before anything is changed."""
        if problems := self._scaler.problems(spec.model_name):
            raise InvalidInput(f"autoscaling of {spec.model_name}", problems)

    def _start(self, spec: ServingSpec) -> None:
        """Run as many engines as the spec says, or as many more as there are."""
        self._scaler.let_go(spec.name)
        if self._deployments.wanted(spec.name) < spec.replicas:
            self._deployments.set_replicas(spec.name, spec.replicas)


def _refuse_local_image(spec: ServingSpec) -> None:
    if spec.image.startswith("oci:"):
        problem = f"{spec.image}: is on this machine's disk; set image_repository to a registry (host/name)"
        raise InvalidInput(f"deployment {spec.name}", [problem])
