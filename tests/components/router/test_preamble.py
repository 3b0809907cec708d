import json

import pytest

from components.router.preamble import has_text
from tests.components.router.upstream import ROLE, text

CHAT = {"choices": [{"index": 0, "delta": {"role": "assistant", "content": ""}}]}


def events(*said: object) -> bytes:
    return b"".join(b"data: " + json.dumps(event).encode() + b"\n\n" for event in said)


@pytest.mark.parametrize(
    ("sent", "wanted"),
    [
        pytest.param(b"", False, id="nothing yet"),
        pytest.param(events(ROLE), False, id="a chat's role"),
        pytest.param(events(CHAT, CHAT), False, id="the roles of two answers"),
        pytest.param(events(ROLE)[:-1], False, id="half an event"),
        pytest.param(events(ROLE) + b'data: {"choices"', False, id="the next one is not whole yet"),
        pytest.param(events(ROLE, text("hi")), True, id="text"),
        pytest.param(events(ROLE, text("\n")), True, id="an empty line is text"),
        pytest.param(
            events({"choices": [{"delta": {"tool_calls": [{"index": 0}]}}]}), True, id="a tool's call"
        ),
        pytest.param(events({"choices": [{"delta": {"reasoning_content": "Hm"}}]}), True, id="a thought"),
        pytest.param(events({"choices": [{"delta": {}, "finish_reason": "stop"}]}), True, id="the end"),
        pytest.param(events({"choices": [{"text": ""}]}), True, id="a completion has no announcement"),
        pytest.param(events({"choices": [], "usage": {}}), True, id="usage"),
        pytest.param(events({"error": {"message": "no"}}), True, id="an error"),
        pytest.param(b"data: [DONE]\n\n", True, id="done"),
        pytest.param(b": ping\n\n", False, id="a comment"),
        pytest.param(b"event: ping\r\n\r\n" + events(ROLE), False, id="other ends of lines"),
        pytest.param(events({"type": "response.created", "response": {}}), False, id="a response is made"),
        pytest.param(events({"type": "response.output_text.delta", "delta": "a"}), True, id="its text"),
        pytest.param(b"event: message_start\n" + events({"type": "message_start"}), False, id="a message"),
        pytest.param(events({"type": "content_block_delta"}), True, id="its text too"),
        pytest.param(b"data: {not json}\n\n", True, id="what is not understood is not held back"),
        pytest.param(events([1]), True, id="nor another form"),
        pytest.param(b"data: " + b"[" * 100_000 + b"\n\n", True, id="nor what is too deep"),
    ],
)
def test_what_only_announces_an_answer_is_no_text(sent: bytes, wanted: bool) -> None:
    assert has_text(sent) == wanted
