"""The number format that a device computes in."""

import functools
from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    import torch

BF16_FEATURES = ("avx512_bf16", "amx_bf16", "bf16", "arm_bf16")  # as torch names them, x86 and Arm


@functools.cache
def precision_for(device: str) -> "torch.dtype":
    """Return bf16 where the device has products of it, and fp32 elsewhere.

    A CPU without such instructions emulates bf16: its products take three to four times as long as
    fp32's, which need twice the memory for the weights.

    Args:
        device: `cpu` or `cuda`.
    """
    import torch

    if device == "cuda":
        return torch.bfloat16
    features = torch.cpu.get_capabilities()
    return torch.bfloat16 if any(features.get(name) for name in BF16_FEATURES) else torch.float32


def precision_name(device: str) -> Literal["bfloat16", "float32"]:
    """Return what `precision_for` does, by the name that vLLM has for it."""
    return "float32" if precision_for(device).itemsize == 4 else "bfloat16"
