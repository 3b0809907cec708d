"""Every text of a conversation is seen, and can be put in another's place."""

from components.conversations import Conversation, Message, ToolCall
from components.dataset.checks.texts import texts_in, texts_of, with_texts

PLAIN = Conversation(
    messages=(
        Message(role="user", content="Where?"),
        Message(role="assistant", content="There.", reasoning="Let me see.", learned=False),
    )
)
FULL = Conversation(
    messages=(
        Message(role="system", content="Be kind."),
        Message(role="user", content=""),
        Message(
            role="assistant",
            content="",
            tool_calls=(
                ToolCall(name="pay", arguments={"card": 4012888888881881, "to": ["Ann", {"n": 3}]}, id="c1"),
            ),
        ),
        Message(role="tool", content="Paid.", name="pay", tool_call_id="c1"),
        Message(role="assistant", content="It is paid."),
    ),
    tools=({"type": "function", "function": {"name": "pay", "strict": True}},),
)


def test_all_texts_are_seen():
    assert texts_of(PLAIN) == ["Where?", "There.", "Let me see."]
    assert {"Be kind.", "pay", "card", "4012888888881881", "Ann", "c1", "Paid.", "function", "strict"} <= set(
        texts_of(FULL)
    )
    assert "3" not in texts_of(FULL)


def test_others_can_be_put_in_their_places():
    for row in (PLAIN, FULL):
        assert with_texts(row, texts_of(row)) == row
        assert texts_of(with_texts(row, [f"{text}!" for text in texts_of(row)])) == [
            f"{text}!" for text in texts_of(row)
        ]
    changed = with_texts(FULL, [text.replace("4012888888881881", "[card]") for text in texts_of(FULL)])
    assert changed.messages[2].tool_calls[0].arguments["card"] == "[card]"


def test_texts_of_any_json():
    deep: object = "x"
    for _ in range(100_000):
        deep = [deep]
    assert list(texts_in(deep)) == ["x"]
    assert set(texts_in({"a": [None, True, 1, 12345678.5, {"b": "c"}]})) == {"a", "b", "c", "12345678.5"}
    assert list(texts_in(10**5000)) == []
