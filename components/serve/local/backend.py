"""Serving on this machine: vLLM replicas under supervisord, behind our router, on loopback only."""

import time
from collections.abc import Callable
from contextlib import AbstractContextManager
from pathlib import Path

from components.engine.api_keys import client_key
from components.engine.private_folder import refuse_readable
from components.engine.server import server_command
from components.errors import InvalidInput, NotReady, TunegateError
from components.models import prepare_base_model
from components.serve import probe
from components.serve.backend import Backend, Replica, ReplicaState, WaitProgress
from components.serve.lease import WAIT_S, Lease, Unfinished
from components.serve.local.configuration import STOP_WAIT_S
from components.serve.local.deployments import Deployments, ServerCommand
from components.serve.local.leases import LocalLeases
from components.serve.local.live import LiveRouters
from components.serve.local.processes import kill_all, listener, with_children
from components.serve.local.readiness import ReadinessWatch
from components.serve.local.state import Deployment, ServeState, StateFile
from components.serve.local.supervisor import Supervisor
from components.serve.spec import ServingSpec
from components.settings import home, load_settings

DRAIN_TIMEOUT_S = 60
POLL_S = 0.5


class LocalBackend(Backend):
    """Serves out of the state directory, with one supervisord for everything in it.

    Args:
        command: Makes the command line of a replica.
    """

    def __init__(self, command: ServerCommand = server_command) -> None:
        folder = home() / "serve"
        self._state = StateFile(folder)
        self._supervisor = Supervisor(folder)
        self._deployments = Deployments(folder, self._state, self._supervisor, command)
        self._live = LiveRouters(folder, self._state, self._supervisor)
        self._leases = LocalLeases(folder / "leases")

    def check(self, model_name: str, base_model: str) -> None:
        """Refuse a live endpoint whose port another process has taken."""
        with self._state.changing() as state:
            self._live.refuse_taken_port(state, model_name)

    def apply(self, spec: ServingSpec) -> None:
        """Start what the spec describes beside whatever serves already; a second call changes nothing."""
        client_key()  # refused now if nobody could ask
        if keys := load_settings().api_keys:
            refuse_readable(Path(keys))
        prepare_base_model(spec.base_model)  # may take its time: before the lock
        with self._state.changing() as state:
            known = state.deployments.get(spec.name)
            if known is not None and known.spec != spec:
                raise TunegateError(f"deployment {spec.name}: stands here with another spec; retire it first")
            try:
                if known is None:
                    self._deployments.lay_out(state, spec)
                self._start(state, spec.name, spec.replicas)
            except BaseException:
                if known is None:
                    self._deployments.remove(state, spec.name)
                raise

    def wait_ready(self, name: str, timeout_s: float, progress: WaitProgress | None = None) -> float:
        """Wait until replicas and router have answered with the adapter; return the seconds."""
        started = time.monotonic()
        watch = self._watch(name)
        while waiting := watch.waiting_for():
            if progress is not None:
                progress(self.replicas(name))
            if watch.lost_a_port():
                self._move(name)
                watch = self._watch(name)
                continue
            watch.refuse_dying()
            if time.monotonic() - started > timeout_s:
                raise NotReady(
                    f"deployment {name}: not ready within {timeout_s:.0f} s, still waiting for "
                    f"{', '.join(waiting)}. The end of the log of {waiting[0]}:\n{watch.log_end(waiting[0])}"
                )
            time.sleep(POLL_S)
        return time.monotonic() - started

    def endpoint(self, name: str) -> str:
        """Return the base URL (without `/v1`) of one deployment's router."""
        return self._state.read().deployment(name).router.url()

    def live_endpoint(self, model_name: str) -> str:
        """Return the base URL (without `/v1`) that stays the same from champion to champion."""
        live = self._state.read().live.get(model_name)
        if live is None:
            with self._state.changing() as state:
                live = self._live.of(state, model_name)
        return live.router.url()

    def deployments(self) -> list[ServingSpec]:
        """Return what is deployed, running or stopped."""
        return [deployment.spec for deployment in self._state.read().deployments.values()]

    def replicas(self, name: str) -> list[Replica]:
        """Return the replicas of a deployment and their states.

        One that answers is ready, even if the supervisord that started it was killed.
        """
        deployment = self._state.read().deployment(name)
        processes, key = self._supervisor.states(name), client_key()
        orphans, found = self._supervisor.orphans(self._deployments.folder(name)), []
        for replica, port, url in zip(
            deployment.replica_names(), deployment.replica_ports, deployment.worker_urls(), strict=True
        ):
            process = processes.get(replica)
            state: ReplicaState = "stopped"
            if (process is not None and process.up) or listener(orphans, port):
                listed = probe.lists_adapter(url, deployment.spec.model_name, key=key)
                state = "ready" if listed else "starting"
            elif process is not None and process.state != "STOPPED":
                # One that has died is started again by supervisord, unless it was given up.
                state = "failed" if process.state in ("BACKOFF", "FATAL") else "starting"
            found.append(Replica(replica, state, url))
        return found

    def kill_replica(self, name: str) -> str:
        """End one ready replica without warning, as a crash would, and return its name."""
        ready = [replica.name for replica in self.replicas(name) if replica.state == "ready"]
        if not ready:
            raise TunegateError(f"deployment {name}: no replica is ready, so none can be killed")
        (port,) = self._state.read().deployment(name).process_ports()[ready[0]]
        if orphan := listener(self._supervisor.orphans(self._deployments.folder(name)), port):
            kill_all(with_children(orphan.pid), timeout_s=STOP_WAIT_S)
        else:
            self._supervisor.kill_process(name, ready[0])
        return ready[0]

    def scale(self, name: str, replicas: int) -> None:
        """Set the number of running replicas; 0 stops them all and keeps the deployment."""
        with self._state.changing() as state:
            most = state.deployment(name).spec.replicas
            if not 0 <= replicas <= most:
                problem = f"got {replicas}, wanted 0 to {most}; for more, deploy it with more"
                raise InvalidInput(f"replicas of deployment {name}", [problem])
            if replicas == 0:
                self._deployments.stop(name)
            else:
                self._start(state, name, replicas)

    def champion(self, model_name: str) -> ServingSpec | None:
        """Return the deployment that takes the live traffic."""
        state = self._state.read()
        live = state.live.get(model_name)
        return state.deployment(live.champion).spec if live is not None and live.champion else None

    def promote(self, name: str) -> None:
        """Send the live traffic of the deployment's model name to it; requests in flight are finished."""
        with self._state.changing() as state:
            deployment = state.deployment(name)
            not_ready = [f"{r.name} is {r.state}" for r in self.replicas(name) if r.state != "ready"]
            if not_ready:
                raise NotReady(f"deployment {name}: can't take live traffic: {', '.join(not_ready)}")
            if name not in self._supervisor.groups():  # the next supervisord would end what it is sent to
                raise NotReady(
                    f"deployment {name}: can't take live traffic: its supervisord was killed; apply it again"
                )
            self._live.send_to(state, deployment)

    def retire(self, name: str) -> None:
        """Stop a deployment and leave nothing of it behind; one that is not there is no error.

        Requests that it still works on are finished first.
        """
        deployment = self._state.read().deployments.get(name)
        if deployment is None:
            return
        self._refuse_champion(name)
        self._drain(deployment)
        with self._state.changing() as state:
            self._refuse_champion(name)
            self._deployments.remove(state, name)

    def restore(self, model_name: str, timeout_s: float) -> None:
        """Bring the champion of a model name and its live endpoint back after `shutdown` or a reboot."""
        spec = self.champion(model_name)
        if spec is None:
            raise TunegateError(f"model {model_name}: nothing was promoted under this name yet")
        self.check(model_name, spec.base_model)
        self.apply(spec)
        self.wait_ready(spec.name, timeout_s)
        self.promote(spec.name)

    def withdraw(self, model_name: str) -> None:
        """Take the live traffic of a model name from whatever has it; its port stays promised to it."""
        with self._state.changing() as state:
            self._live.stop(state, model_name)

    def lease(
        self, model_name: str, holder: str, say: Callable[[str], None], wait_s: float = WAIT_S
    ) -> AbstractContextManager[Lease]:
        """Hold the right to move the live traffic of a model name, at most until this process ends."""
        self._state.make_folder()
        return self._leases.hold(model_name, holder, say, wait_s)

    def unfinished(self, model_name: str) -> Unfinished | None:
        """Return what was begun with a model's traffic and is not over."""
        return self._leases.unfinished(model_name)

    def shutdown(self) -> None:
        """Stop everything that runs here; what is deployed and who is champion is kept."""
        with self._state.changing() as state:
            self._supervisor.shutdown()
            for name in state.deployments:
                self._deployments.wipe(name)

    def _start(self, state: ServeState, name: str, replicas: int) -> None:
        moved = self._deployments.start(state, name, replicas)
        if moved:
            self._live.follow(state, state.deployment(name))

    def _watch(self, name: str) -> ReadinessWatch:
        deployment = self._state.read().deployment(name)
        return ReadinessWatch(deployment, self._supervisor, self._deployments.folder(name))

    def _move(self, name: str) -> None:
        """Start a deployment again on other ports: somebody was faster to take one of them."""
        with self._state.changing() as state:
            self._deployments.stop(name)
            self._start(state, name, state.deployment(name).spec.replicas)

    def _refuse_champion(self, name: str) -> None:
        for model_name, live in self._state.read().live.items():
            if live.champion == name:
                raise TunegateError(
                    f"deployment {name}: takes the live traffic of {model_name}; promote another one first"
                )

    def _drain(self, deployment: Deployment) -> None:
        deadline = time.monotonic() + DRAIN_TIMEOUT_S
        while any(map(probe.requests_in_flight, deployment.worker_urls())) and time.monotonic() < deadline:
            time.sleep(POLL_S)
