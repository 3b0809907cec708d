"""Changing the workers of a running router, against a router that refuses one of them."""

import json
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import ClassVar
from urllib.parse import parse_qs, urlparse

import pytest

from components.errors import TunegateError
from components.serve.router import set_workers, workers


class Router(BaseHTTPRequestHandler):
    urls: ClassVar[list[str]] = []

    def do_GET(self) -> None:
        self._answer(200, json.dumps({"urls": self.urls}))

    def do_POST(self) -> None:
        asked = urlparse(self.path)
        url = parse_qs(asked.query)["url"][0]
        if "dead" in url:
            self._answer(503, "worker is not healthy")
            return
        if asked.path == "/add_worker":
            self.urls.append(url)
        else:
            self.urls.remove(url)
        self._answer(200, "done")

    def _answer(self, status: int, body: str) -> None:
        self.send_response(status)
        self.end_headers()
        self.wfile.write(body.encode())

    def log_message(self, format: str, *args: object) -> None:
        pass


@pytest.fixture
def router() -> Iterator[str]:
    Router.urls[:] = ["http://a", "http://b"]
    with ThreadingHTTPServer(("127.0.0.1", 0), Router) as server:
        threading.Thread(target=server.serve_forever).start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()


@pytest.mark.parametrize(
    "wanted",
    [["http://c", "http://d"], ["http://b", "http://c"], ["http://a", "http://b"]],
    ids=["all new", "one kept", "none new"],
)
def test_the_workers_become_those_that_are_wanted(router: str, wanted: list[str]) -> None:
    set_workers(router, wanted)

    assert workers(router) == wanted


def test_the_old_workers_stay_when_a_new_one_is_not_healthy(router: str) -> None:
    with pytest.raises(TunegateError, match="503: worker is not healthy"):
        set_workers(router, ["http://c", "http://dead"])

    assert workers(router) == ["http://a", "http://b"]


def test_a_router_that_is_gone_is_said() -> None:
    with pytest.raises(TunegateError, match=r"router: GET .*refused"):
        workers("http://127.0.0.1:9")
