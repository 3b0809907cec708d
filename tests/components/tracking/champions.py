"""A champion, as a release leaves it in MLflow."""

from components.tracking import model_registry
from components.tracking.stage import open_stage


def promote(fingerprint: str, image: str = "a", base_model: str = "org/base") -> str:
    """Register a champion of `pets` whose image stage noted its dataset; return its version."""
    with open_stage("image", {"dataset_fingerprint": fingerprint}) as stage:
        version = model_registry.register(
            stage.client,
            model_name="pets",
            image=f"oci:/images@sha256:{image * 64}",
            adapter_digest=f"sha256:{'b' * 64}",
            base_model=base_model,
            run_id=stage.run_id,
        )
        model_registry.set_champion(stage.client, "pets", version, "{}", "local")
    return version
