"""What the local back end remembers between two commands: deployments, ports, champions."""

import fcntl
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from pydantic import BaseModel, Field

from components.errors import TunegateError
from components.router.orders import RouterConfig
from components.serve.ports import LOOPBACK
from components.serve.spec import ServingSpec
from components.storage import atomic_write


class RouterPorts(BaseModel):
    """Where a router listens."""

    port: int
    prometheus_port: int

    def url(self) -> str:
        """Return the base URL (without `/v1`)."""
        return f"http://{LOOPBACK}:{self.port}"


class Deployment(BaseModel):
    """A deployment and the ports of its processes."""

    spec: ServingSpec
    router: RouterPorts
    replica_ports: list[int]

    def replica_names(self) -> list[str]:
        """Return the names of the replicas, in order."""
        return [f"{self.spec.name}-{index}" for index in range(len(self.replica_ports))]

    def worker_urls(self) -> list[str]:
        """Return the addresses of the replicas, in order."""
        return [f"http://{LOOPBACK}:{port}" for port in self.replica_ports]

    def router_name(self) -> str:
        """Return the name of the router's process."""
        return f"{self.spec.name}-router"

    def router_config(self, ports: RouterPorts) -> RouterConfig:
        """Return the orders of a router of these ports that stands before the replicas."""
        return RouterConfig(
            **ports.model_dump(), worker_urls=self.worker_urls(), max_model_len=self.spec.max_model_len
        )

    def process_urls(self) -> dict[str, str]:
        """Return the address of each process by name, the router's last."""
        replicas = dict(zip(self.replica_names(), self.worker_urls(), strict=True))
        return replicas | {self.router_name(): self.router.url()}

    def process_ports(self) -> dict[str, list[int]]:
        """Return the ports of each process by name."""
        replicas = {n: [p] for n, p in zip(self.replica_names(), self.replica_ports, strict=True)}
        return replicas | {self.router_name(): [self.router.port, self.router.prometheus_port]}


class Live(BaseModel):
    """The live endpoint of one model name."""

    router: RouterPorts
    champion: str = ""


class ServeState(BaseModel):
    """Everything that is deployed on this machine out of one state directory."""

    deployments: dict[str, Deployment] = Field(default_factory=dict)
    live: dict[str, Live] = Field(default_factory=dict)

    def deployment(self, name: str) -> Deployment:
        """Return a deployment.

        Raises:
            TunegateError: There is no such deployment.
        """
        if name not in self.deployments:
            known = ", ".join(sorted(self.deployments)) or "none"
            raise TunegateError(f"deployment {name!r}: there is no such one; deployed here: {known}")
        return self.deployments[name]

    def ports(self) -> set[int]:
        """Return every port that is promised to someone."""
        routers = [d.router for d in self.deployments.values()] + [live.router for live in self.live.values()]
        replicas = [port for d in self.deployments.values() for port in d.replica_ports]
        return {p for router in routers for p in (router.port, router.prometheus_port)} | set(replicas)


class StateFile:
    """The state on disk; whoever changes it holds its lock meanwhile."""

    def __init__(self, folder: Path) -> None:
        self._path, self._lock = folder / "state.json", folder / "state.lock"

    def read(self) -> ServeState:
        """Read the state; empty where there is none yet."""
        if not self._path.is_file():
            return ServeState()
        return ServeState.model_validate_json(self._path.read_bytes())

    def write(self, state: ServeState) -> None:
        """Write the state, whole or not at all."""
        with atomic_write(self._path) as file:
            file.write(state.model_dump_json(indent=2).encode())

    def make_folder(self) -> None:
        """Make the folder, for us alone: adapters, logs with what was asked, keys of those who may ask."""
        self._path.parent.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        self._path.parent.mkdir(mode=0o700, exist_ok=True)

    @contextmanager
    def changing(self) -> Iterator[ServeState]:
        """Hold the lock and give the state; the caller writes what it changed."""
        self.make_folder()
        with self._lock.open("w") as lock:  # closed on exec: no server inherits it
            fcntl.flock(lock, fcntl.LOCK_EX)
            yield self.read()
