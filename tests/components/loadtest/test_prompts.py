from statistics import median

import pytest

from components.conversations import Conversation, Message
from components.errors import InvalidInput
from components.loadtest.prompts import length, make_prompts

SYSTEM = "You work in a pet store."


def row(question: str) -> Conversation:
    turns = [("system", SYSTEM), ("user", question), ("assistant", "Yes.")]
    return Conversation(messages=tuple(Message(role=role, content=text) for role, text in turns))


ROWS = [row(f"Do you have item number {number} in the store?") for number in range(20)]


def test_long_prompts_are_questions_behind_other_questions():
    prompts = make_prompts(ROWS, factor=4, max_chars=10_000, seed=1)
    assert sorted(map(str, prompts.normal)) == sorted(str(r.prompt) for r in ROWS)
    assert [message["role"] for message in prompts.long[0]] == ["system", "user"]
    for normal, long in zip(prompts.normal, prompts.long, strict=True):
        assert long[0]["content"] == SYSTEM
        assert long[-1]["content"].endswith("\n\n" + normal[-1]["content"])
        assert "Do you have item number" in long[-1]["content"].removesuffix(normal[-1]["content"])
    ratio = median(map(length, prompts.long)) / median(map(length, prompts.normal))
    assert prompts.long_factor == ratio == pytest.approx(4, rel=0.02)
    assert len({str(long) for long in prompts.long}) == len(ROWS)


def test_long_prompts_end_where_the_service_ends():
    prompts = make_prompts(ROWS, factor=100, max_chars=200, seed=1)
    assert max(map(length, prompts.long)) <= 200
    assert prompts.long_factor < 4


def test_prompts_that_do_not_fit_are_left_out():
    prompts = make_prompts([*ROWS, row("long " * 100)], factor=1, max_chars=200, seed=1)
    assert len(prompts.normal) == len(ROWS)


def test_no_prompt_fits():
    with pytest.raises(InvalidInput, match=r"shortest of .* at most 10.*raise max_model_len"):
        make_prompts(ROWS, factor=4, max_chars=10, seed=1)


def test_the_order_follows_the_seed():
    first, again, other = (make_prompts(ROWS, 4, 10_000, seed) for seed in (1, 1, 2))
    assert first == again
    assert first.normal != other.normal
