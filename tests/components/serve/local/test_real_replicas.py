"""The local back end with real vLLM, two replicas of a tiny model that ask for a key."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from components.oci.adapter_images import push_adapter
from components.serve.local.backend import LocalBackend
from components.serve.spec import ServingSpec
from tests.components.serve.clients import ask, processes_in

READY_S = 240
KEY = "sk-ann-1"


@pytest.fixture(scope="module")
def tiny_base(tiny_model: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The tiny model with heads as wide as vLLM's attention on a CPU needs them."""
    import torch
    from transformers import AutoConfig, AutoTokenizer, LlamaForCausalLM

    path = tmp_path_factory.mktemp("tiny-base")
    config = AutoConfig.from_pretrained(tiny_model, head_dim=64)
    LlamaForCausalLM(config).to(torch.bfloat16).save_pretrained(path)
    AutoTokenizer.from_pretrained(tiny_model).save_pretrained(path)
    return path


@pytest.fixture(scope="module")
def tiny_adapter(tiny_base: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A LoRA adapter with random weights."""
    from peft import LoraConfig, get_peft_model
    from transformers import AutoModelForCausalLM

    model = AutoModelForCausalLM.from_pretrained(tiny_base)
    config = LoraConfig(
        r=4, target_modules=["q_proj", "v_proj"], task_type="CAUSAL_LM", init_lora_weights=False
    )
    path = tmp_path_factory.mktemp("tiny-adapter")
    get_peft_model(model, config).save_pretrained(path)
    return path


@pytest.fixture
def real(home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[LocalBackend]:
    (tmp_path / "ann").write_text(KEY)
    monkeypatch.setenv("TUNEGATE_API_KEYS", str(tmp_path))
    backend = LocalBackend()
    yield backend
    backend.shutdown()


@pytest.mark.e2e
@pytest.mark.timeout(600)
def test_real_replicas_serve_recover_and_leave_nothing(
    home: Path, real: LocalBackend, tiny_base: Path, tiny_adapter: Path
) -> None:
    image = push_adapter(tiny_adapter, "", {}, "pet")
    spec = ServingSpec(
        name="pet-real",
        model_name="pet",
        base_model=str(tiny_base),
        image=image.reference,
        adapter_digest=image.adapter_digest,
        lora_r=4,
        replicas=2,
        max_model_len=256,
    )
    real.apply(spec)
    real.wait_ready(spec.name, READY_S)
    real.promote(spec.name)
    live = real.live_endpoint("pet")

    assert ask(live, "pet", stream=True, key=KEY)
    assert ask(live, "base", key=KEY)
    for stranger in ("", "sk-eve"):
        with pytest.raises(OSError, match=r"^401: .*invalid_api_key"):
            ask(live, "base", key=stranger)
    assert KEY not in " ".join(processes_in(str(home)))
    killed = real.kill_replica(spec.name)
    assert ask(live, "pet", key=KEY)  # by the other one
    real.wait_ready(spec.name, READY_S)
    assert {r.name: r.state for r in real.replicas(spec.name)}[killed] == "ready"

    real.shutdown()

    assert processes_in(str(home)) == []
