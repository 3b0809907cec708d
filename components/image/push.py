"""Push the adapter that was evaluated, read it back, register it."""

import tempfile
from pathlib import Path

from pydantic import ConfigDict, Field

from components.errors import DigestMismatch
from components.oci.adapter_images import PushedImage, pull_adapter, push_adapter
from components.oci.adapters import adapter_digest
from components.settings import home
from components.tracking import model_registry
from components.tracking.shell import StageConfig
from components.tracking.stage import Stage

MIB = 1 << 20


class ImageConfig(StageConfig):
    """What an adapter image is made of."""

    model_config = ConfigDict(frozen=True, protected_namespaces=())

    base_model: str = Field(description="Base model reference that the adapter was trained on.")
    base_revision: str = Field(description="The hub's commit or the digest of the files of that model.")
    model_name: str = Field(description="Name that the adapter is registered under.")
    image_repository: str = Field(description="Registry repository (host/name); empty: a layout on disk.")
    evaluated_digest: str = Field(description="Digest of the adapter that was evaluated.")
    dataset_fingerprint: str = Field(description="Fingerprint of the data that it was trained on.")
    evaluation_run: str = Field(description="MLflow run that evaluated it.")


def push(config: ImageConfig, adapter_path: Path, stage: Stage) -> PushedImage:
    """Push an adapter, verify what is read back by digest, and register it as candidate.

    Args:
        config: What goes into the image, and where to.
        adapter_path: The adapter's directory.
        stage: The running stage.

    Raises:
        DigestMismatch: The adapter is not the one that was evaluated, or it does not come back as it went.
        InvalidInput: The adapter is incomplete, or the repository is none.
        TunegateError: The disk is full, or the registry refuses or can't be reached.
    """
    _assert_evaluated(config, adapter_path)
    where = config.image_repository or f"the image layout {home() / 'images'}"
    stage.say(f"pushing {config.model_name} to {where}")
    pushed = push_adapter(adapter_path, config.image_repository, annotations(config), config.model_name)
    with tempfile.TemporaryDirectory(dir=home(), prefix=".read-back-") as folder:
        pull_adapter(pushed.reference, config.evaluated_digest, Path(folder) / "adapter")
    stage.say(f"{pushed.size_bytes / MIB:.1f} MiB read back and verified: {pushed.manifest_digest}")
    version = model_registry.register(
        stage.client,
        model_name=config.model_name,
        image=pushed.reference,
        adapter_digest=pushed.adapter_digest,
        base_model=config.base_model,
        run_id=stage.run_id,
    )
    stage.say(f"registered as {config.model_name} version {version}, candidate")
    stage.fact("image", pushed.reference)
    stage.fact("image_digest", pushed.manifest_digest)
    stage.fact("adapter_digest", pushed.adapter_digest)
    stage.fact("model_version", version)
    stage.metric("image_bytes", pushed.size_bytes)
    return pushed


def annotations(config: ImageConfig) -> dict[str, str]:
    """Return what the image says about where it comes from; KAITO reads the base model's name."""
    return {
        "org.opencontainers.image.title": config.model_name,
        "org.opencontainers.image.description": f"LoRA adapter of {config.base_model}",
        "sh.kaito.model.name": config.base_model,
        "ai.tunegate.base-model": config.base_model,
        "ai.tunegate.base-model-revision": config.base_revision,
        "ai.tunegate.dataset-fingerprint": config.dataset_fingerprint,
        "ai.tunegate.evaluation-run": config.evaluation_run,
        "ai.tunegate.adapter-digest": config.evaluated_digest,
    }


def _assert_evaluated(config: ImageConfig, adapter_path: Path) -> None:
    found = adapter_digest(adapter_path)
    if found != config.evaluated_digest:
        raise DigestMismatch(
            f"adapter {adapter_path}: is {found}, but {config.evaluated_digest} was evaluated; "
            "nothing was pushed. Run the release again from the fine-tuning"
        )
