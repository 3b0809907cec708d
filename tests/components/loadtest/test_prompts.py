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
    prompts = make_prompts(ROWS, long_chars=250, max_chars=10_000, seed=1)
    assert sorted(map(str, prompts.normal)) == sorted(str(r.prompt) for r in ROWS)
    assert [message["role"] for message in prompts.long[0]] == ["system", "user"]
    for normal, long in zip(prompts.normal, prompts.long, strict=True):
        assert long[0]["content"] == SYSTEM
        assert long[-1]["content"].endswith("\n\n" + normal[-1]["content"])
        assert "Do you have item number" in long[-1]["content"].removesuffix(normal[-1]["content"])
    assert {length(long) for long in prompts.long} <= {248, 249, 250}
    assert len({str(long) for long in prompts.long}) == len(ROWS)


def test_long_prompts_end_where_the_service_ends():
    prompts = make_prompts(ROWS, long_chars=1000, max_chars=200, seed=1)
    assert 190 < max(map(length, prompts.long)) <= 200


def test_prompts_that_do_not_fit_are_left_out():
    prompts = make_prompts([*ROWS, row("long " * 100)], long_chars=1, max_chars=200, seed=1)
    assert len(prompts.normal) == len(ROWS)


def test_no_prompt_fits():
    with pytest.raises(InvalidInput, match=r"shortest of .* at most 10.*raise max_model_len"):
        make_prompts(ROWS, long_chars=250, max_chars=10, seed=1)


def test_the_order_follows_the_seed():
    first, again, other = (make_prompts(ROWS, 250, 10_000, seed) for seed in (1, 1, 2))
    assert first == again
    assert first.normal != other.normal
