"""Forms of rows: each known one becomes a conversation, every other one says what is wrong."""

import re
from decimal import Decimal
from typing import Any

import pytest

from components.conversations import Conversation
from components.dataset.forms.columns import read_columns
from components.dataset.rows import NotUsed, RowFlaw, to_conversation


def turns(conversation: Conversation) -> list[tuple[str, str]]:
    return [(message.role, message.content) for message in conversation.messages]


ASKED = [("user", "Where?"), ("assistant", "Here.")]


@pytest.mark.parametrize(
    ("row", "expected"),
    [
        pytest.param({"instruction": "Where?", "output": "Here."}, ASKED, id="instruction"),
        pytest.param({"instruction": " Where? ", "input": None, "output": "Here.\n"}, ASKED, id="stripped"),
        pytest.param(
            {"instruction": "Name the aisle.", "input": "Where?", "output": "Here."},
            [("user", "Name the aisle.\n\nWhere?"), ("assistant", "Here.")],
            id="instruction-and-input",
        ),
        pytest.param({"instruction": "", "input": "Where?", "output": "Here."}, ASKED, id="only-input"),
        pytest.param(
            {"system": "Be brief.", "instruction": "Where?", "output": "Here.", "id": 7},
            [("system", "Be brief."), *ASKED],
            id="system-and-unknown-field",
        ),
        pytest.param({"prompt": "Where?", "completion": "Here."}, ASKED, id="prompt"),
        pytest.param(
            {
                "instruction": "Where?",
                "context": "It is Monday.",
                "response": "Here.",
                "category": "closed_qa",
            },
            [("user", "Where?\n\nIt is Monday."), ("assistant", "Here.")],
            id="dolly",
        ),
        pytest.param({"question": "Where?", "answer": "Here."}, ASKED, id="question-and-answer"),
        pytest.param({"prompt": "Where?", "response": "Here."}, ASKED, id="prompt-and-response"),
        pytest.param({"query": "Where?", "response": "Here."}, ASKED, id="query-and-response"),
        pytest.param({"input": "Where?", "output": "Here."}, ASKED, id="input-and-output"),
        pytest.param({"Question": "Where?", "Response": "Here."}, ASKED, id="capitalised"),
        pytest.param({"INSTRUCTION": "Where?", "Input": "", "Output": "Here."}, ASKED, id="capitals"),
        pytest.param({"prompt": "Where?", "completion": 5}, [ASKED[0], ("assistant", "5")], id="number"),
        pytest.param({"prompt": "Where?", "completion": 0}, [ASKED[0], ("assistant", "0")], id="zero"),
        pytest.param({"prompt": "Where?", "completion": 0.5}, [ASKED[0], ("assistant", "0.5")], id="half"),
        pytest.param(
            {"prompt": "Where?", "completion": Decimal("2.50")},
            [ASKED[0], ("assistant", "2.50")],
            id="decimal",
        ),
        pytest.param({"prompt": "Where?", "completion": True}, [ASKED[0], ("assistant", "true")], id="true"),
        pytest.param(
            {"prompt": "Where?", "completion": False}, [ASKED[0], ("assistant", "false")], id="false"
        ),
        pytest.param(
            {"prompt": "Where?", "completion": "    return 1\n"},
            [ASKED[0], ("assistant", "    return 1")],
            id="indented-answer",
        ),
        pytest.param(
            {"messages": None, "instruction": "Where?", "output": "Here.", "input": None},
            ASKED,
            id="null-messages-beside-instruction",
        ),
        pytest.param(
            {"instruction": None, "output": None, "prompt": "Where?", "completion": "Here."},
            ASKED,
            id="null-instruction-beside-prompt",
        ),
        pytest.param(
            {
                "messages": [
                    {"role": "user", "from": None, "content": "Where?", "value": None, "weight": None},
                    {"role": None, "from": "gpt", "content": None, "value": "Here.", "tool_calls": None},
                ]
            },
            ASKED,
            id="null-inside-of-turns",
        ),
        pytest.param(
            {
                "messages": '[{"role": "user", "content": "Where?"},'
                ' {"role": "assistant", "content": "Here."}]'
            },
            ASKED,
            id="messages-as-json-text",
        ),
        pytest.param(
            {"conversations": '[{"from": "human", "value": "Where?"}, {"from": "gpt", "value": "Here."}]'},
            ASKED,
            id="conversations-as-json-text",
        ),
        pytest.param(
            {
                "messages": [
                    {
                        "role": "user",
                        "content": [{"type": "text", "text": "Wh"}, {"type": "text", "text": "ere?"}],
                    },
                    {"role": "assistant", "content": [{"type": "text", "text": "Here.", "image_url": None}]},
                ]
            },
            ASKED,
            id="parts",
        ),
        pytest.param(
            {"messages": [{"role": r, "content": c} for r, c in [("developer", "S"), *ASKED]]},
            [("system", "S"), *ASKED],
            id="developer",
        ),
        pytest.param(
            {"system": "S", "messages": [{"role": r, "content": c} for r, c in ASKED]},
            [("system", "S"), *ASKED],
            id="system-beside-messages",
        ),
        pytest.param(
            {
                "system": "S",
                "conversations": [{"from": "human", "value": "Where?"}, {"from": "gpt", "value": "Here."}],
            },
            [("system", "S"), *ASKED],
            id="system-beside-conversations",
        ),
        pytest.param(
            {"system": "S", "messages": [{"role": r, "content": c} for r, c in [("system", "S"), *ASKED]]},
            [("system", "S"), *ASKED],
            id="system-said-twice",
        ),
        pytest.param(
            {"system": "S", "history": [["Q", "A"]], "instruction": "Where?", "output": "Here."},
            [("system", "S"), ("user", "Q"), ("assistant", "A"), *ASKED],
            id="history",
        ),
        pytest.param(
            {"history": '[["Q", "A"]]', "instruction": "Where?", "output": "Here."},
            [("user", "Q"), ("assistant", "A"), *ASKED],
            id="history-as-json-text",
        ),
        pytest.param(
            {
                "history": [],
                "images": [],
                "image": None,
                "tools": "",
                "instruction": "Where?",
                "output": "Here.",
            },
            ASKED,
            id="empty-is-absent",
        ),
        pytest.param({"label": True, "prompt": "Where?", "completion": "Here."}, ASKED, id="label-true"),
        pytest.param({"label": "True", "prompt": "Where?", "completion": "Here."}, ASKED, id="label-in-csv"),
        pytest.param(
            {
                "prompt": "Where?",
                "messages": [
                    {"role": r, "content": c} for r, c in [*ASKED, ("user", "A"), ("assistant", "B")]
                ],
            },
            [*ASKED, ("user", "A"), ("assistant", "B")],
            id="prompt-that-messages-say-too",
        ),
        pytest.param(
            {"answer": "Here.", "output": "Here. ", "question": "Where?"},
            ASKED,
            id="answers-that-say-the-same",
        ),
        pytest.param(
            {"messages": [{"role": "user", "content": "Where?"}], "response": "Here."},
            ASKED,
            id="messages-and-their-answer",
        ),
        pytest.param(
            {"prompt": [{"role": "user", "content": "Where?"}], "completion": "Here."},
            ASKED,
            id="prompt-of-messages-and-text",
        ),
        pytest.param(
            {"prompt": "What is in <image>?", "completion": "Here."},
            [("user", "What is in <image>?"), ASKED[1]],
            id="placeholder-that-is-text",
        ),
        pytest.param(
            {
                "prompt": [{"role": "user", "content": "Where?"}],
                "completion": [{"role": "assistant", "content": "Here."}],
            },
            ASKED,
            id="prompt-of-messages",
        ),
        pytest.param(
            {"messages": [{"role": r, "content": c} for r, c in [("system", "S"), *ASKED, *ASKED]]},
            [("system", "S"), *ASKED, *ASKED],
            id="messages-of-several-turns",
        ),
        pytest.param(
            {"messages": [{"role": r, "content": c} for r, c in [("system", " "), *ASKED]]},
            ASKED,
            id="empty-system-is-none",
        ),
        pytest.param(
            {"conversations": [{"from": "human", "value": "Where?"}, {"from": "gpt", "value": "Here."}]},
            ASKED,
            id="sharegpt",
        ),
    ],
)
def test_known_forms(row: dict[str, Any], expected: list[tuple[str, str]]):
    assert turns(to_conversation(row)) == expected


def messages(*roles_and_texts: tuple[Any, Any]) -> dict[str, Any]:
    return {"messages": [{"role": role, "content": text} for role, text in roles_and_texts]}


@pytest.mark.parametrize(
    ("row", "kind", "words"),
    [
        pytest.param([1], "not_an_object", "is a list; wanted an object", id="list"),
        pytest.param(None, "not_an_object", "is null", id="null"),
        pytest.param({"topic": "Q", "remark": "A"}, "no_known_form", "has topic, remark; wanted", id="form"),
        pytest.param({"text": "Q A"}, "no_known_form", "text alone", id="text"),
        pytest.param({}, "no_known_form", "no field at all", id="nothing"),
        pytest.param({"instruction": "Q"}, "missing_field", "output: missing", id="no-output"),
        pytest.param({"output": "A"}, "missing_field", "instruction: missing", id="no-instruction"),
        pytest.param({"completion": "A"}, "missing_field", "prompt: missing", id="no-prompt"),
        pytest.param({"messages": None}, "missing_field", "messages: missing", id="no-messages"),
        pytest.param(
            {"messages": [{"role": "user"}]}, "missing_field", "turn 1: content: missing", id="no-content"
        ),
        pytest.param(
            {"prompt": {"a": 1}, "completion": "A"}, "wrong_type", "prompt: got an object", id="object"
        ),
        pytest.param(
            {"prompt": "Q", "completion": {"a": 1}}, "wrong_type", "write the JSON", id="answer-as-object"
        ),
        pytest.param(
            {"prompt": "Q", "completion": b"A"}, "wrong_type", "got a value of type bytes", id="bytes"
        ),
        pytest.param(
            {"prompt": "Q", "completion": float("nan")}, "wrong_type", "got a number (nan)", id="nan"
        ),
        pytest.param(
            {"prompt": "Q", "completion": 10**5000}, "wrong_type", "a number of 5000 digits", id="long-number"
        ),
        pytest.param(
            {"messages": "[{'role': 'user'}]"}, "wrong_type", "it is no JSON: write it", id="python-spelling"
        ),
        pytest.param(
            {"messages": "Q"}, "wrong_type", "messages: got a text (Q), wanted a list", id="no-list"
        ),
        pytest.param({"messages": ["Q"]}, "wrong_type", "turn 1: got a text (Q)", id="no-turn"),
        pytest.param(
            {"prompt": "Q", "completion": "\ud800"}, "not_text", "\\ud800 is half a character", id="half"
        ),
        pytest.param({"messages": []}, "wrong_turns", "turns are none", id="no-turns"),
        pytest.param(messages(("shop", "x")), "wrong_turns", "role is 'shop', wanted one of", id="role"),
        pytest.param(messages(("user", "Q")), "wrong_turns", "turns are user; wanted", id="no-answer"),
        pytest.param(messages(("assistant", "A")), "wrong_turns", "turns are assistant", id="no-question"),
        pytest.param(messages(("user", "Q"), ("user", "Q")), "wrong_turns", "user, user", id="out-of-turn"),
        pytest.param(
            messages(("user", "Q"), ("system", "S"), ("assistant", "A")),
            "wrong_turns",
            "system",
            id="late-system",
        ),
        pytest.param(
            {"label": False, **messages(*ASKED)}, "unwanted_answer", "label is false", id="label-false"
        ),
        pytest.param(
            {"kto_tag": "False", "prompt": "Q", "completion": "A"}, "unwanted_answer", "kto_tag", id="kto-tag"
        ),
        pytest.param(
            {"label": 0, "prompt": "Q", "completion": "A"}, "ambiguous", "unused=label", id="label-of-a-class"
        ),
        pytest.param(
            {"images": ["a.png"], **messages(("user", "<image> What?"), ("assistant", "A"))},
            "has_media",
            "has images",
            id="images",
        ),
        pytest.param(
            {"audios": "a.wav", "prompt": "Q", "completion": "A"}, "has_media", "audios", id="audios"
        ),
        pytest.param({"videos": ["a"], "prompt": "Q", "completion": "A"}, "has_media", "videos", id="videos"),
        pytest.param(
            messages(("user", [{"type": "image_url", "image_url": {"url": "a"}}]), ("assistant", "A")),
            "has_media",
            "part 1: has image",
            id="image-part",
        ),
        pytest.param(
            messages(
                ("user", [{"type": "text", "text": "Q"}, {"type": "spell", "spell": 1}]), ("assistant", "A")
            ),
            "wrong_type",
            "part 2: type is a text (spell)",
            id="unknown-part",
        ),
        pytest.param(
            messages(("user", [{"type": 10**5000}]), ("assistant", "A")),
            "wrong_type",
            "type is a number of 5000 digits",
            id="part-of-a-long-number",
        ),
        pytest.param(
            {"system": "S", **messages(("system", "T"), *ASKED)}, "ambiguous", "system", id="two-systems"
        ),
        pytest.param(
            {"instruction": "Q", "output": "A", **messages(*ASKED)},
            "ambiguous",
            "has messages and output, which do not say the same",
            id="messages-and-instruction",
        ),
        pytest.param(
            {"messages": '[{"role": "user", "content": "Q", "content": "R"}]'},
            "ambiguous",
            "has content more than once",
            id="a-name-twice-in-messages-as-text",
        ),
        pytest.param(
            {"instruction": "Q", "question": "R", "output": "A"}, "ambiguous", "prompt=", id="two-questions"
        ),
        pytest.param(
            {"prompt": "Q", "completion": "A", "response": "B"}, "ambiguous", "response", id="two-answers"
        ),
        pytest.param(
            {"passage": "C", "question": "Q", "answer": True}, "ambiguous", "context=passage", id="passage"
        ),
        pytest.param(
            {"choices": ["a", "b"], "question": "Q", "answer": 1}, "ambiguous", "choices", id="choices"
        ),
        pytest.param(
            {"documents": ["C"], **messages(*ASKED)}, "ambiguous", "unused=documents", id="documents"
        ),
        pytest.param({"context": "C", **messages(*ASKED)}, "ambiguous", "context", id="context-and-messages"),
        pytest.param(
            {"history": ["Q", "A"], "prompt": "Q", "completion": "A"}, "wrong_type", "pair 1", id="history"
        ),
        pytest.param(
            {"prompt": "Q", "chosen": "A", "rejected": "B"},
            "preference",
            "preferences=chosen",
            id="preference",
        ),
        pytest.param(
            messages(("user", "Q"), ("assistant", "A"), ("tool", "x"), ("assistant", "A")),
            "wrong_turns",
            "a tool's follows a call",
            id="tool-without-a-call",
        ),
        pytest.param(
            {"instruction": "", "output": "A"}, "empty_prompt", "prompt is empty", id="no-prompt-in-csv"
        ),
        pytest.param({"prompt": "Q", "completion": ""}, "empty_answer", "is empty", id="no-answer-in-csv"),
        pytest.param(
            {"instruction": " ", "output": "A"}, "empty_prompt", "prompt is empty", id="empty-prompt"
        ),
        pytest.param(
            {"prompt": "Q", "completion": "\n"}, "empty_answer", "answer is empty", id="empty-answer"
        ),
    ],
)
def test_flaws(row: object, kind: str, words: str):
    with pytest.raises(RowFlaw) as caught:
        to_conversation(row)
    assert caught.value.kind == kind
    assert words in caught.value.why


def weighted(*weights: float | bool | None, name: str = "weight") -> dict[str, Any]:
    turns: list[dict[str, Any]] = []
    for number, weight in enumerate(weights):
        turns.append({"role": "user", "content": f"Q{number}"})
        turns.append({"role": "assistant", "content": f"A{number}", name: weight})
    return {"messages": turns}


@pytest.mark.parametrize("name", ["weight", "train", "loss"])
def test_an_answer_of_weight_0_is_not_learned(name: str):
    conversation = to_conversation(weighted(0, None, 1, name=name))
    assert [turn.learned for turn in conversation.messages] == [True, False, True, True, True, True]


def test_what_stands_behind_the_last_answer_to_learn_is_left_out_and_told():
    not_used = NotUsed()
    conversation = to_conversation(weighted(1, 0, 0), not_used=not_used)
    assert turns(conversation) == [("user", "Q0"), ("assistant", "A0")]
    assert not_used.rows == {"turns behind the last answer to learn": 1}


@pytest.mark.parametrize(
    ("row", "kind", "words"),
    [
        pytest.param(weighted(0, 0), "unwanted_answer", "weight of 0", id="none-is-learned"),
        pytest.param(weighted(0.5), "wrong_type", "weight: got a number (0.5), wanted 0 or 1", id="half"),
    ],
)
def test_weights_that_refuse_a_row(row: dict[str, Any], kind: str, words: str):
    with pytest.raises(RowFlaw, match=re.escape(words)) as caught:
        to_conversation(row)
    assert caught.value.kind == kind


@pytest.mark.parametrize("name", ["reasoning_content", "reasoning", "thinking"])
def test_the_reasoning_of_a_turn_is_kept(name: str):
    turn = {"role": "assistant", "content": "Here.", name: "It was there."}
    answer = to_conversation({"messages": [{"role": "user", "content": "Where?"}, turn]}).messages[-1]
    assert (answer.reasoning, answer.content) == ("It was there.", "Here.")


@pytest.mark.parametrize(
    ("row", "reasoning", "content"),
    [
        pytest.param({"answer": "<think>\nHm.\n</think>\n\n  x = 1"}, "Hm.", "  x = 1", id="think"),
        pytest.param({"answer": "<think>\n\n</think>\n\nx"}, "", "x", id="empty-think"),
        pytest.param({"answer": "<think> never ends"}, "", "<think> never ends", id="open-think"),
        pytest.param({"answer": "so <think>a</think>"}, "", "so <think>a</think>", id="think-inside"),
        pytest.param({"answer": "x", "reasoning": "Hm."}, "Hm.", "x", id="field"),
        pytest.param({"answer": "x", "reasoning": "off"}, "", "x", id="switch"),
        pytest.param({"answer": "<think>Hm.</think>x", "thinking": "Hm."}, "Hm.", "x", id="both"),
    ],
)
def test_the_reasoning_of_an_answer_is_kept_apart(row: dict[str, Any], reasoning: str, content: str):
    answer = to_conversation({"question": "Where?", **row}).messages[-1]
    assert (answer.reasoning, answer.content) == (reasoning, content)


def test_reasoning_that_is_given_twice_and_differs_is_refused():
    with pytest.raises(RowFlaw, match="reasoning differ"):
        to_conversation({"question": "Q", "answer": "<think>a</think>A", "reasoning": "b"})


@pytest.mark.parametrize(
    "row",
    [
        pytest.param({"prompt": "Where?", "chosen": "Here.", "rejected": "No."}, id="texts"),
        pytest.param(
            {
                "prompt": [{"role": "user", "content": "Where?"}],
                "chosen": [{"role": "assistant", "content": "Here."}],
                "rejected": [{"role": "assistant", "content": "No."}],
            },
            id="turns",
        ),
        pytest.param(
            {
                "prompt": "Where?",
                "chosen": [{"role": r, "content": c} for r, c in ASKED],
                "rejected": [{"role": "user", "content": "Where?"}, {"role": "assistant", "content": "No."}],
            },
            id="whole-conversation",
        ),
        pytest.param(
            {
                "chosen": [{"role": r, "content": c} for r, c in ASKED],
                "messages": [{"role": r, "content": c} for r, c in ASKED],
                "rejected": [],
            },
            id="and-messages",
        ),
        pytest.param(
            {
                "conversations": [{"from": "human", "value": "Where?"}],
                "chosen": {"from": "gpt", "value": "Here."},
                "rejected": {"from": "gpt", "value": "No."},
            },
            id="sharegpt",
        ),
        pytest.param(
            {"chosen": '[{"role": "assistant", "content": "Here."}]', "prompt": "Where?"}, id="json-text"
        ),
    ],
)
def test_the_chosen_answer_is_used_only_when_asked_for(row: dict[str, Any]):
    assert turns(to_conversation(row, preferences="chosen")) == ASKED
    with pytest.raises(RowFlaw) as caught:
        to_conversation(row)
    assert caught.value.kind == "preference"


def test_a_chosen_conversation_needs_no_prompt_beside_it():
    row = {"chosen": [{"role": r, "content": c} for r, c in ASKED], "rejected": "No."}
    not_used = NotUsed()
    assert turns(to_conversation(row, preferences="chosen", not_used=not_used)) == ASKED
    assert not_used.rows == {"rejected": 1}


def test_a_chosen_conversation_about_something_else_is_refused():
    row = {"prompt": "When?", "chosen": [{"role": r, "content": c} for r, c in ASKED]}
    with pytest.raises(RowFlaw, match="does not begin with the prompt"):
        to_conversation(row, preferences="chosen")


def test_a_chosen_answer_kept_as_text_gives_no_name_twice():
    chosen = '[{"role": "assistant", "content": "A", "content": "B"}]'
    with pytest.raises(RowFlaw, match="has content more than once") as caught:
        to_conversation({"prompt": "Q", "chosen": chosen, "rejected": "C"}, preferences="chosen")
    assert caught.value.kind == "ambiguous"


def test_fields_that_were_not_used_are_counted_by_row():
    not_used = NotUsed()
    plain = {"instruction": "Q", "output": "A", "category": "x", "id": 0, "note": None, "tags": []}
    timed = {"role": "assistant", "content": "A", "timestamp": 5}
    listed = {"messages": [{"role": "user", "content": "Q", "timestamp": 4}, timed], "category": "x"}
    for row in (plain, plain, listed):
        to_conversation(row, not_used=not_used)
    with pytest.raises(RowFlaw):
        to_conversation({"instruction": "Q", "kind": 1}, not_used=not_used)
    assert not_used.rows == {"category": 3, "id": 2, "messages[].timestamp": 1}


@pytest.mark.parametrize(
    ("columns", "row"),
    [
        pytest.param(
            "prompt=ask, completion=say", {"ask": "Where?", "say": "Here.", "output": "x"}, id="pair"
        ),
        pytest.param("completion=say", {"question": "Where?", "say": "Here."}, id="only-the-answer"),
        pytest.param(
            "prompt=a,context=b, completion=c", {"a": "Where?", "b": None, "c": "Here."}, id="null-context"
        ),
        pytest.param(
            "messages=log",
            {"log": [{"role": r, "content": c} for r, c in ASKED], "prompt": "x", "output": "y"},
            id="messages",
        ),
        pytest.param("unused=story", {"question": "Where?", "answer": "Here.", "story": "C"}, id="story"),
        pytest.param("unused=label", {"question": "Where?", "answer": "Here.", "label": 0}, id="unused"),
        pytest.param(
            "label=good", {"question": "Where?", "answer": "Here.", "good": 1, "label": False}, id="label"
        ),
    ],
)
def test_columns_say_what_is_what(columns: str, row: dict[str, Any]):
    assert turns(to_conversation(row, read_columns(columns))) == ASKED


def test_a_system_reasoning_and_tools_can_be_named_too():
    row = {"q": "Where?", "a": "Here.", "persona": "S", "cot": "Hm.", "api": [{"name": "find"}]}
    columns = read_columns("prompt=q, completion=a, system=persona, reasoning=cot, tools=api")
    conversation = to_conversation(row, columns)
    assert turns(conversation) == [("system", "S"), *ASKED]
    assert conversation.messages[-1].reasoning == "Hm."
    assert [tool["function"]["name"] for tool in conversation.tools] == ["find"]


@pytest.mark.parametrize(
    ("row", "kind", "words"),
    [
        pytest.param({"q": "Q"}, "missing_field", "a (completion): missing, though columns", id="no-field"),
        pytest.param({"q": "Q", "a": None}, "missing_field", "a: missing; wanted a text", id="null"),
        pytest.param({"q": "", "a": "A"}, "empty_prompt", "prompt is empty", id="empty"),
    ],
)
def test_a_row_without_a_named_column_is_flawed(row: dict[str, Any], kind: str, words: str):
    with pytest.raises(RowFlaw, match=re.escape(words)) as caught:
        to_conversation(row, read_columns("prompt=q, completion=a"))
    assert caught.value.kind == kind


def test_a_label_that_was_named_may_be_a_number():
    with pytest.raises(RowFlaw) as caught:
        to_conversation({"prompt": "Q", "completion": "A", "good": "0"}, read_columns("label=good"))
    assert caught.value.kind == "unwanted_answer"
