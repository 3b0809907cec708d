"""Every row once an epoch, in batches of like lengths, in an order that follows from the seed."""

from typing import Any

import pytest

from components.finetune.batches import collate, plan_steps
from components.finetune.config import FinetuneConfig
from components.templates.example import Example

LENGTHS = [5 + (index * 37) % 90 for index in range(70)]


def _config(**changes: Any) -> FinetuneConfig:
    return FinetuneConfig(
        **{
            "base_model": "tiny",
            "seed": 3,
            "max_length": 100,
            "learning_rate": 1e-3,
            "num_train_epochs": 1,
            "per_device_train_batch_size": 8,
            "gradient_accumulation_steps": 1,
            "warmup_ratio": 0.1,
            "lora_r": 4,
            "lora_alpha": 8,
            "lora_dropout": 0.0,
            **changes,
        }
    )


@pytest.mark.parametrize(
    ("changes", "steps"),
    [
        pytest.param({}, 9, id="one-epoch"),
        pytest.param({"num_train_epochs": 2}, 18, id="two-epochs"),
        pytest.param({"num_train_epochs": 0.5}, 5, id="half-an-epoch"),
        pytest.param({"num_train_epochs": 0.001}, 1, id="at-least-one-step"),
        pytest.param({"gradient_accumulation_steps": 4}, 3, id="accumulated"),
        pytest.param({"per_device_train_batch_size": 100}, 1, id="batch-larger-than-the-set"),
    ],
)
def test_the_number_of_steps(changes: dict[str, Any], steps: int) -> None:
    assert len(plan_steps(LENGTHS, _config(**changes))) == steps


def test_each_epoch_has_every_row_once_and_another_order() -> None:
    steps = plan_steps(LENGTHS, _config(num_train_epochs=2))

    first, second = (
        [row for step in part for batch in step for row in batch] for part in (steps[:9], steps[9:])
    )

    assert sorted(first) == sorted(second) == list(range(70))
    assert first != second


def test_the_plan_follows_from_the_seed() -> None:
    assert plan_steps(LENGTHS, _config()) == plan_steps(LENGTHS, _config())
    assert plan_steps(LENGTHS, _config()) != plan_steps(LENGTHS, _config(seed=4))


def test_rows_of_like_length_are_computed_together() -> None:
    computed = sum(
        len(batch) * max(LENGTHS[row] for row in batch)
        for step in plan_steps(LENGTHS, _config())
        for batch in step
    )

    assert computed < 1.3 * sum(LENGTHS)  # in any order it would be 1.7 times


def test_a_batch_marks_completions_and_what_all_prompts_share() -> None:
    batch = collate([Example((7, 8, 9, 1, 2), ((3, 5),)), Example((7, 8, 5, 6, 3), ((4, 5),))])

    assert batch.token_ids.tolist() == [[7, 8, 9, 1, 2], [7, 8, 5, 6, 3]]
    assert list(zip(batch.row.tolist(), batch.column.tolist(), strict=True)) == [(0, 3), (0, 4), (1, 4)]
    assert batch.targets.tolist() == [1, 2, 3]
    assert batch.shared == 2


def test_equal_prompts_do_not_share_the_token_the_answer_follows_from() -> None:
    assert collate([Example((7, 8, 9, 1), ((3, 4),)), Example((7, 8, 9, 2), ((3, 4),))]).shared == 2


def test_a_batch_marks_every_answer_of_a_row_and_shares_what_stands_before_the_first() -> None:
    batch = collate(
        [Example((7, 8, 9, 1, 5, 6, 2, 3), ((3, 4), (6, 8))), Example((7, 8, 9, 1, 4), ((4, 5),))]
    )

    assert batch.targets.tolist() == [1, 2, 3, 4]
    assert batch.shared == 2
