"""Questions to a server: what somebody else's server says is no answer of ours."""

import http.server
import threading
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from components.serve import probe


@contextmanager
def answering(body: bytes) -> Iterator[str]:
    """A server that answers everything with 200 and one body."""

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.rfile.read(int(self.headers.get("Content-Length", 0)))
            self.send_response(200)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        do_POST = do_GET  # noqa: N815

        def log_message(self, *_: object) -> None:
            pass

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        try:
            yield f"http://127.0.0.1:{server.server_address[1]}"
        finally:
            server.shutdown()


@pytest.mark.parametrize(
    "body",
    [
        pytest.param(b"<html>hello</html>", id="a page"),
        pytest.param(b"", id="nothing"),
        pytest.param(b"\xff\xfe", id="no text"),
        pytest.param(b"[" * 100_000, id="nested without end"),
        pytest.param(b'["pet"]', id="a list"),
        pytest.param(b'{"data": ["pet"], "choices": []}', id="of another form"),
        pytest.param(b'{"data": null, "choices": null}', id="null"),
    ],
)
def test_somebody_elses_server_is_not_ours(body: bytes) -> None:
    with answering(body) as url:
        assert probe.is_up(url)
        assert not probe.lists_adapter(url, "pet")
        assert not probe.completes(url, "pet")


def test_ours_lists_the_adapter_and_completes() -> None:
    with answering(b'{"data": [{"id": "base"}, {"id": "pet"}], "choices": [{"text": "a"}]}') as url:
        assert probe.lists_adapter(url, "pet")
        assert not probe.lists_adapter(url, "dog")
        assert probe.completes(url, "pet")
