"""What is made without being looked at is what would have been made by looking."""

import pickle

from components.conversations import Conversation, Message
from components.dataset.forms import made


def test_a_turn_and_a_row_are_as_the_models_make_them():
    turns = (made.turn("user", "Q"), made.turn("assistant", "A", reasoning="Hm."))
    row = made.conversation(turns, ())
    looked_at = (Message(role="user", content="Q"), Message(role="assistant", content="A", reasoning="Hm."))
    assert turns == looked_at
    assert hash(turns) == hash(looked_at)
    assert row == Conversation(messages=looked_at)
    assert row.as_json() == Conversation(messages=looked_at).as_json()
    assert pickle.loads(pickle.dumps(row)) == row
    assert row.messages[1].model_copy(update={"content": "B"}).content == "B"
