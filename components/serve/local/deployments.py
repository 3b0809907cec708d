"""What stands on this machine for one deployment: its folder, its ports, its group of processes."""

import os
import shutil
from collections.abc import Callable, Sequence
from itertools import pairwise
from math import ceil
from pathlib import Path

from components.engine.api_keys import DIRECTORY_VARIABLE
from components.engine.config import DEPLOYMENT_GPU_SHARE, EngineConfig, engine_environment
from components.engine.private_folder import make_private
from components.engine.scratch import FOLDER_VARIABLE, SOCKET_NAME_BYTES
from components.models import prepare_base_model
from components.oci.adapter_images import pull_adapter
from components.router.orders import ROUTER_FILE, command
from components.serve import ports
from components.serve.local.configuration import Program, short_folder
from components.serve.local.state import Deployment, RouterPorts, ServeState, StateFile
from components.serve.local.supervisor import Supervisor
from components.serve.spec import ServingSpec
from components.settings import Settings, load_settings

ServerCommand = Callable[[EngineConfig, str, int], list[str]]


class Deployments:
    """Lays out, starts, stops and removes deployments; the caller holds the lock of the state.

    Args:
        folder: Of everything that is served out of one state directory.
        state_file: What is remembered.
        supervisor: What keeps the processes running.
        command: Makes the command line of a replica.
    """

    def __init__(
        self, folder: Path, state_file: StateFile, supervisor: Supervisor, command: ServerCommand
    ) -> None:
        self._root = folder / "deployments"
        self._state_file, self._supervisor, self._command = state_file, supervisor, command

    def folder(self, name: str) -> Path:
        """Return the folder of a deployment's adapter, logs and router file."""
        return self._root / name

    def lay_out(self, state: ServeState, spec: ServingSpec) -> None:
        """Fetch the adapter out of its image and promise ports; nothing is started yet."""
        if self._root.is_dir():
            for leftover in self._root.iterdir():  # of a process that was killed while it did this
                if leftover.name not in state.deployments:
                    shutil.rmtree(leftover)
        folder = self.folder(spec.name)
        folder.mkdir(parents=True)
        pull_adapter(spec.image, spec.adapter_digest, folder / "adapter")
        state.deployments[spec.name] = self._with_free_ports(state, spec)
        self._state_file.write(state)

    def start(self, state: ServeState, name: str, replicas: int) -> bool:
        """Run the router and so many replicas; what runs already goes on running.

        Returns:
            Whether the processes moved to other ports because somebody had taken theirs.
        """
        self._supervisor.start()
        moved = False
        if name not in self._supervisor.groups():
            deployment = state.deployment(name)
            wanted = [deployment.router.port, deployment.router.prometheus_port, *deployment.replica_ports]
            if not all(map(ports.is_free, wanted)):
                state.deployments[name] = self._with_free_ports(state, deployment.spec)
                self._state_file.write(state)
                moved = True
            self._supervisor.add(name, self.folder(name), self._programs(state.deployment(name)))
        running = {state.deployment(name).router_name(), *state.deployment(name).replica_names()[:replicas]}
        for process in self._supervisor.states(name).values():
            if process.name in running:
                self._supervisor.start_process(name, process.name)
            else:
                self._supervisor.stop_process(name, process.name)
        return moved

    def stop(self, name: str) -> None:
        """Stop every process of a deployment and keep the rest."""
        self._supervisor.remove(name, self.folder(name))
        self.wipe(name)

    def wipe(self, name: str) -> None:
        """Remove what the engines of a deployment that is stopped have left where they were killed."""
        shutil.rmtree(self._scratch(name), ignore_errors=True)

    def remove(self, state: ServeState, name: str) -> None:
        """Stop a deployment and leave nothing of it behind, nor a supervisord with nothing to do."""
        self.stop(name)
        shutil.rmtree(self.folder(name), ignore_errors=True)
        if state.deployments.pop(name, None) is not None:
            self._state_file.write(state)
        if not self._supervisor.groups() and not self._supervisor.orphans(self._root.parent):
            self._supervisor.shutdown()

    def _scratch(self, name: str) -> Path:
        """Return where each replica has its temporary directory, by its number."""
        return short_folder(self.folder(name) / "tmp", len("/1234") + SOCKET_NAME_BYTES)

    def _with_free_ports(self, state: ServeState, spec: ServingSpec) -> Deployment:
        taken = state.ports()
        found: list[int] = []
        for _ in range(spec.replicas + 2):
            found.append(ports.free_port(taken | set(found)))
        return Deployment(
            spec=spec,
            router=RouterPorts(port=found[0], prometheus_port=found[1]),
            replica_ports=found[2:],
        )

    def _programs(self, deployment: Deployment) -> list[Program]:
        spec, folder = deployment.spec, self.folder(deployment.spec.name)
        engine = EngineConfig(
            base_path=prepare_base_model(spec.base_model).path,
            adapter_path=folder / "adapter",
            model_name=spec.model_name,
            lora_r=spec.lora_r,
            max_model_len=spec.max_model_len,
            tool_call_parser=spec.tool_call_parser,
            gpu_memory_utilization=DEPLOYMENT_GPU_SHARE / ceil(spec.replicas / load_settings().gpus),
        )
        scratch = self._scratch(spec.name)
        make_private(scratch)
        environments = replica_environments(load_settings(), sorted(os.sched_getaffinity(0)), spec.replicas)
        programs = [
            Program(
                name,
                self._command(engine, ports.LOOPBACK, port),
                environments[index] | {FOLDER_VARIABLE: str(scratch / str(index))},
            )
            for index, (name, port) in enumerate(
                zip(deployment.replica_names(), deployment.replica_ports, strict=True)
            )
        ]
        router_file = folder / ROUTER_FILE
        deployment.router_config(deployment.router).write(router_file)
        return [*programs, Program(deployment.router_name(), command(router_file))]


def replica_environments(settings: Settings, cores: Sequence[int], replicas: int) -> list[dict[str, str]]:
    """Return the environment of each replica: on a CPU its own cores, else its GPU, dealt out in turn."""
    common = {DIRECTORY_VARIABLE: str(Path(settings.api_keys).resolve())} if settings.api_keys else {}
    if settings.device == "cpu":
        return [common | engine_environment("cpu", bound) for bound in spread_cores(cores, replicas)]
    return [
        common | engine_environment("cuda") | {"CUDA_VISIBLE_DEVICES": str(index % settings.gpus)}
        for index in range(replicas)
    ]


def spread_cores(cores: Sequence[int], replicas: int) -> list[str]:
    """Deal out the cores to replicas in runs of neighbours, such as `0,1`; fewer than one is shared."""
    if replicas >= len(cores):
        return [str(cores[index % len(cores)]) for index in range(replicas)]
    bounds = [round(index * len(cores) / replicas) for index in range(replicas + 1)]
    return [",".join(map(str, cores[start:end])) for start, end in pairwise(bounds)]
