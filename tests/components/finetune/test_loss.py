"""The short cut of the loss is no other loss: stock logits, masked labels and gradients agree with it."""

from pathlib import Path
from typing import Any

import pytest

from components.finetune import loss as loss_module
from components.finetune.batches import Batch, collate
from components.finetune.loss import CompletionLoss
from components.templates.example import Example

EXAMPLES = [
    Example((1, *range(10, 30), 40, 41, 42, 0), ((21, 25),)),
    Example((1, *range(10, 26), 60, 61, 50, 51, 0), ((17, 18), (19, 22))),
    Example((1, *range(10, 25), 70, 71, 72, 73, 74, 0), ((17, 23),)),
]


@pytest.fixture
def adapted(tiny_model: Path) -> Any:
    """The tiny model in fp32 with an adapter that is not zero, so that only real differences show."""
    import torch
    from peft import LoraConfig, get_peft_model
    from transformers import AutoModelForCausalLM

    torch.manual_seed(0)
    model = AutoModelForCausalLM.from_pretrained(tiny_model, dtype=torch.float32)
    lora = LoraConfig(r=4, target_modules="all-linear", init_lora_weights=False, task_type="CAUSAL_LM")
    return get_peft_model(model, lora)


def _stock_loss(adapted: Any, batch: Batch) -> Any:
    """transformers' own loss: attention mask, all logits, labels of -100 but for the completions."""
    import torch

    labels = torch.full_like(batch.token_ids, -100)
    labels[batch.row, batch.column] = batch.targets
    lengths = torch.tensor([len(example.tokens) for example in EXAMPLES])
    mask = (torch.arange(batch.token_ids.shape[1])[None] < lengths[:, None]).long()
    mean = adapted(input_ids=batch.token_ids, attention_mask=mask, labels=labels).loss
    return mean * len(batch.targets)


def _gradient(adapted: Any, loss: Any) -> Any:
    import torch

    loss.backward()
    weights = [weight for weight in adapted.parameters() if weight.requires_grad]
    flat = torch.cat([weight.grad.flatten() for weight in weights])
    for weight in weights:
        weight.grad = None
    return flat


@pytest.mark.parametrize(
    ("share_prompt", "chunk_logits"),
    [
        pytest.param(False, 1 << 26, id="plain"),
        pytest.param(True, 1 << 26, id="shared-prompt"),
        pytest.param(True, 800, id="shared-prompt-in-chunks"),
    ],
)
@pytest.mark.parametrize("attention", ["eager", "sdpa"])
def test_equals_the_stock_loss_and_gradient(
    adapted: Any, attention: str, share_prompt: bool, chunk_logits: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    import torch

    monkeypatch.setattr(loss_module, "CHUNK_LOGITS", chunk_logits)
    batch = collate(EXAMPLES)
    assert batch.shared == 16
    model = adapted.get_base_model()
    model.set_attn_implementation(attention)

    ours = CompletionLoss(model, share_prompt)(batch)
    stock = _stock_loss(adapted, batch)

    assert ours.item() == pytest.approx(stock.item(), rel=1e-5)
    torch.testing.assert_close(_gradient(adapted, ours), _gradient(adapted, stock), rtol=1e-3, atol=1e-5)


def test_a_model_that_changes_its_logits_after_the_head_is_computed_in_full(adapted: Any) -> None:
    model = adapted.get_base_model()
    stock_forward = model.forward

    def capped(*args: Any, **kwargs: Any) -> Any:
        output = stock_forward(*args, **kwargs)
        output.logits = 0.05 * (output.logits / 0.05).tanh()
        return output

    model.forward = capped
    loss = CompletionLoss(model, share_prompt=True)
    batch = collate(EXAMPLES)

    assert not loss.plain_head
    logits = model(input_ids=batch.token_ids).logits[batch.row, batch.column - 1]
    import torch

    expected = torch.nn.functional.cross_entropy(logits, batch.targets, reduction="sum")
    assert loss(batch).item() == pytest.approx(expected.item(), rel=1e-5)


def test_a_model_with_a_sliding_window_does_not_share_prompts(adapted: Any) -> None:
    from transformers import MistralConfig, MistralForCausalLM

    config = MistralConfig(
        vocab_size=64,
        hidden_size=32,
        intermediate_size=32,
        num_hidden_layers=1,
        num_attention_heads=2,
        num_key_value_heads=2,
        sliding_window=8,
    )

    assert not CompletionLoss(MistralForCausalLM(config), share_prompt=True).share_prompt
    assert CompletionLoss(adapted.get_base_model(), share_prompt=True).share_prompt
