"""Memory and time of a run, worked out before anything is loaded.

The largest batch goes through the model on torch's meta device, where tensors have shapes and no
content. That counts, for any architecture, what is kept for the way back and the operations a token
costs. The way back costs as many again: frozen weights need the gradient of their input alone.

    memory = w B x base weights
           + (2 w + 16) B x adapter weights  (weight and gradient; fp32 copy, gradient, two moments)
           + kept activations
           + (2 w + 12) B x logits at once   (logits, in fp32 too, log-softmax, their gradients)
           all times MEMORY_SLACK, plus RUNTIME_BYTES; w is 2 in bf16, 4 in fp32
    time   = 2 x forward operations / (measured rate x UTILISATION)
"""

import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from components.errors import InvalidInput
from components.finetune.batches import collate
from components.finetune.config import FinetuneConfig
from components.finetune.loss import CHUNK_LOGITS, CompletionLoss
from components.finetune.model import Attention, add_adapter
from components.settings import free_memory_bytes
from components.templates.example import Example

if TYPE_CHECKING:
    import torch

GIB = 1 << 30
ADAPTER_BYTES, LOGIT_BYTES = 16, 12  # in fp32, beside the model's own: a weight, a logit
MEMORY_SLACK = 1.15  # gradients in flight, fragments
RUNTIME_BYTES = GIB // 4  # libraries' own buffers
UTILISATION = 0.5  # near 1 was measured with AVX-512; the faster the matrix units, the less of them is used
PROBE_TOKENS, PROBE_WIDTH, PROBE_S = 512, 1024, 0.2


@dataclass(frozen=True)
class Estimate:
    """What a run needs.

    Attributes:
        fixed_bytes: Memory that does not depend on the batch: weights, gradients, optimizer.
        batch_bytes: Memory of the largest batch: kept activations and logits.
        batch_rows: Rows of that batch.
        flop_per_token: Operations forward and backward for each real token of that batch.
    """

    fixed_bytes: int
    batch_bytes: int
    batch_rows: int
    flop_per_token: float

    @property
    def memory_bytes(self) -> int:
        """Most memory in use at once."""
        return int((self.fixed_bytes + self.batch_bytes) * MEMORY_SLACK) + RUNTIME_BYTES

    def seconds(self, tokens: int, flop_per_s: float) -> float:
        """How long training on `tokens` takes.

        Args:
            tokens: Tokens of all batches of the run.
            flop_per_s: What the device does in a layer's matrix products.
        """
        return tokens * self.flop_per_token / (flop_per_s * UTILISATION)


def estimate(
    base_path: Path,
    attention: Attention,
    precision: "torch.dtype",
    config: FinetuneConfig,
    largest: Sequence[Example],
) -> Estimate:
    """Work out what a run needs from its largest batch, without allocating any of it.

    Args:
        base_path: Directory of the base model; only its config is read.
        attention: Attention implementation.
        precision: What the model computes in.
        config: The run's knobs.
        largest: The rows of the largest batch.
    """
    import torch
    from torch.utils.flop_counter import FlopCounterMode
    from transformers import AutoConfig, AutoModelForCausalLM

    with torch.device("meta"):
        model = AutoModelForCausalLM.from_config(  # type: ignore[no-untyped-call]
            AutoConfig.from_pretrained(str(base_path), trust_remote_code=False),
            dtype=precision,
            attn_implementation=attention,
            trust_remote_code=False,
        )
        # PEFT gives a new adapter its layer's precision only where the layer has values.
        adapted = add_adapter(model, config).to(precision)
    weights = list(adapted.parameters())
    adapter_weights = sum(weight.numel() for weight in weights if weight.requires_grad)
    base_weights = sum(weight.numel() for weight in weights) - adapter_weights
    batch = collate(largest).to("meta")
    kept = _KeptBytes(weights)
    hooks = torch.autograd.graph.saved_tensors_hooks(kept, lambda tensor: tensor)
    with FlopCounterMode(display=False) as counter, hooks:
        CompletionLoss(model, share_prompt=config.lora_dropout == 0)(batch)
    own = precision.itemsize
    logits = min(len(batch.row) * model.config.vocab_size, CHUNK_LOGITS)
    return Estimate(
        fixed_bytes=own * base_weights + (2 * own + ADAPTER_BYTES) * adapter_weights,
        batch_bytes=kept.total + (2 * own + LOGIT_BYTES) * logits,
        batch_rows=len(largest),
        flop_per_token=2 * counter.get_total_flops() / sum(len(example.tokens) for example in largest),
    )


class _KeptBytes:
    """A hook that counts the storages kept for the backward pass, each once."""

    def __init__(self, weights: Sequence[Any]) -> None:
        # Storages are known by their address; holding on to them keeps it from being used again.
        self._seen = {weight.untyped_storage()._cdata: weight for weight in weights}
        self.total = 0

    def __call__(self, tensor: Any) -> Any:
        storage = tensor.untyped_storage()
        if storage._cdata not in self._seen:
            self._seen[storage._cdata] = tensor
            self.total += storage.nbytes()
        return tensor


def free_memory(device: str) -> int:
    """Return the bytes that this process can still use on `device`, its container's limit included."""
    if device == "cuda":
        import torch

        return int(torch.cuda.mem_get_info()[0])
    return free_memory_bytes()


def refuse_if_too_large(needed: Estimate, free_bytes: int, config: FinetuneConfig) -> None:
    """Refuse a run that would run out of memory.

    Raises:
        InvalidInput: It doesn't fit; says what would.
    """
    if needed.memory_bytes <= free_bytes:
        return
    room = (free_bytes - RUNTIME_BYTES) / MEMORY_SLACK - needed.fixed_bytes
    rows = int(room / needed.batch_bytes * needed.batch_rows)
    asked = config.per_device_train_batch_size
    if rows >= 1:
        advice = (
            f"lower per_device_train_batch_size from {asked} to {min(rows, asked - 1) or 1} "
            f"(raise gradient_accumulation_steps to keep the step's size), or lower max_length"
        )
    else:
        advice = "lower max_length or lora_r, take a smaller base model, or free memory"
    problem = (
        f"fine-tuning needs about {needed.memory_bytes / GIB:.1f} GiB "
        f"(weights and optimizer {needed.fixed_bytes / GIB:.1f}, "
        f"largest batch {needed.batch_bytes / GIB:.1f}), "
        f"{max(free_bytes, 0) / GIB:.1f} GiB are free: {advice}"
    )
    raise InvalidInput("memory", [problem])


def layer_rate(device: str, precision: "torch.dtype") -> float:
    """Measure what the device does in one small layer, operations a second; takes 0.2 s."""
    import torch

    states = torch.ones(PROBE_TOKENS, PROBE_WIDTH, dtype=precision, device=device)
    weight = torch.ones(PROBE_WIDTH, PROBE_WIDTH, dtype=precision, device=device)

    def layer() -> None:
        # Reading one value waits until the device is done.
        torch.nn.functional.silu(states @ weight)[0, 0].item()

    layer()  # the first product pays for the library's start
    layers, start = 0, time.perf_counter()
    while time.perf_counter() - start < PROBE_S:
        layer()
        layers += 1
    return layers * 2.0 * PROBE_TOKENS * PROBE_WIDTH**2 / (time.perf_counter() - start)
