"""Updates too small for bf16 are not lost, and the learning rate rises and falls as asked."""

import pytest

from components.finetune.optimizer import MAX_GRAD_NORM, MasterAdamW, learning_rate_at


def test_updates_smaller_than_bf16_can_hold_add_up() -> None:
    import torch

    weight = torch.nn.Parameter(torch.ones(4, dtype=torch.bfloat16))
    optimizer = MasterAdamW([weight])
    for _ in range(20):
        weight.grad = torch.full_like(weight, 0.1)
        optimizer.collect()
        optimizer.step(1e-3)

    # One step of 0.001 is less than bf16's spacing at 1, so bf16 alone would stay at 1 for ever.
    assert weight[0].item() == pytest.approx(0.98, abs=0.005)


def test_gradients_of_several_batches_add_up_and_are_clipped_once() -> None:
    import torch

    weight = torch.nn.Parameter(torch.zeros(1, dtype=torch.bfloat16))
    optimizer = MasterAdamW([weight])
    for _ in range(3):
        weight.grad = torch.full_like(weight, 2.0)
        optimizer.collect()

    assert optimizer.masters[0].grad is not None
    assert optimizer.masters[0].grad.item() == 6.0
    assert optimizer.step(1e-3) == pytest.approx(6.0)
    assert optimizer.step(1e-3) == 0.0
    assert MAX_GRAD_NORM == 1.0


@pytest.mark.parametrize(
    ("step", "rate"),
    [
        pytest.param(0, 0.1, id="rises-from-the-first-step"),
        pytest.param(9, 1.0, id="peak-at-the-end-of-the-rise"),
        pytest.param(10, 1.0, id="falls-from-the-peak"),
        pytest.param(55, 0.5, id="half-way-down"),
        pytest.param(99, 0.0003, id="next-to-nothing-at-the-end"),
    ],
)
def test_learning_rate(step: int, rate: float) -> None:
    assert learning_rate_at(step, 100, 1.0, 0.1) == pytest.approx(rate, abs=1e-4)


def test_learning_rate_of_a_run_of_one_step() -> None:
    assert learning_rate_at(0, 1, 1.0, 0.1) == 1.0
    assert learning_rate_at(0, 1, 1.0, 0.0) == 1.0
