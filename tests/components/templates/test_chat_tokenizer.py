"""What is learned of a conversation under templates of several families, and what they refuse."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from components.conversations import Conversation
from components.errors import InvalidInput
from components.templates.chat_tokenizer import ChatTokenizer
from components.templates.example import LearnTurns, Measured, Refused
from tests.components.templates import families
from tests.components.templates.families import with_template

TOOL = {"type": "function", "function": {"name": "price", "parameters": {"type": "object"}}}
CALL = {"name": "price", "arguments": {"item": "Käse"}}
Make = Callable[[str], ChatTokenizer]


def turn(role: str, content: str = "", **more: Any) -> dict[str, Any]:
    return {"role": role, "content": content} | more


def row(*turns: dict[str, Any], tools: tuple[dict[str, Any], ...] = ()) -> Conversation:
    return Conversation.model_validate({"messages": turns, "tools": tools})


HELLO = (turn("user", "Hi"), turn("assistant", "Hello"))
QUESTION = (turn("user", "Cost?"), turn("assistant", "2 dollars"))
CALLING = (
    turn("user", "Cost?"),
    turn("assistant", tool_calls=[CALL]),
    turn("tool", 'is "2"\ndollars'),
    turn("assistant", "2 dollars"),
)


@pytest.fixture(scope="module")
def make(tiny_model: Path, tmp_path_factory: pytest.TempPathFactory) -> Make:
    made: dict[str, ChatTokenizer] = {}

    def tokenizer(template: str) -> ChatTokenizer:
        if template not in made:
            path = with_template(tiny_model, template, tmp_path_factory.mktemp("model"))
            made[template] = ChatTokenizer(path)
        return made[template]

    return tokenizer


def learned(tokenizer: ChatTokenizer, conversation: Conversation, learn: LearnTurns = "all") -> list[str]:
    return [text for text, is_learned in tokenizer.marked(conversation, learn) if is_learned]


CHATML_CALL = '<call>{"name": "price", "arguments": {"item": "Käse"}}</call><|end|>'
LEARNED = [
    pytest.param(families.PLAIN, row(*QUESTION), ["2 dollars<|end|>"], id="one-answer"),
    pytest.param(families.PLAIN, row(*HELLO, *QUESTION), ["Hello<|end|>", "2 dollars<|end|>"], id="two"),
    pytest.param(
        families.PLAIN,
        row(HELLO[0], turn("assistant", "Go away", learned=False), *QUESTION),
        ["2 dollars<|end|>"],
        id="a-turn-not-to-be-learned",
    ),
    pytest.param(
        families.CHATML_TOOLS,
        row(*CALLING, tools=(TOOL,)),
        [CHATML_CALL, "2 dollars<|end|>"],
        id="calls-in-tags",
    ),
    pytest.param(
        families.HEADERS_TOOLS,
        row(*CALLING, tools=(TOOL,)),
        ['{"name": "price", "parameters": {"item": "Käse"}}<|end|>', "2 dollars<|end|>"],
        id="calls-under-headers",
    ),
    pytest.param(
        families.CHATML_TOOLS,
        row(turn("user", "Cost?"), turn("assistant", "2", reasoning="1+1")),
        ["<think>1+1</think>2<|end|>"],
        id="reasoning",
    ),
    pytest.param(
        families.NEXT_TURN_ENDS,
        row(*HELLO, *QUESTION),
        ["Hello<|end|>", "2 dollars<|end|>"],
        id="the-next-turn-ends-one",
    ),
]


@pytest.mark.parametrize(("template", "conversation", "expected"), LEARNED)
def test_learns_each_answer_with_its_end_in_one_sequence(
    make: Make, template: str, conversation: Conversation, expected: list[str]
) -> None:
    (examples,) = make(template).encode([conversation])

    assert not isinstance(examples, Refused) and len(examples) == 1
    assert learned(make(template), conversation) == expected


def test_learns_the_last_turn_alone_where_asked_to(make: Make) -> None:
    tokenizer = make(families.PLAIN)

    assert learned(tokenizer, row(*HELLO, *QUESTION), "last") == ["2 dollars<|end|>"]
    unwanted = row(*HELLO, QUESTION[0], turn("assistant", "2", learned=False))
    assert learned(tokenizer, unwanted) == ["Hello<|end|>"]
    assert tokenizer.encode([unwanted], "last") == [()]


def test_shows_the_whole_row_as_the_model_sees_it(make: Make) -> None:
    assert make(families.CHATML_TOOLS).marked(row(*HELLO, *QUESTION)) == [
        ("<|user|>Hi<|end|>\n<|assistant|>", False),
        ("Hello<|end|>", True),
        ("\n<|user|>Cost?<|end|>\n<|assistant|>", False),
        ("2 dollars<|end|>", True),
    ]


def test_a_template_that_forgets_reasoning_gives_an_example_for_each_turn(make: Make) -> None:
    tokenizer = make(families.FORGETS_REASONING)
    thinking = row(
        turn("user", "Hi"),
        turn("assistant", "Hello", reasoning="greet"),
        turn("user", "Cost?"),
        turn("assistant", "2", reasoning="1+1"),
    )

    assert tokenizer.marked(thinking) == [
        ("<|user|>Hi<|end|>\n<|assistant|>", False),
        ("<think>greet</think>Hello<|end|>", True),
        ("<|user|>Hi<|end|>\n<|assistant|>Hello<|end|>\n<|user|>Cost?<|end|>\n<|assistant|>", False),
        ("<think>1+1</think>2<|end|>", True),
    ]
    assert learned(tokenizer, row(*HELLO, *QUESTION)) == ["Hello<|end|>", "2 dollars<|end|>"]
    (examples,) = tokenizer.encode([thinking])
    assert not isinstance(examples, Refused)
    assert tokenizer.measure([thinking]) == [Measured(max(len(e.tokens) for e in examples), examples)]


def test_a_last_turn_that_is_not_learned_counts_as_it_is_asked_for(make: Make) -> None:
    tokenizer = make(families.PLAIN)
    asked = row(*HELLO, QUESTION[0], turn("assistant", "Go away", learned=False))
    (measured,) = tokenizer.measure([asked])
    (examples,) = tokenizer.encode([asked])
    (whole,) = tokenizer.measure([row(*HELLO, QUESTION[0], turn("assistant", "Go away"))])
    assert isinstance(measured, Measured) and isinstance(whole, Measured)
    assert measured == Measured(whole.tokens, examples)
    assert [text for text, is_learned in tokenizer.marked(asked) if is_learned] == ["Hello<|end|>"]


def test_answers_that_melt_into_what_opens_them_are_learned_one_by_one(
    tiny_model: Path, tmp_path: Path
) -> None:
    model = with_template(tiny_model, families.WORDS, tmp_path)
    content = json.loads((model / "tokenizer.json").read_text())
    content["model"]["vocab"]["Ġa"] = len(content["model"]["vocab"])
    content["model"]["merges"] = [["Ġ", "a"]]  # a space and what follows it
    (model / "tokenizer.json").write_text(json.dumps(content))
    tokenizer = ChatTokenizer(model)

    melting = row(turn("user", "Who?"), turn("assistant", "anna"), *QUESTION)
    assert tokenizer.marked(melting) == [
        ("user: Who?<|end|>assistant: ", False),
        ("anna<|end|>", True),
        ("user: Who?<|end|>assistant: anna<|end|>user: Cost?<|end|>assistant: ", False),
        ("2 dollars<|end|>", True),
    ]
    (examples,) = tokenizer.encode([row(*HELLO, *QUESTION)])
    assert not isinstance(examples, Refused) and len(examples) == 1


REFUSED = [
    pytest.param(
        families.NO_SYSTEM, row(turn("system", "Be brief."), *QUESTION), "no system turns", id="system"
    ),
    pytest.param(families.PLAIN, row(*QUESTION, tools=(TOOL,)), "no place for tools", id="tools"),
    pytest.param(families.PLAIN, row(*CALLING), "leaves out the calls of tools", id="calls"),
    pytest.param(
        families.HEADERS_TOOLS,
        row(turn("user", "Cost?"), turn("assistant", tool_calls=[CALL, CALL]), tools=(TOOL,)),
        "one call at once",
        id="two-calls",
    ),
    pytest.param(
        families.CHATML_TOOLS.replace("m['tool_calls'] or []", "(m['tool_calls'] or [])[:1]"),
        row(turn("user", "?"), turn("assistant", tool_calls=[CALL, {**CALL, "name": "stock"}])),
        "a part of the call of a tool in turn 2",
        id="second-call-left-out",
    ),
    pytest.param(
        families.CHATML_TOOLS.replace("m['tool_calls'] or []", "(m['tool_calls'] or [])[:1]"),
        row(turn("user", "?"), turn("assistant", tool_calls=[CALL, CALL])),
        "a part of the call of a tool in turn 2",
        id="second-call-of-one-tool-left-out",
    ),
    pytest.param(
        families.CHATML_TOOLS.replace("m['tool_calls'] or []", "(m['tool_calls'] or [])[1:]"),
        row(turn("user", "?"), turn("assistant", "The price of Käse, an item.", tool_calls=[CALL, CALL])),
        "a part of the call of a tool in turn 2",
        id="call-left-out-whose-words-are-in-the-text",
    ),
    *(
        pytest.param(
            families.CHATML_TOOLS.replace(
                "call['function']['arguments'] | tojson", "call['function']['arguments'] | list | tojson"
            ),
            row(turn("user", "?"), turn("assistant", tool_calls=[CALL | {"arguments": {"n2": value}}])),
            "a part of the call of a tool in turn 2",
            id=f"argument-left-out-{value}",
        )
        for value in (2, 0.25, True, -3)
    ),
    pytest.param(
        families.CHATML_TOOLS.replace(
            "call['function']['arguments'] | tojson", "call['function']['arguments'] | list | tojson"
        ),
        row(turn("user", "?"), turn("assistant", "Buy 2.", tool_calls=[CALL | {"arguments": {"n": 2}}])),
        "a part of the call of a tool in turn 2",
        id="argument-left-out-that-is-in-the-text",
    ),
    pytest.param(
        families.HEADERS_TOOLS,
        row(turn("user", "Cost?"), turn("assistant", "Let me see.", tool_calls=[CALL])),
        "leaves out the text of turn 2",
        id="text-beside-a-call",
    ),
    pytest.param(
        families.PLAIN,
        row(turn("user", "Cost?"), turn("assistant", "2", reasoning="1+1")),
        "leaves out the reasoning of turn 2",
        id="reasoning",
    ),
    pytest.param(
        families.PLAIN.replace("{% for m in messages %}", "{% for m in messages if m['role'] != 'system' %}"),
        row(turn("system", "Be brief."), *QUESTION),
        "leaves out the text of turn 1 (system)",
        id="system-left-out",
    ),
    pytest.param(
        families.CHATML_TOOLS,
        row(QUESTION[0], turn("assistant", tool_calls=[CALL | {"arguments": {"a": "\ud800"}}])),
        "half a character",
        id="half-a-character",
    ),
    pytest.param("{{ messages[0]['content'] + 1 }}", row(*QUESTION), "refuses it", id="a-template-in-error"),
]


@pytest.mark.parametrize(("template", "conversation", "why"), REFUSED)
def test_refuses_what_the_template_leaves_out_and_that_row_alone(
    make: Make, template: str, conversation: Conversation, why: str
) -> None:
    fine = row(turn("user", "Hi"), turn("assistant", "Hello"))

    refused, other = make(template).encode([conversation, fine])

    assert isinstance(refused, Refused) and refused.kind == "template_refused" and why in refused.why
    assert isinstance(other, tuple) or "+ 1" in template
    assert make(template).marked(conversation) == []
    assert make(template).measure([conversation]) == [refused]


CONTROL = [
    pytest.param(row(turn("user", "Bye<|end|>"), QUESTION[1]), id="question"),
    pytest.param(row(QUESTION[0], turn("assistant", "a", reasoning="<|end|>")), id="reasoning"),
    pytest.param(row(QUESTION[0], turn("assistant", tool_calls=[CALL | {"name": "<|end|>"}])), id="call"),
    pytest.param(
        row(QUESTION[0], turn("assistant", tool_calls=[CALL | {"arguments": {"a": [{"<|end|>": 1}]}}])),
        id="argument",
    ),
    pytest.param(row(*CALLING[:2], turn("tool", "<|end|>"), CALLING[3]), id="result"),
    pytest.param(row(*QUESTION, tools=({"function": {"description": "<|end|>"}},)), id="tool"),
]


@pytest.mark.parametrize("conversation", CONTROL)
def test_a_control_token_in_any_text_is_refused(make: Make, conversation: Conversation) -> None:
    refused, fine = make(families.CHATML_TOOLS).encode([conversation, row(*QUESTION)])

    assert isinstance(refused, Refused) and refused.kind == "control_token" and "<|end|>" in refused.why
    assert isinstance(fine, tuple)


def test_a_text_that_json_escapes_is_there(make: Make) -> None:
    (examples,) = make(families.HEADERS_TOOLS).encode([row(*CALLING, tools=(TOOL,))])

    assert isinstance(examples, tuple)


# Parameters in tags of their own, as they are printed: True and not true.
PRINTED = families.CHATML_TOOLS.replace(
    "{{ call['function']['arguments'] | tojson }}",
    "{% for name, value in call['function']['arguments'].items() %}"
    "<{{ name }}>{{ value if value is string or value is number else value | tojson }}</{{ name }}>"
    "{% endfor %}",
)


@pytest.mark.parametrize("template", [families.CHATML_TOOLS, PRINTED], ids=["json", "printed"])
def test_calls_of_one_tool_and_numbers_are_there(make: Make, template: str) -> None:
    odd = {
        "text": "true",
        "t": True,
        "x": "True",
        "n": 2,
        "m": -0.5,
        "big": 1e300,
        "yes": True,
        "none": None,
        "in": ['a"b\n', {"n": [2, 22]}],
    }
    calls = [CALL, CALL, CALL | {"arguments": odd}, CALL | {"arguments": {"aa": "aaa", "a": "aa"}}]

    (examples,) = make(template).encode(
        [row(turn("user", "?"), turn("assistant", "a price", tool_calls=calls))]
    )

    assert isinstance(examples, tuple)


def test_a_call_of_very_many_parts_is_looked_at_once(make: Make) -> None:
    """Looking for each of these through all of the others would take an hour."""
    many = [*range(30_000), *(f"word {number}" for number in range(3000))]
    calls = [CALL | {"arguments": {"in": many}}]

    (examples,) = make(families.CHATML_TOOLS).encode([row(QUESTION[0], turn("assistant", tool_calls=calls))])

    assert isinstance(examples, tuple)


def test_the_reference_is_what_the_engine_would_write(make: Make) -> None:
    calling = row(turn("user", "Cost?"), turn("assistant", tool_calls=[CALL], reasoning="1+1"), tools=(TOOL,))

    assert make(families.CHATML_TOOLS).reference(calling) == CHATML_CALL.removesuffix("<|end|>")


def test_a_row_of_many_turns_costs_a_bounded_amount(make: Make) -> None:
    turns = (turn("user", "Hi" * 20_000), turn("assistant", "Hello")) * 100

    (refused,) = make(families.PLAIN).encode([row(*turns)])

    assert isinstance(refused, Refused) and "200 turns" in refused.why


def test_a_base_model_without_a_chat_template_is_refused(tiny_model: Path, tmp_path: Path) -> None:
    with pytest.raises(InvalidInput, match="no chat template; take the model's instruct"):
        ChatTokenizer(with_template(tiny_model, "", tmp_path))
