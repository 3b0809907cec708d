"""Our LoRA operations against vLLM's own, and against plain matrix products where vLLM's are wrong."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    import torch
    from vllm.lora.layers import LoRAMapping
    from vllm.lora.punica_wrapper.punica_cpu import PunicaWrapperCPU

    from components.engine.lora_cpu import GroupedLora, group_by_adapter

SLOTS, RANK, INPUTS = 3, 8, 48
SLICES = (32, 16, 16)
OUTPUTS = sum(SLICES)

# Adapter ids per request, 0 for none, and the tokens of each request. The last slot is left empty
# (zeros), because vLLM's own code takes it for the tokens without an adapter.
BATCHES = {
    "one adapter": ([1, 1, 1], [4, 1, 6]),
    "no adapter": ([0, 0], [3, 2]),
    "mixed": ([1, 0, 1], [2, 3, 4]),
    "two adapters at once": ([1, 2], [5, 3]),
    "two adapters, scattered, and none": ([2, 0, 1, 2, 0, 1], [1, 2, 1, 3, 1, 2]),
    "one token": ([2], [1]),
    "decode, one token a request": ([1, 2, 0, 1, 0], [1, 1, 1, 1, 1]),
}


def wrapper(kind: type[PunicaWrapperCPU], requests: list[int], tokens: list[int], prefill: bool) -> Any:
    made = kind(256, 64, "cpu")
    index = [adapter for adapter, count in zip(requests, tokens, strict=True) for _ in range(count)]
    mapping = LoRAMapping(tuple(index), tuple(requests), is_prefill=prefill)
    made.update_metadata(mapping, [1, 2, None], SLOTS, 1000)
    return made


def stack(*shape: int, dtype: torch.dtype, four: bool = True) -> torch.Tensor:
    weights = torch.randn(SLOTS, 1, *shape).to(dtype) / shape[-1] ** 0.5
    weights[-1] = 0
    return weights if four else weights[:, 0]


def agree(ours: torch.Tensor, stock: torch.Tensor) -> None:
    """Equal within the rounding of bfloat16 (8 bits of mantissa)."""
    torch.testing.assert_close(ours.float(), stock.float(), rtol=2**-6, atol=2**-6)


@pytest.fixture(autouse=True, scope="module")
def imported() -> None:
    """Import vLLM only where these tests run: every worker collects them, and it takes 10 s."""
    global torch, LoRAMapping, PunicaWrapperCPU, GroupedLora, group_by_adapter

    pytest.importorskip("vllm")
    import torch
    from vllm.lora.layers import LoRAMapping
    from vllm.lora.punica_wrapper.punica_cpu import PunicaWrapperCPU

    from components.engine.lora_cpu import GroupedLora, group_by_adapter


@pytest.fixture(autouse=True)
def seed() -> None:
    torch.manual_seed(0)


@pytest.fixture(params=[True, False], ids=["prefill (sgmv)", "decode (bgmv)"])
def prefill(request: pytest.FixtureRequest) -> bool:
    return bool(request.param)


@pytest.fixture(params=BATCHES.values(), ids=BATCHES.keys())
def both(request: pytest.FixtureRequest, prefill: bool) -> tuple[Any, Any, int, int]:
    requests, tokens = request.param
    return (
        wrapper(GroupedLora, requests, tokens, prefill),
        wrapper(PunicaWrapperCPU, requests, tokens, prefill),
        sum(tokens),
        len(requests),
    )


def same(call: Callable[[Any, torch.Tensor], None], ours: Any, stock: Any, y: torch.Tensor) -> None:
    one, other = y.clone(), y.clone()
    call(ours, one)
    call(stock, other)
    agree(one, other)


@pytest.mark.parametrize("dtype_name", ["bfloat16", "float32"])
@pytest.mark.parametrize("four", [True, False], ids=["4-d weights", "3-d weights"])
def test_linear_agrees_with_stock(both: tuple[Any, Any, int, int], dtype_name: str, four: bool) -> None:
    ours, stock, rows, _ = both
    dtype = getattr(torch, dtype_name)
    a = tuple(stack(RANK, INPUTS, dtype=dtype, four=four) for _ in SLICES)
    b = tuple(stack(width, RANK, dtype=dtype, four=four) for width in SLICES)
    x, y = torch.randn(rows, INPUTS).to(dtype), torch.randn(rows, OUTPUTS).to(dtype)
    same(lambda w, out: w.add_lora_linear(out, x, a, b, 0.5, SLICES), ours, stock, y)


@pytest.mark.parametrize("add_inputs", [True, False], ids=["add", "write"])
@pytest.mark.parametrize("offset", [0, 16], ids=["from the first column", "from column 16"])
def test_shrink_and_expand_agree_with_stock(
    both: tuple[Any, Any, int, int], add_inputs: bool, offset: int
) -> None:
    ours, stock, rows, _ = both
    a = tuple(stack(RANK, INPUTS, dtype=torch.bfloat16) for _ in SLICES)
    b = tuple(stack(width, RANK, dtype=torch.bfloat16) for width in SLICES)
    x = torch.randn(rows, INPUTS).to(torch.bfloat16)
    y = torch.randn(rows, offset + OUTPUTS).to(torch.bfloat16)
    kept = ours.token_lora_indices < 0

    def call(punica: Any, out: torch.Tensor) -> None:
        before = out.clone()
        shrunk = tuple(torch.zeros(rows, RANK) for _ in SLICES)
        punica.add_shrink(shrunk, x, a, 2.0)
        punica.add_expand(out, shrunk, b, SLICES, offset_start=offset, add_inputs=add_inputs)
        if not add_inputs:  # stock writes zeros where there is no adapter; that is told apart below
            out[kept] = before[kept]

    same(call, ours, stock, y)


@pytest.mark.parametrize("padded", [0, 8], ids=["equal widths", "the adapter pads its outputs"])
def test_embedding_agrees_with_stock(both: tuple[Any, Any, int, int], padded: int) -> None:
    ours, stock, rows, _ = both
    b = stack(OUTPUTS + padded, RANK, dtype=torch.bfloat16)
    x, y = torch.randn(rows, RANK), torch.randn(rows, OUTPUTS).to(torch.bfloat16)
    same(lambda w, out: w.add_lora_embedding(out, x, b), ours, stock, y)


@pytest.mark.parametrize("outputs", [OUTPUTS - 8, OUTPUTS + 8], ids=["model pads", "adapter pads"])
def test_logits_agree_with_stock(both: tuple[Any, Any, int, int], outputs: int) -> None:
    ours, stock, _, requests = both
    a = stack(RANK, INPUTS, dtype=torch.bfloat16)
    b = stack(outputs, RANK, dtype=torch.bfloat16)
    x = torch.randn(requests, INPUTS).to(torch.bfloat16)
    y = torch.randn(requests, OUTPUTS).to(torch.bfloat16)
    same(lambda w, out: w.add_lora_logits(out, x, a, b, 1.0), ours, stock, y)


def test_tokens_without_an_adapter_stay_untouched_when_every_slot_is_taken() -> None:
    """Stock computes them with the last slot, so it answers the base model's users with the adapter."""
    a, b = torch.ones(1, 1, RANK, INPUTS), torch.ones(1, 1, OUTPUTS, RANK)
    x, y = torch.ones(3, INPUTS), torch.zeros(3, OUTPUTS)
    results = []
    for kind in (GroupedLora, PunicaWrapperCPU):
        punica, out = kind(16, 4, "cpu"), y.clone()
        punica.update_metadata(LoRAMapping((0, 7, 0), (0, 7, 0), is_prefill=True), [7], 1, 1000)
        punica.add_lora_linear(out, x, (a,), (b,), 1.0, (OUTPUTS,))
        results.append(out)
    ours, stock = results
    assert ours.sum(dim=1).tolist() == [0, INPUTS * RANK * OUTPUTS, 0]
    assert stock[0].sum() != 0, "vLLM no longer does this: shorten our reason for the plugin"


def test_a_new_step_replaces_the_groups() -> None:
    punica = wrapper(GroupedLora, [1, 0], [1, 1], prefill=True)
    a, b = (stack(RANK, INPUTS, dtype=torch.float32),), (stack(OUTPUTS, RANK, dtype=torch.float32),)
    mapping = LoRAMapping((0, 1), (0, 1), is_prefill=True)
    punica.update_metadata(mapping, [1, 2, None], SLOTS, 1000)
    out = torch.zeros(2, OUTPUTS)
    punica.add_lora_linear(out, torch.randn(2, INPUTS), a, b, 1.0, (OUTPUTS,))
    assert (out != 0).any(dim=1).tolist() == [False, True]


@pytest.mark.parametrize(
    ("adapters", "expected"),
    [
        pytest.param([-1, -1], [], id="none"),
        pytest.param([0, 0, 0], [(0, slice(0, 3))], id="one"),
        pytest.param([-1, 1, 1, 0], [(0, slice(3, 4)), (1, slice(1, 3))], id="side by side"),
        pytest.param([0, -1, 0], [(0, [0, 2])], id="scattered"),
    ],
)
def test_rows_are_grouped_by_adapter(adapters: list[int], expected: list[Any]) -> None:
    groups = group_by_adapter(torch.tensor(adapters))
    plain = [(slot, rows if isinstance(rows, slice) else rows.tolist()) for slot, rows in groups]
    assert plain == expected


@pytest.mark.parametrize(("is_cpu", "ours"), [(True, True), (False, False)], ids=["cpu", "elsewhere"])
def test_the_plugin_is_for_cpus_only(monkeypatch: pytest.MonkeyPatch, is_cpu: bool, ours: bool) -> None:
    from vllm import platforms

    from components.engine.lora_cpu import register

    class FakePlatform:
        def is_cpu(self) -> bool:
            return is_cpu

        def get_punica_wrapper(self) -> str:
            return "stock"

    monkeypatch.setattr(platforms, "_current_platform", FakePlatform())
    register()
    named = platforms.current_platform.get_punica_wrapper()
    assert named == ("components.engine.lora_cpu.GroupedLora" if ours else "stock")
