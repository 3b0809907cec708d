"""Deploy the candidate of a release and wait until it answers."""

import tempfile
from pathlib import Path

from components.oci.adapter_images import PushedImage, pull_adapter
from components.oci.adapters import adapter_rank
from components.serve.narration import narrator
from components.serve.spec import ServingSpec, deployment_name
from components.serve.targets import serving_backend
from components.tracking import runs
from components.tracking.shell import StageConfig
from components.tracking.stage import Stage


class DeployConfig(StageConfig):
    """The knobs of the deploy stage; `pipelines.params.ReleaseParams` says what they mean."""

    base_model: str
    model_name: str
    serving_target: str
    replicas: int
    max_model_len: int
    tool_call_parser: str = ""
    ready_timeout_s: int


def deploy_candidate(config: DeployConfig, image_path: Path, stage: Stage) -> ServingSpec:
    """Serve the adapter of an image beside whatever serves already; all of it is ready, or nothing is left.

    Args:
        config: The knobs.
        image_path: What the image stage wrote: a `PushedImage` as JSON.
        stage: The running stage.

    Raises:
        DigestMismatch: The image holds another adapter than the one that was pushed.
        NotReady: It did not come up within `ready_timeout_s`, or keeps dying.
    """
    image = PushedImage.model_validate_json(image_path.read_bytes())
    spec = ServingSpec(
        name=deployment_name(config.model_name, runs.release_id()),
        model_name=config.model_name,
        base_model=config.base_model,
        image=image.reference,
        adapter_digest=image.adapter_digest,
        lora_r=_rank_in_image(image.reference, image.adapter_digest),
        replicas=config.replicas,
        max_model_len=config.max_model_len,
        tool_call_parser=config.tool_call_parser,
    )
    backend = serving_backend(config.serving_target)
    stage.say(f"starting {spec.replicas} replicas of {spec.name}")
    try:
        backend.apply(spec)
        ready_s = backend.wait_ready(spec.name, config.ready_timeout_s, narrator(stage.say))
        endpoint = backend.endpoint(spec.name)
    except BaseException:
        stage.say(f"{spec.name} did not become ready and is taken down")
        backend.retire(spec.name)
        raise
    stage.metric("ready_s", ready_s)
    stage.fact("endpoint", endpoint)
    stage.fact("deployment", spec.name)
    stage.say(f"{spec.name} answers at {endpoint} after {ready_s:.0f} s")
    return spec


def _rank_in_image(reference: str, adapter_digest: str) -> int:
    """Return the largest rank in an adapter's image: the server has to be started with room for it."""
    with tempfile.TemporaryDirectory() as folder:
        adapter = pull_adapter(reference, adapter_digest, Path(folder) / "adapter")
        return adapter_rank(adapter)
