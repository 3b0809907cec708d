"""Adapters that are registered, and deployed on a back end in memory."""

from collections.abc import Callable
from pathlib import Path

import pytest

from components.serve.spec import ServingSpec
from components.tracking import model_registry, runs
from tests.components.release.candidates import deploy_candidate
from tests.components.serve.memory_backend import MemoryBackend


@pytest.fixture
def backend(monkeypatch: pytest.MonkeyPatch) -> MemoryBackend:
    """What every stage of this release reaches as its serving target."""
    from components.release import closing, promotion, rollback, settling, targets

    memory = MemoryBackend()
    for module in (closing, promotion, rollback, settling, targets):
        monkeypatch.setattr(module, "serving_backend", lambda target: memory)
    return memory


@pytest.fixture
def deploy(state: Path, backend: MemoryBackend) -> Callable[..., ServingSpec]:
    """Register an adapter, and deploy it as the candidate of a release."""

    def run(release: str = "test-release", seed: str = "a", model_name: str = "petstore") -> ServingSpec:
        return deploy_candidate(backend, model_name, release, seed)

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
