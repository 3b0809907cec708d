import pytest

from components.conversations import Conversation, Message, Prompt, ToolCall
from components.errors import InvalidInput
from components.loadtest.prompts import length, make_prompts, question

SYSTEM = "You work in a pet store."


def row(asked: str) -> Conversation:
    turns = [("system", SYSTEM), ("user", asked), ("assistant", "Yes.")]
    return Conversation(messages=tuple(Message(role=role, content=text) for role, text in turns))


ROWS = [row(f"Do you have item number {number} in the store?") for number in range(20)]


def test_long_prompts_are_questions_behind_other_questions():
    prompts = make_prompts(ROWS, long_chars=250, max_chars=10_000, seed=1)
    assert sorted(map(str, prompts.normal)) == sorted(str(r.request) for r in ROWS)
    assert [message.role for message in prompts.long[0].messages] == ["system", "user"]
    for normal, long in zip(prompts.normal, prompts.long, strict=True):
        assert long.messages[0].content == SYSTEM
        assert question(long).endswith("\n\n" + question(normal))
        assert "Do you have item number" in question(long).removesuffix(question(normal))
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


CALL = ToolCall(name="price", arguments={"item": "bed"})
CALLING = Prompt(
    messages=(
        Message(role="user", content="Cost?"),
        Message(role="assistant", content="", tool_calls=(CALL,)),
        Message(role="tool", content="2"),
    ),
    tools=({"type": "function", "function": {"name": "price"}},),
)


def test_calls_and_tools_are_part_of_a_prompts_length():
    without_tools = CALLING.model_copy(update={"tools": ()})
    without_calls = without_tools.model_copy(update={"messages": (CALLING.messages[0], CALLING.messages[2])})
    assert length(CALLING) > length(without_tools) > length(without_calls) == len("Cost?") + len("2")


def test_a_long_prompt_with_tools_has_its_context_in_the_users_turn():
    rows = [Conversation(messages=(*CALLING.messages, ROWS[0].messages[-1]), tools=CALLING.tools)]
    (long,) = make_prompts(rows, long_chars=250, max_chars=1000, seed=1).long
    assert long.tools == CALLING.tools
    assert long.messages[1:] == CALLING.messages[1:]
    assert question(long).endswith("\n\nCost?") and 240 < length(long) <= 250
