"""Item 15: an odd answer of a server is not ready and no crash; what is remembered is whole or not there."""

import socketserver
import threading
from pathlib import Path

import pytest

from components.serve import probe
from tests.hostile.odd_server import Answer, Asked, odd_server

LISTED = b'{"data": [{"id": "pet"}], "choices": [{"text": "a"}]}'
HEADERS = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\n"
ODD = {
    "half a body": Answer(LISTED, headers={"Content-Length": str(len(LISTED) + 9)}),
    "half a chunk": Answer(raw=HEADERS + b"Transfer-Encoding: chunked\r\n\r\nff\r\n" + LISTED),
    "no size of a chunk": Answer(raw=HEADERS + b"Transfer-Encoding: chunked\r\n\r\nlots\r\n" + LISTED),
    "no status line": Answer(raw=b"SSH-2.0-OpenSSH_9.6\r\n"),
    "no number as status": Answer(raw=b"HTTP/1.1 fine\r\n\r\n"),
    "nothing": Answer(raw=b""),
    "a long header": Answer(raw=HEADERS + b"X: " + b"x" * 100_000 + b"\r\n\r\n"),
    "many headers": Answer(raw=HEADERS + b"X: y\r\n" * 1000 + b"\r\n"),
    "an endless body": Answer(raw=HEADERS + b"\r\n" + LISTED, repeated=b" " * 65536),
    "a redirect": Answer(status=307, headers={"Location": "/elsewhere"}),
    "an error": Answer(LISTED, status=500),
}
OTHER_FORMS = {
    "no JSON": b"<html>",
    "a bare null": b"null",
    "NaN": b"NaN",
    "deep": b"[" * 200_000,
    "no UTF-8": b"\xff\xfe\xff",
    "a list": b'["pet"]',
    "text for lists": b'{"data": "pet", "choices": "pet"}',
    "numbers for lists": b'{"data": 1, "choices": 1}',
    "lists in lists": b'{"data": [["pet"]], "choices": [["pet"]]}',
    "objects for lists": b'{"data": {"id": "pet"}, "choices": {"0": {}}}',
}


@pytest.mark.parametrize("odd", ODD)
def test_a_broken_answer_is_not_ready(odd: str) -> None:
    with odd_server(lambda path, body: ODD[odd]) as url:
        assert not probe.is_up(url)
        assert not probe.lists_adapter(url, "pet")
        assert not probe.completes(url, "pet")
        assert probe.requests_in_flight(url) == 0


@pytest.mark.parametrize("form", OTHER_FORMS)
def test_an_answer_of_another_form_is_not_ready(form: str) -> None:
    with odd_server(lambda path, body: Answer(OTHER_FORMS[form])) as url:
        assert not probe.lists_adapter(url, "pet")
        assert not probe.completes(url, "pet")


def test_an_answer_that_drips_is_given_up_at_its_time_limit() -> None:
    stop = threading.Event()

    def drip(path: str, body: bytes) -> Answer:
        stop.wait(30)
        return Answer(LISTED)

    # Each byte comes in time, the whole never does.
    with odd_server(lambda path, body: Answer(raw=HEADERS + b"\r\n", repeated=b" ", pause_s=0.01)) as url:
        assert not probe.is_up(url, timeout_s=0.2)
    with odd_server(drip) as url:
        assert not probe.is_up(url, timeout_s=0.2)
        stop.set()


@pytest.mark.parametrize(
    ("value", "count"),
    [
        ("3.0", 3),
        ("0.5", 1),
        ("NaN", 1),
        ("+Inf", 1),
        ("-Inf", 1),
        ("1e999", 1),
        ("1.2.3", 1),
        ("e", 1),
        ("-2", 1),
        ("many", 1),
        ("0.0", 0),
    ],
)
def test_a_number_of_requests_that_is_none_counts_as_one(value: str, count: int) -> None:
    metrics = (
        f'# HELP x\nvllm:num_requests_running{{model_name="pet"}} {value}\nvllm:num_requests_waiting 0\n'
    )
    with odd_server(lambda path, body: Answer(metrics.encode())) as url:
        assert probe.requests_in_flight(url) == count


def test_a_key_does_not_follow_a_redirect_to_another_host() -> None:
    stolen: list[Asked] = []
    with odd_server(lambda path, body: Answer(LISTED), stolen) as thief:
        moved = Answer(status=302, headers={"Location": f"{thief}/v1/models"})
        with odd_server(lambda path, body: moved) as url:
            assert not probe.lists_adapter(url, "pet", key="secret")
            assert not probe.completes(url, "pet", key="secret")
    assert stolen == []


@pytest.mark.parametrize("remembered", [b"", b"sha256:abc", b"\xff\xfe", b"main", b"sha256:" + b"g" * 64])
def test_a_revision_that_was_remembered_by_half_is_worked_out_anew(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, remembered: bytes
) -> None:
    from components import models

    monkeypatch.setenv("TUNEGATE_HOME", str(tmp_path / "state"))
    (tmp_path / "model").mkdir()
    (tmp_path / "model" / "model.safetensors").write_bytes(b"weights")
    right = models._content_revision(tmp_path / "model")
    (memo,) = (tmp_path / "state" / "models" / "revisions").iterdir()
    memo.write_bytes(remembered)
    assert models._content_revision(tmp_path / "model") == right
    assert memo.read_text() == right
    assert list(memo.parent.iterdir()) == [memo]


class Killed(BaseException):
    """What ends a process before its next line."""


@pytest.fixture
def killed_half_way(monkeypatch: pytest.MonkeyPatch) -> None:
    """End whoever has written a file before it is where it belongs."""

    def end(descriptor: int) -> None:
        raise Killed

    monkeypatch.setattr("os.fsync", end)


def test_a_killed_release_leaves_no_half_parameters(tmp_path: Path, killed_half_way: None) -> None:
    from pipelines.local import run_process
    from pipelines.params import ReleaseParams

    with pytest.raises(Killed):
        run_process(ReleaseParams(dataset="rows.jsonl"), "r", tmp_path / "releases" / "r", None)
    assert list((tmp_path / "releases" / "r").iterdir()) == []  # `tunegate status` would stumble over it


def test_a_killed_command_leaves_no_half_section_for_supervisord(
    tmp_path: Path, killed_half_way: None
) -> None:
    from components.serve.local.configuration import Program
    from components.serve.local.supervisor import Supervisor

    supervisor = Supervisor(tmp_path)
    with pytest.raises(Killed):
        supervisor.add("pet", tmp_path / "pet", [Program("pet-0", ["sleep", "1"])])
    assert list((tmp_path / "conf.d").glob("*.conf")) == []


@pytest.mark.parametrize(
    "answer",
    [
        b"",
        b"SSH-2.0\r\n",
        b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\n<half",
        b"HTTP/1.1 200 OK\r\nContent-Length: 6\r\n\r\n<html>",
        b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{}",
        b"HTTP/1.1 500 No\r\nContent-Length: 0\r\n\r\n",
    ],
)
def test_what_answers_at_supervisords_socket_is_not_supervisord(tmp_path: Path, answer: bytes) -> None:
    from components.serve.local.supervisor import Supervisor

    supervisor = Supervisor(tmp_path)
    supervisor._socket.parent.mkdir(mode=0o700, parents=True, exist_ok=True)

    class Handler(socketserver.StreamRequestHandler):
        def handle(self) -> None:
            self.request.recv(65536)
            self.wfile.write(answer)

    with socketserver.ThreadingUnixStreamServer(str(supervisor._socket), Handler) as server:
        threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True).start()
        try:
            assert not supervisor.running()
            assert supervisor.groups() == set()
        finally:
            server.shutdown()
            supervisor._socket.unlink()


@pytest.mark.parametrize(
    "body", [b"[]", b"null", b"5", b"[" * 200_000, b"<html>", b'{"details": {"causes": null}}']
)
def test_a_refusal_of_a_proxy_before_the_cluster_is_put_into_words(body: bytes) -> None:
    from types import SimpleNamespace

    from components.serve.kubernetes.cluster import _in_words

    refusal = SimpleNamespace(status=403, reason="Forbidden", body=body)
    assert "can't list Pod: it is not allowed (403 Forbidden)" in str(_in_words("list Pod", refusal))
