"""AdamW for bf16 adapters."""

import math
from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from torch.nn import Parameter

MAX_GRAD_NORM = 1.0
WEIGHT_DECAY = 0.0


class MasterAdamW:
    """AdamW over fp32 copies of bf16 weights.

    A bf16 number has 8 significant bits, so an update below 1/256 of a weight would be lost. The
    updates go into fp32 copies, and the model computes with their rounded values. Adapters are small,
    so this costs little (16 bytes a weight, under 1 % of a step's time on a 135M model).

    Args:
        weights: The trainable weights of the model.
    """

    def __init__(self, weights: "Iterable[Parameter]") -> None:
        import torch

        self.weights = list(weights)
        self.masters = [weight.detach().float().clone() for weight in self.weights]
        for master in self.masters:
            master.grad = torch.zeros_like(master)
        self._adamw = torch.optim.AdamW(self.masters, lr=0.0, weight_decay=WEIGHT_DECAY, fused=True)

    def collect(self) -> None:
        """Add the model's gradients to those of the fp32 copies and clear them."""
        for weight, master in zip(self.weights, self.masters, strict=True):
            if weight.grad is not None and master.grad is not None:
                master.grad.add_(weight.grad)
                weight.grad = None

    def step(self, learning_rate: float) -> float:
        """Clip the collected gradients, update, clear them, and return their norm before clipping."""
        import torch

        norm = torch.nn.utils.clip_grad_norm_(self.masters, MAX_GRAD_NORM)
        for group in self._adamw.param_groups:
            group["lr"] = learning_rate
        self._adamw.step()
        self._adamw.zero_grad(set_to_none=False)
        self._publish()
        return float(norm)

    def _publish(self) -> None:
        import torch

        with torch.no_grad():
            for weight, master in zip(self.weights, self.masters, strict=True):
                weight.copy_(master)

    def state(self) -> dict[str, Any]:
        """Return what a checkpoint needs between two steps."""
        return {"masters": self.masters, "adamw": self._adamw.state_dict()}

    def load(self, state: dict[str, Any]) -> None:
        """Go on from where `state` was taken."""
        import torch

        with torch.no_grad():
            for master, saved in zip(self.masters, state["masters"], strict=True):
                master.copy_(saved)
        self._adamw.load_state_dict(state["adamw"])
        self._publish()


def learning_rate_at(step: int, total_steps: int, peak: float, warmup_ratio: float) -> float:
    """Return the learning rate of a step: a linear rise, then half a cosine down to zero.

    Args:
        step: The step, from 0.
        total_steps: Steps of the whole run.
        peak: The rate at the end of the rise.
        warmup_ratio: Share of the steps in which it rises.
    """
    warmup = math.ceil(total_steps * warmup_ratio)
    if step < warmup:
        return peak * (step + 1) / warmup
    return peak * 0.5 * (1 + math.cos(math.pi * (step - warmup) / max(1, total_steps - warmup)))
