"""Answers of other servers than registries are limited, too, and told if they make no sense (item 5)."""

import json
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from components.conversations import Message, Prompt
from components.errors import TunegateError
from components.loadtest.client import ChatEndpoint, RequestRecord, ask, new_session
from components.serve.kubernetes import cluster as cluster_module
from components.serve.kubernetes.cluster import Cluster
from pipelines.kubeflow import address as address_module
from pipelines.kubeflow.connection import Connection
from pipelines.kubeflow.settings import ClientSettings
from tests.hostile.memory import little_memory
from tests.hostile.scripted_server import GIVES_UP_BYTES, Answer, Asked, endless, scripted_server

DEEP = b"[" * 100_000


def ask_once(url: str) -> RequestRecord:
    endpoint = ChatEndpoint(base_url=url, model_name="tuned", max_tokens=4, timeout_s=20)
    with new_session() as session:
        return ask(session, endpoint, Prompt(messages=(Message(role="user", content="?"),)))


def event(**fields: Any) -> bytes:
    return b"data: " + json.dumps({"choices": [{"delta": {"content": "a"}}]} | fields).encode() + b"\n\n"


@pytest.mark.parametrize("status", [400, 503])
@pytest.mark.parametrize(
    "headers", [{}, {"Content-Length": str(1 << 40)}], ids=["no length", "a huge length"]
)
def test_of_an_error_under_load_its_beginning_is_kept(status: int, headers: dict[str, str]) -> None:
    with (
        scripted_server(lambda asked: Answer(status, headers, endless(b"no \x1b[2J room"))) as server,
        little_memory(2 << 20),
    ):
        record = ask_once(server.url)
    assert record.outcome == f"http_{status}"
    assert record.detail.startswith("no \N{REPLACEMENT CHARACTER}[2J room")
    assert len(record.detail) <= 300
    assert server.sent < GIVES_UP_BYTES


@pytest.mark.parametrize("start", [b"", b"data: "], ids=["no event", "an event"])
def test_a_line_of_a_stream_without_an_end_breaks_it(monkeypatch: pytest.MonkeyPatch, start: bytes) -> None:
    body = lambda: endless(event() + start, b"a" * 65536)  # noqa: E731
    headers = {"Content-Length": str(1 << 40)}
    # A stream without chunks is read byte by byte, which takes a while.
    monkeypatch.setattr("components.loadtest.client.MAX_LINE_BYTES", 1 << 12)
    with scripted_server(lambda asked: Answer(200, headers, body())) as server, little_memory(2 << 20):
        record = ask_once(server.url)
    assert record.outcome == "broken_stream"
    assert len(record.detail) <= 300
    assert server.sent < GIVES_UP_BYTES


ODD_EVENTS = {
    "nested absurdly deep": b"data: " + DEEP + b"\n\n",
    "no UTF-8": b"data: \xff\xfe\n\n",
    "counts that are none": event(usage={"prompt_tokens": "a", "completion_tokens": []}),
    "counts that are negative": event(usage={"prompt_tokens": 3, "completion_tokens": -5}),
    "usage that is none": event(usage=[1]),
    "choices that are none": event(choices=5),
}


@pytest.mark.parametrize("odd", ODD_EVENTS.values(), ids=ODD_EVENTS)
def test_an_odd_event_breaks_its_stream_and_nothing_else(odd: bytes) -> None:
    with scripted_server(lambda asked: Answer(200, {}, [event() + odd + b"data: [DONE]\n\n"])) as server:
        record = ask_once(server.url)
    assert record.outcome == "broken_stream"
    assert record.detail.isprintable()


def test_load_is_not_led_to_somebody_else(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TUNEGATE_API_KEY", "a-key-of-thirty-two-letters-or-so")
    with scripted_server(lambda asked: Answer(200, {}, [event()])) as elsewhere:
        leads = Answer(307, {"Location": f"{elsewhere.url}/v1/chat/completions"}, [b"there"])
        with scripted_server(lambda asked: leads) as server:
            record = ask_once(server.url)
    assert (record.outcome, record.detail) == ("http_307", "there")
    assert elsewhere.asked == []


ODD_BODIES = [DEEP, b"null", b"[]", b'"x"', b'{"message": {"a": []}}', b'{"details": 5}', b"\xff", b"<html>"]
ODD_BODIES += [
    b'{"details": {"causes": [5, null]}}',
    b'{"message": "a\\u001b[2J\\ud800"}',
    b'{"message": ""}',
]


@pytest.mark.parametrize("body", ODD_BODIES, ids=range(len(ODD_BODIES)))
def test_whatever_an_api_server_refuses_with_is_told(body: bytes) -> None:
    from kubernetes.dynamic.exceptions import DynamicApiError

    def refuse() -> None:
        answer = SimpleNamespace(status=409, reason="Conflict", body=body, headers={})
        raise DynamicApiError(answer, tb="")

    with pytest.raises(TunegateError, match=r"can't try: ") as raised:
        Cluster("pets")._call("try", refuse)
    str(raised.value).encode()
    assert str(raised.value).isprintable()


def test_what_is_no_api_server_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def odd() -> None:
        json.loads("<html>")

    with pytest.raises(TunegateError, match=r"can't try: what answers is no API server \(Expecting value"):
        Cluster("pets")._call("try", odd)


def test_of_a_log_no_more_than_a_limit_is_asked_for(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: dict[str, str] = {}

    def request(method: str, path: str, query_params: list[tuple[str, str]], **_: Any) -> Any:
        asked.update(query_params)
        return SimpleNamespace(data=b"the last line\n")

    cluster = Cluster("pets")
    monkeypatch.setitem(cluster.__dict__, "_client", SimpleNamespace(request=request))
    assert cluster.log_end("pet", "engine", previous=False) == "the last line"
    assert asked["limitBytes"] == str(cluster_module.MAX_LOG_BYTES)


@pytest.mark.parametrize("status", [200, 400, 403, 404, 500])
@pytest.mark.parametrize("body", ODD_BODIES, ids=range(len(ODD_BODIES)))
def test_whatever_stands_where_kubeflow_pipelines_should_is_told(
    body: bytes, status: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(address_module, "READ_TRIES", 0)

    def script(asked: Asked) -> Answer:
        return Answer(status, {"Content-Type": "application/json"}, [body])

    with scripted_server(script) as server:
        connection = Connection(ClientSettings(host=server.url))
        try:
            connection.call("run 42", connection.runs.run_service_get_run, "42")
        except TunegateError as error:
            str(error).encode()
            assert "run 42" in str(error) or server.url in str(error)
            assert len(str(error)) < 1000
        else:
            assert status == 200
