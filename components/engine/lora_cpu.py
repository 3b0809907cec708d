"""A vLLM plugin: LoRA on a CPU at the cost of one small matrix product per adapter.

vLLM's own code for CPUs gathers a copy of an adapter's matrices for every token, which makes an
adapter several times slower than its base model. It also reads a token without an adapter (index -1)
as the last adapter slot: with one slot, requests for the base model that share a batch with requests
for the adapter are answered by the adapter. Here the tokens are grouped by adapter once per step, and
tokens without an adapter are left alone.

vLLM loads `register` through the entry-point group `vllm.general_plugins` in each of its processes,
and nothing else imports this module, so torch and vLLM may be imported at its top.
"""

from collections.abc import Sequence
from typing import Any

import torch
from vllm.lora.punica_wrapper.punica_cpu import PunicaWrapperCPU

Group = tuple[int, slice | torch.Tensor]


def register() -> None:
    """Let vLLM compute LoRA with `GroupedLora` on a CPU; on any other platform do nothing."""
    from vllm.platforms import current_platform

    if current_platform.is_cpu():
        platform: Any = type(current_platform)
        platform.get_punica_wrapper = staticmethod(lambda: f"{__name__}.{GroupedLora.__name__}")


def group_by_adapter(adapters: torch.Tensor) -> list[Group]:
    """Return for each adapter in use which rows are its own: a slice where they lie side by side.

    Args:
        adapters: One adapter slot a row, -1 for none; shape (rows,).
    """
    groups: list[Group] = []
    for adapter in torch.unique(adapters).tolist():
        if adapter < 0:
            continue
        rows = torch.nonzero(adapters == adapter).flatten()
        first, last = int(rows[0]), int(rows[-1])
        side_by_side = last - first + 1 == len(rows)
        groups.append((adapter, slice(first, last + 1) if side_by_side else rows))
    return groups


class GroupedLora(PunicaWrapperCPU):
    """vLLM's LoRA operations, each as one product per adapter in the batch.

    Weights are stacked by adapter slot: A is (slots, 1, rank, inputs), B is (slots, 1, outputs, rank);
    the second axis may be missing. The sums that vLLM's own code rounds twice are rounded once.
    """

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._token_groups: list[Group] = []
        self._sampler_groups: list[Group] = []

    def update_metadata(self, *args: Any, **kwargs: Any) -> None:
        """Note which tokens of the coming step belong to which adapter."""
        super().update_metadata(*args, **kwargs)
        self._token_groups = group_by_adapter(self.token_lora_indices)
        self._sampler_groups = group_by_adapter(self.sampler_indices)

    def add_lora_linear(
        self,
        y: torch.Tensor,
        x: torch.Tensor,
        lora_a_stacked: Sequence[torch.Tensor],
        lora_b_stacked: Sequence[torch.Tensor],
        scale: float,
        output_slices: Sequence[int],
        *,
        buffer: Sequence[torch.Tensor] | None = None,
        **kwargs: Any,
    ) -> None:
        """Add x A' B' scale to y, slice by slice; `buffer` is not needed."""
        shrunk = [
            (group, [_shrink(x, a, group, scale) for a in lora_a_stacked]) for group in self._token_groups
        ]
        for group, parts in shrunk:
            _expand(y, parts, lora_b_stacked, group, output_slices, 0, add_inputs=True)

    def add_lora_logits(
        self,
        y: torch.Tensor,
        x: torch.Tensor,
        lora_a_stacked: torch.Tensor,
        lora_b_stacked: torch.Tensor,
        scale: float,
        *,
        buffer: torch.Tensor | None = None,
        **kwargs: Any,
    ) -> None:
        """Add x A' B' scale to the logits y; rows are requests here, not tokens."""
        for group in self._sampler_groups:
            part = _shrink(x, lora_a_stacked, group, scale)
            _expand(y, [part], [lora_b_stacked], group, [y.shape[-1]], 0, add_inputs=True)

    def add_shrink(
        self,
        y: tuple[torch.Tensor, ...] | torch.Tensor,
        x: torch.Tensor,
        lora_a_stacked: Sequence[torch.Tensor],
        scale: float,
        **kwargs: Any,
    ) -> None:
        """Write x A' scale to each y; rows without an adapter are left alone."""
        for out, weights in zip(y, lora_a_stacked, strict=True):
            rows_out = out.view(-1, out.shape[-1])
            for group in self._token_groups:
                part = _shrink(x, weights, group, scale)
                rows_out[group[1], : part.shape[1]] = part.to(out.dtype)

    def add_expand(
        self,
        y: torch.Tensor,
        x: tuple[torch.Tensor, ...] | torch.Tensor,
        lora_b_stacked: Sequence[torch.Tensor],
        output_slices: Sequence[int],
        offset_start: int = 0,
        add_inputs: bool = True,
        **kwargs: Any,
    ) -> None:
        """Add (or write) x B' to y, slice by slice from column `offset_start` on."""
        for group in self._token_groups:
            parts = [part.view(-1, part.shape[-1])[group[1]] for part in x]
            _expand(y, parts, lora_b_stacked, group, output_slices, offset_start, add_inputs)

    def add_lora_embedding(
        self,
        y: torch.Tensor,
        x: torch.Tensor,
        lora_b_stacked: torch.Tensor,
        add_inputs: bool = True,
        **kwargs: Any,
    ) -> None:
        """Add (or write) x B' to y, where x is what A's embedding gave."""
        self.add_expand(y, (x,), [lora_b_stacked], [y.shape[-1]], add_inputs=add_inputs)


def _shrink(x: torch.Tensor, lora_a: torch.Tensor, group: Group, scale: float) -> torch.Tensor:
    """Return x A' scale for the rows of one adapter, shape (rows, rank)."""
    adapter, rows = group
    weight = _matrix(lora_a, adapter).to(x.dtype)
    part = x.view(-1, x.shape[-1])[rows] @ weight.t()
    return part if scale == 1.0 else part * scale


def _expand(
    y: torch.Tensor,
    parts: Sequence[torch.Tensor],
    lora_b: Sequence[torch.Tensor],
    group: Group,
    output_slices: Sequence[int],
    offset: int,
    add_inputs: bool,
) -> None:
    """Add (or write) each part's product with its B to its slice of the columns of y."""
    adapter, rows = group
    every_row = y.view(-1, y.shape[-1])
    # A slice is a view: the sum goes straight into y. Scattered rows are copied out and back.
    own_rows = every_row[rows]
    for part, stacked, width in zip(parts, lora_b, output_slices, strict=True):
        weight = _matrix(stacked, adapter)
        # The adapter and the model may pad the outputs differently.
        shared = min(weight.shape[0], width)
        columns = own_rows[:, offset : offset + shared]
        beta = 1 if add_inputs else 0
        columns.addmm_(part.to(y.dtype), weight[:shared].to(y.dtype).t(), beta=beta)
        offset += width
    if not isinstance(rows, slice):
        every_row[rows] = own_rows


def _matrix(stacked: torch.Tensor, adapter: int) -> torch.Tensor:
    """Return one adapter's matrix out of a stack of three or four axes."""
    weight = stacked[adapter]
    return weight[0] if weight.ndim == 3 else weight
