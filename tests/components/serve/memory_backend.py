"""A back end without a single process."""

from collections.abc import Callable
from contextlib import AbstractContextManager

from components.errors import TunegateError
from components.serve.backend import Backend, Replica, WaitProgress
from components.serve.lease import WAIT_S, Lease, Unfinished
from components.serve.local.leases import LocalLeases
from components.serve.spec import ServingSpec
from components.settings import home


class MemoryBackend(Backend):
    """Deployments as entries of a dictionary, real leases; `fail` names the calls that raise."""

    def __init__(self) -> None:
        self.deployed: dict[str, ServingSpec] = {}
        self.live: dict[str, str] = {}
        self.calls: list[str] = []
        self.fail: dict[str, BaseException] = {}

    def _call(self, method: str, name: str) -> None:
        self.calls.append(f"{method} {name}")
        for key in (method, f"{method} {name}"):
            if key in self.fail:
                raise self.fail[key]

    def check(self, model_name: str, base_model: str) -> None:
        self._call("check", model_name)

    def apply(self, spec: ServingSpec) -> None:
        self._call("apply", spec.name)
        self.deployed[spec.name] = spec

    def wait_ready(self, name: str, timeout_s: float, progress: WaitProgress | None = None) -> float:
        self._call("wait_ready", name)
        if progress:
            progress(self.replicas(name))
            progress(self.replicas(name))
        return 1.0

    def endpoint(self, name: str) -> str:
        return f"http://127.0.0.1:9000/{name}"

    def live_endpoint(self, model_name: str) -> str:
        return "http://127.0.0.1:8041"

    def deployments(self) -> list[ServingSpec]:
        return list(self.deployed.values())

    def replicas(self, name: str) -> list[Replica]:
        return [Replica("r0", "ready", "http://127.0.0.1:9001"), Replica("r1", "starting", "")]

    def kill_replica(self, name: str) -> str:
        return name

    def scale(self, name: str, replicas: int) -> None:
        self._call("scale", name)

    def champion(self, model_name: str) -> ServingSpec | None:
        return self.deployed.get(self.live.get(model_name, ""))

    def promote(self, name: str) -> None:
        self._call("promote", name)
        self.live[self.deployed[name].model_name] = name

    def restore(self, model_name: str, timeout_s: float) -> None:
        self._call("restore", model_name)

    def retire(self, name: str) -> None:
        self._call("retire", name)
        if name in self.live.values():
            raise TunegateError(f"{name} takes the live traffic")
        self.deployed.pop(name, None)

    def withdraw(self, model_name: str) -> None:
        self._call("withdraw", model_name)
        self.live.pop(model_name, None)

    def lease(
        self, model_name: str, holder: str, say: Callable[[str], None], wait_s: float = WAIT_S
    ) -> AbstractContextManager[Lease]:
        return LocalLeases(home() / "leases").hold(model_name, holder, say, wait_s)

    def unfinished(self, model_name: str) -> Unfinished | None:
        return LocalLeases(home() / "leases").unfinished(model_name)
