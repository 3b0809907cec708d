"""What belongs together is on one side, and no large group or prompt takes it all."""

import hashlib
from collections.abc import Sequence
from random import Random
from typing import Any

import numpy

from components.dataset.split import held_out_of


def keys(texts: Sequence[str]) -> "numpy.ndarray[Any, Any]":
    """Return a key of each text, as the store of rows makes them; 0 for none."""
    found = [
        int.from_bytes(hashlib.sha256(text.encode()).digest()[:8], "big") if text else 0 for text in texts
    ]
    return numpy.array(found, "u8")


def parted(
    prompts: list[str], share: float = 0.2, labels: list[int] | None = None, groups: list[str] | None = None
) -> list[bool]:
    near = None if labels is None else numpy.array(labels)
    aside: list[bool] = held_out_of(
        keys(prompts), share, near, None if groups is None else keys(groups)
    ).tolist()
    return aside


def held(prompts: list[str], labels: list[int] | None = None, groups: list[str] | None = None) -> set[str]:
    aside = parted(prompts, labels=labels, groups=groups)
    return {prompt for prompt, is_aside in zip(prompts, aside, strict=True) if is_aside}


def test_near_duplicates_and_groups_stay_together():
    prompts = [f"Q{n}" for n in range(100)]
    near = [n - n % 2 for n in range(100)]
    aside = parted(prompts, labels=near)
    assert sum(aside) == 20 and all(aside[n] == aside[n + 1] for n in range(0, 100, 2))
    customers = [f"c{n % 25}" if n < 75 else "" for n in range(100)]
    aside = parted(prompts, groups=customers)
    sides = {(customers[n], aside[n]) for n in range(75)}
    assert len(sides) == 25 and 15 <= sum(aside) <= 25


def test_rows_joined_in_different_ways_are_one_group():
    aside = parted(
        ["A", "B", "C", "A"] + [f"Q{n}" for n in range(16)],
        0.3,
        [0, 0, *range(2, 20)],
        ["", "x", "x"] + [""] * 17,
    )
    assert len({aside[n] for n in range(4)}) == 1


def test_a_group_of_nearly_all_is_trained_on():
    prompts = [f"Q{n}" for n in range(100)]
    assert held(prompts, [0] * 80 + list(range(80, 100))) == set(prompts[80:])


def test_of_large_groups_alone_the_smallest_is_held_out():
    prompts = [f"Q{n}" for n in range(10)]
    assert held(prompts, None, ["a"] * 6 + ["b"] * 4) == set(prompts[6:])
    assert held(prompts, None, ["a"] * 10) == set()


def test_without_groups_nothing_changes():
    prompts = [f"Q{n}" for n in range(50)]
    assert held(prompts) == held(prompts, list(range(50)), [""] * 50)


def test_a_prompt_that_is_most_of_the_rows_is_trained_on():
    prompts = ["Summarise."] * 900 + [f"Q{n}" for n in range(100)]
    for seed in range(20):  # of which some draw it first
        aside = parted([f"{seed} {prompt}" for prompt in prompts], share=0.05)
        assert sum(aside) == 50 and not any(aside[:900])


def test_of_few_large_prompts_the_smallest_is_held_out_and_some_are_trained_on():
    prompts = ["A"] * 50 + ["B"] * 20 + ["C"] * 30
    assert held(prompts) == {"B"}
    assert held(["A"] * 60 + ["B"] * 40) == {"B"}
    assert held(["A"] * 100) == set()


def test_prompts_that_are_no_larger_than_what_is_wanted_are_drawn_as_they_were():
    """The first prompts by their keys until there are enough, as a plain loop draws them."""
    for seed in range(20):
        random = Random(seed)
        prompts = [f"{seed} {random.randrange(40)}" for _ in range(200)]
        by_key = sorted(set(prompts), key=lambda prompt: int(keys([prompt])[0]))
        drawn = set[str]()
        while sum(prompt in drawn for prompt in prompts) < 40:
            drawn.add(by_key.pop(0))
        assert held(prompts) == drawn
