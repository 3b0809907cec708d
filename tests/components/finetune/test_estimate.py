"""The estimate counts what is there, and says what would fit."""

from pathlib import Path

import pytest

from components.errors import InvalidInput
from components.finetune.config import FinetuneConfig
from components.finetune.estimate import GIB, Estimate, estimate, refuse_if_too_large
from components.templates.example import Example

CONFIG = FinetuneConfig(
    base_model="tiny",
    seed=1,
    max_length=512,
    learning_rate=1e-3,
    num_train_epochs=1,
    per_device_train_batch_size=16,
    gradient_accumulation_steps=1,
    warmup_ratio=0.1,
    lora_r=8,
    lora_alpha=16,
    lora_dropout=0.0,
)


def _rows(count: int, length: int) -> list[Example]:
    return [Example(range(1, length + 1), ((length - 8, length),)) for _ in range(count)]


@pytest.mark.parametrize("name", ["bfloat16", "float32"])
def test_weights_and_operations_are_those_of_the_model(tiny_model: Path, name: str) -> None:
    import torch
    from transformers import AutoModelForCausalLM

    precision = getattr(torch, name)
    model = AutoModelForCausalLM.from_pretrained(tiny_model)
    found = estimate(tiny_model, "sdpa", precision, CONFIG, _rows(16, 64))

    shape = model.config
    width, inner = shape.hidden_size, shape.intermediate_size
    queries, keys = (
        heads * shape.head_dim for heads in (shape.num_attention_heads, shape.num_key_value_heads)
    )
    ends = [(width, queries), (width, keys), (width, keys), (queries, width), *[(width, inner)] * 3]
    adapter = shape.num_hidden_layers * sum(CONFIG.lora_r * (a + b) for a, b in ends)
    linear = shape.num_hidden_layers * sum(a * b for a, b in ends)

    weight = {"bfloat16": 2, "float32": 4}[name]
    assert found.fixed_bytes == weight * model.num_parameters() + (2 * weight + 16) * adapter
    # Forward and back to the inputs: 2 x 2 operations a weight, 6 for an adapter's. All rows are equal
    # here, so most tokens are computed once for all 16 of them: 55 shared, 9 of each row.
    computed = (55 + 16 * 9) / (16 * 64)
    least = (4 * linear + 6 * adapter) * computed
    assert 0.8 * least < found.flop_per_token < 2 * least


def test_memory_of_a_batch_grows_with_its_tokens(tiny_model: Path) -> None:
    import torch

    apart = CONFIG.model_copy(update={"lora_dropout": 0.1})  # with dropout no prompt is shared
    small = estimate(tiny_model, "sdpa", torch.bfloat16, apart, _rows(4, 64))
    large = estimate(tiny_model, "sdpa", torch.bfloat16, apart, _rows(16, 64))

    assert large.batch_bytes == pytest.approx(4 * small.batch_bytes, rel=0.1)
    assert large.batch_rows == 16


def test_kept_activations_are_those_that_a_real_batch_keeps(tiny_model: Path) -> None:
    import torch
    from transformers import AutoModelForCausalLM

    from components.finetune.batches import collate
    from components.finetune.estimate import LOGIT_BYTES, _KeptBytes
    from components.finetune.loss import CompletionLoss
    from components.finetune.model import add_adapter

    rows = _rows(8, 64)
    model = AutoModelForCausalLM.from_pretrained(
        tiny_model, dtype=torch.bfloat16, attn_implementation="eager"
    )
    adapted = add_adapter(model, CONFIG)
    loss_of = CompletionLoss(model, share_prompt=True)
    kept = _KeptBytes(list(adapted.parameters()))
    with torch.autograd.graph.saved_tensors_hooks(kept, lambda tensor: tensor):
        loss_of(collate(rows))

    found = estimate(tiny_model, "eager", torch.bfloat16, CONFIG, rows)
    logits = (2 * torch.bfloat16.itemsize + LOGIT_BYTES) * 8 * 8 * model.config.vocab_size
    assert found.batch_bytes - logits == pytest.approx(kept.total, rel=0.02)


@pytest.mark.parametrize(
    ("free_gib", "words"),
    [
        pytest.param(
            5.0,
            ["needs about 10.6 GiB", "weights and optimizer 1.0", "largest batch 8.0", "5.0 GiB are free"],
            id="says-what-is-needed",
        ),
        pytest.param(5.0, ["per_device_train_batch_size from 16 to 6"], id="says-what-fits"),
        pytest.param(1.0, ["smaller base model"], id="nothing-fits"),
    ],
)
def test_refuses_what_does_not_fit(free_gib: float, words: list[str]) -> None:
    needed = Estimate(fixed_bytes=GIB, batch_bytes=8 * GIB, batch_rows=16, flop_per_token=1.0)
    refuse_if_too_large(needed, 11 * GIB, CONFIG)

    with pytest.raises(InvalidInput) as refused:
        refuse_if_too_large(needed, int(free_gib * GIB), CONFIG)

    for word in words:
        assert word in str(refused.value)
