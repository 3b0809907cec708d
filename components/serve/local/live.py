"""The live endpoint of each model name: a router of its own, whose workers are the champion's replicas."""

from pathlib import Path

from components.errors import InvalidInput
from components.router.orders import ROUTER_FILE, command, set_workers, wait_in_force
from components.serve import ports
from components.serve.local.configuration import Program
from components.serve.local.processes import listener
from components.serve.local.state import Deployment, Live, RouterPorts, ServeState, StateFile
from components.serve.local.supervisor import Supervisor

START_TIMEOUT_S = 30


class LiveRouters:
    """Starts live routers and switches their workers; the caller holds the lock of the state.

    Args:
        folder: Of everything that is served out of one state directory.
        state_file: What is remembered.
        supervisor: What keeps the processes running.
    """

    def __init__(self, folder: Path, state_file: StateFile, supervisor: Supervisor) -> None:
        self._root = folder / "live"
        self._state_file, self._supervisor = state_file, supervisor

    def of(self, state: ServeState, model_name: str) -> Live:
        """Return the live endpoint of a model name; its port is found at the first call and then kept."""
        if model_name not in state.live:
            port = ports.steady_port(f"{self._root}/{model_name}", state.ports())
            prometheus_port = ports.free_port(state.ports() | {port})
            state.live[model_name] = Live(router=RouterPorts(port=port, prometheus_port=prometheus_port))
            self._state_file.write(state)
        return state.live[model_name]

    def send_to(self, state: ServeState, deployment: Deployment) -> None:
        """Send the live traffic to a deployment that is ready, and remember it as champion.

        Raises:
            InvalidInput: Another process listens on the port of the live endpoint.
        """
        model_name = deployment.spec.model_name
        live = self.of(state, model_name)
        if self._runs(model_name):
            set_workers(
                self._router_file(model_name), deployment.worker_urls(), deployment.spec.max_model_len
            )
        else:
            self.refuse_taken_port(state, model_name)
            self._start(state, model_name, deployment)
        live.champion = deployment.spec.name
        self._state_file.write(state)

    def follow(self, state: ServeState, deployment: Deployment) -> None:
        """Point a running live router to the new ports of its champion, which is down just now."""
        model_name = deployment.spec.model_name
        live = state.live.get(model_name)
        if live is not None and live.champion == deployment.spec.name and self._runs(model_name):
            deployment.router_config(live.router).write(self._router_file(model_name))
            name = _process_name(model_name)
            self._supervisor.stop_process(name, name)
            self._supervisor.start_process(name, name)

    def stop(self, state: ServeState, model_name: str) -> None:
        """Send the live traffic of a model name nowhere, and remember no champion."""
        self._supervisor.remove(_process_name(model_name), self._folder(model_name))
        if model_name in state.live:
            state.live[model_name].champion = ""
            self._state_file.write(state)

    def refuse_taken_port(self, state: ServeState, model_name: str) -> None:
        """Check that the live endpoint can be opened where clients expect it, or is open.

        A router of ours that a killed supervisord has left there is no stranger: its successor ends it.

        Raises:
            InvalidInput: Another process listens there.
        """
        port = self.of(state, model_name).router.port
        if self._runs(model_name) or ports.is_free(port):
            return
        if listener(self._supervisor.orphans(self._folder(model_name)), port) is None:
            problem = (
                f"port {port} is in use by {ports.holder(port)}; clients of {model_name} know this address, "
                "so it is not changed: end that process and run this again"
            )
            raise InvalidInput(f"live endpoint of {model_name}", [problem])

    def _runs(self, model_name: str) -> bool:
        process = self._supervisor.states(_process_name(model_name)).get(_process_name(model_name))
        return process is not None and process.up

    def _start(self, state: ServeState, model_name: str, deployment: Deployment) -> None:
        live, name = self.of(state, model_name), _process_name(model_name)
        if not ports.is_free(live.router.prometheus_port):
            live.router.prometheus_port = ports.free_port(state.ports())
        router_file = self._router_file(model_name)
        deployment.router_config(live.router).write(router_file)
        self._supervisor.start()
        if name not in self._supervisor.groups():
            self._supervisor.add(name, self._folder(model_name), [Program(name, command(router_file))])
        self._supervisor.start_process(name, name)
        wait_in_force(router_file, START_TIMEOUT_S)

    def _folder(self, model_name: str) -> Path:
        return self._root / model_name

    def _router_file(self, model_name: str) -> Path:
        return self._folder(model_name) / ROUTER_FILE


def _process_name(model_name: str) -> str:
    return f"live.{model_name}"  # the dot keeps it apart from any deployment
