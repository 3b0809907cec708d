"""Whatever a row holds, it becomes a conversation or is told why not; known forms come back the same."""

import json
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as some

from components.conversations import Conversation
from components.dataset.flaws import KINDS
from components.dataset.forms.columns import read_columns
from components.dataset.forms.fields import KNOWN, MEDIA
from components.dataset.forms.turns import ROLES
from components.dataset.rows import NotUsed, RowFlaw, to_conversation

TURN_FIELDS = [
    "role",
    "from",
    "content",
    "value",
    "weight",
    "reasoning",
    "tool_calls",
    "name",
    "function_call",
]
SETTINGS = settings(max_examples=300, deadline=None, derandomize=True)

texts = some.text(some.characters(codec=None), max_size=12)
plain = some.none() | some.booleans() | some.integers() | some.floats() | texts
objects = some.recursive(
    plain,
    lambda inner: some.lists(inner, max_size=4) | some.dictionaries(texts, inner, max_size=4),
    max_leaves=12,
)
calls = some.fixed_dictionaries(
    {"name": texts | objects}, optional={"arguments": objects, "function": objects, "id": objects}
)
parts = some.lists(
    some.fixed_dictionaries(
        {"type": some.sampled_from(["text", "thinking", "image_url", "x"]) | plain}, optional={"text": plain}
    )
    | objects,
    max_size=3,
)
tagged = some.sampled_from(
    [
        "<tool_call>{}</tool_call>",
        '<tool_call>{"name": "f"}</tool_call>',
        "<think>a</think>b",
        "<think>",
        "[{}]",
    ]
)
contents = texts | tagged | parts | objects | calls
turns = some.lists(
    some.fixed_dictionaries(
        {},
        optional={
            name: some.sampled_from([*ROLES, None]) | contents if name in ("role", "from") else contents
            for name in TURN_FIELDS
        },
    )
    | objects,
    max_size=5,
)
json_texts = (turns | some.lists(calls) | objects).map(lambda value: json.dumps(value))
values = texts | turns | some.lists(calls, max_size=3) | json_texts | objects
names = some.sampled_from([*KNOWN, *MEDIA, "Question", "text"]) | texts
rows = some.dictionaries(names, values, max_size=6) | objects

sayings = some.text(some.characters(exclude_categories=["Cs"]), min_size=1).map(str.strip).filter(bool)
answers = sayings.filter(lambda text: "<think>" not in text)


@SETTINGS
@given(
    row=rows,
    columns=some.sampled_from(
        ["", "prompt=text", "messages=text", "label=label", "unused=output, system=input"]
    ),
    preferences=some.sampled_from(["refuse", "chosen"]),
)
def test_any_row_becomes_a_conversation_or_is_told_why_not(row: object, columns: str, preferences: Any):
    try:
        conversation = to_conversation(row, read_columns(columns), preferences, NotUsed())
    except RowFlaw as flaw:
        assert flaw.kind in KINDS
        assert flaw.why
        flaw.why.encode()
    else:
        line = conversation.as_json()
        assert (
            Conversation.model_validate_json(conversation.model_dump_json(exclude_defaults=True))
            == conversation
        )
        assert Conversation.model_validate_json(line.encode()) == conversation


@SETTINGS
@given(marker=some.just("secret " * 30), row=rows)
def test_a_reason_holds_little_of_the_data(marker: str, row: Any):
    def with_marker(value: Any) -> Any:
        if isinstance(value, str):
            return marker
        if isinstance(value, list):
            return [with_marker(own) for own in value]
        return {name: with_marker(own) for name, own in value.items()} if isinstance(value, dict) else value

    try:
        to_conversation(with_marker(row))
    except RowFlaw as flaw:
        assert flaw.why.count("secret") <= 40 // len("secret ")


@SETTINGS
@given(talk=some.lists(some.tuples(sayings, answers), min_size=1, max_size=4), system=sayings | some.none())
def test_one_conversation_is_the_same_in_every_form(talk: list[tuple[str, str]], system: str | None):
    said = [turn for asked, told in talk for turn in (("user", asked), ("assistant", told))]
    lead = [("system", system)] if system else []
    names = {"user": "human", "assistant": "gpt", "system": "system"}
    openai = [{"role": role, "content": text} for role, text in lead + said]
    sharegpt = [{"from": names[role], "value": text} for role, text in said]
    (question, answer) = talk[-1]
    history = [list(pair) for pair in talk[:-1]]
    forms: list[dict[str, Any]] = [
        {"messages": openai, "instruction": None},
        {"messages": json.dumps(openai)},
        {"conversations": sharegpt, "system": system},
        {"instruction": question, "output": answer, "history": history, "system": system},
        {"question": question, "answer": answer, "history": json.dumps(history), "system": system},
        {"prompt": openai[:-1], "completion": openai[-1:]},
        {"messages": [{**turn, "content": [{"type": "text", "text": turn["content"]}]} for turn in openai]},
    ]
    first, *others = [to_conversation(form) for form in forms]
    assert [(turn.role, turn.content) for turn in first.messages] == lead + said
    assert all(other == first for other in others)
