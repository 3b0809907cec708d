import socket
from statistics import median

import pytest

from components.conversations import Message, Prompt, ToolCall
from components.loadtest.client import ChatEndpoint, RequestRecord, ask, new_session
from tests.components.loadtest.stream_server import StreamServer, stream_server

PROMPT = Prompt(messages=(Message(role="user", content="Do you have a lead for a small dog?"),))


def ask_once(
    base_url: str, max_tokens: int = 4, timeout_s: float = 20, prompt: Prompt = PROMPT
) -> RequestRecord:
    endpoint = ChatEndpoint(base_url=base_url, model_name="tuned", max_tokens=max_tokens, timeout_s=timeout_s)
    with new_session() as session:
        return ask(session, endpoint, prompt)


def test_a_complete_answer():
    with stream_server() as server:
        record = ask_once(server.url, max_tokens=4)
    assert (record.outcome, record.detail) == ("ok", "")
    assert (record.output_tokens, len(record.gaps_ms)) == (4, 3)
    assert record.prompt_tokens == len(str(PROMPT.turns()))
    assert 0 < record.ttft_ms < record.e2e_ms
    body = server.served[0].body
    assert (body["model"], body["messages"], body["max_tokens"]) == ("tuned", PROMPT.turns(), 4)
    assert (body["stream"], body["ignore_eos"], body["temperature"]) == (True, True, 0)


@pytest.mark.quiet
@pytest.mark.parametrize("chunked", [True, False], ids=["chunked", "ends with its connection"])
def test_every_token_is_seen_when_it_comes(chunked: bool):
    with stream_server(ttft_s=0.2, itl_s=0.025) as server:
        server.chunked = chunked
        records = [ask_once(server.url, max_tokens=12) for _ in range(3)]
        truth = server.served
    assert [len(record.gaps_ms) for record in records] == [11, 11, 11]
    assert median(r.ttft_ms for r in records) == pytest.approx(median(s.ttft_ms for s in truth), rel=0.05)
    assert median(r.itl_ms for r in records) == pytest.approx(median(s.itl_ms for s in truth), rel=0.05)


@pytest.mark.parametrize(
    ("fault", "outcome", "detail"),
    [
        ((0, 500), "http_500", "the engine is not there"),
        ((0, 503), "http_503", "the engine is not there"),
        ((0, "break"), "broken_stream", ""),
        ((2, "break"), "broken_stream", ""),
        ((1, "garbage"), "broken_stream", "not a chat completion chunk"),
        ((1, "error"), "broken_stream", "EngineCore died"),
        ((0, "hang"), "timed_out", ""),
        ((2, "hang"), "timed_out", ""),
    ],
    ids=[
        "server error",
        "unavailable",
        "broken before the first token",
        "broken later",
        "no JSON object",
        "error in the stream",
        "no first token",
        "stalled later",
    ],
)
def test_how_requests_fail(fault: tuple[int, int | str], outcome: str, detail: str):
    with stream_server() as server:
        server.fault = lambda token: fault[1] if token == fault[0] else None
        record = ask_once(server.url, timeout_s=0.3 if fault[1] == "hang" else 20)
    assert record.outcome == outcome
    assert detail in record.detail
    assert record.e2e_ms > 0


def test_tools_are_sent_so_that_no_parser_of_calls_is_needed():
    call = ToolCall(name="price", arguments={"item": "bed"})
    turns = (*PROMPT.messages, Message(role="assistant", content="", tool_calls=(call,)))
    tools = ({"type": "function", "function": {"name": "price"}},)
    asked = Prompt(messages=(*turns, Message(role="tool", content="2")), tools=tools)
    with stream_server() as server:
        assert ask_once(server.url, prompt=asked).outcome == "ok"
    body = server.served[0].body
    assert (body["tools"], body["tool_choice"]) == (list(tools), "none")
    sent = {"id": "call00001", "function": {"arguments": '{"item": "bed"}', "name": "price"}}
    assert body["messages"][1]["tool_calls"] == [sent | {"type": "function"}]
    assert body["messages"][2] == {"role": "tool", "content": "2", "tool_call_id": "call00001"}


def test_an_answer_that_trickles_past_its_time_has_timed_out():
    with stream_server(itl_s=0.1) as server:
        record = ask_once(server.url, max_tokens=100, timeout_s=3)
    assert record.outcome == "timed_out"
    assert "no complete answer within 3 s" in record.detail


def test_a_stream_that_ends_politely_without_done_is_broken():
    with stream_server() as server:
        server.chunked = False
        server.fault = lambda token: "break" if token == 2 else None
        record = ask_once(server.url)
    assert (record.outcome, record.detail) == ("broken_stream", "the stream ended after 2 tokens")
    assert record.output_tokens == 2


def test_nobody_listens():
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        record = ask_once(f"http://127.0.0.1:{taken.getsockname()[1]}")
    assert record.outcome == "refused"


def test_a_failure_leaves_the_session_usable():
    endpoint_of = lambda server: ChatEndpoint(  # noqa: E731
        base_url=server.url, model_name="tuned", max_tokens=3, timeout_s=20
    )
    server: StreamServer
    with stream_server() as server, new_session() as session:
        server.fault = lambda token: "break" if token == 1 else None
        assert ask(session, endpoint_of(server), PROMPT).outcome == "broken_stream"
        server.fault = lambda token: None
        assert ask(session, endpoint_of(server), PROMPT).outcome == "ok"
