"""What a model is trained in follows from the device."""

import pytest

from components.precision import precision_for


@pytest.mark.parametrize(
    ("features", "name"),
    [
        pytest.param({"avx512_f": True, "avx512_bf16": False, "amx_bf16": False}, "float32", id="emulated"),
        pytest.param({"avx512_bf16": True}, "bfloat16", id="AVX-512"),
        pytest.param({"amx_bf16": True}, "bfloat16", id="AMX"),
        pytest.param({}, "float32", id="unknown CPU"),
    ],
)
def test_a_cpu_trains_in_bf16_only_where_it_has_instructions_for_it(
    features: dict[str, bool], name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    import torch

    monkeypatch.setattr(torch.cpu, "get_capabilities", lambda: features)
    assert precision_for.__wrapped__("cpu") == getattr(torch, name)
    assert precision_for.__wrapped__("cuda") == torch.bfloat16
