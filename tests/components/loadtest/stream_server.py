"""A chat completion server whose times are known: it notes when it got a request and sent each token."""

import json
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any


@dataclass
class Served:
    """One request as the server saw it; times are `time.perf_counter`, one clock for the whole machine."""

    body: dict[str, Any]
    got_at: float
    sent_at: list[float] = field(default_factory=list)
    done_at: float = 0.0

    @property
    def ttft_ms(self) -> float:
        return (self.sent_at[0] - self.got_at) * 1000

    @property
    def itl_ms(self) -> float:
        return (self.sent_at[-1] - self.sent_at[0]) * 1000 / (len(self.sent_at) - 1)


class StreamServer(ThreadingHTTPServer):
    """Sends `max_tokens` tokens, the first after `ttft_s`, the others `itl_s` apart.

    Attributes:
        fault: Asked before each token with its number; a status code before the first one refuses the
            request, "break" ends the stream there, "hang" waits for the end of the test, and
            "garbage" and "error" send what is no token.
        chunked: Whether chunks are marked; otherwise the stream ends with its connection.
    """

    daemon_threads = True
    block_on_close = False

    def __init__(self, ttft_s: float, itl_s: float) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.ttft_s, self.itl_s = ttft_s, itl_s
        self.fault: Callable[[int], int | str | None] = lambda token: None
        self.chunked = True
        self.served: list[Served] = []
        self.closing = threading.Event()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_address[1]}"

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Clients that hang up are part of the tests."""


class Handler(BaseHTTPRequestHandler):
    server: StreamServer
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True

    def log_message(self, *_: Any) -> None:
        pass

    def do_POST(self) -> None:
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        served = Served(body, time.perf_counter())
        self.server.served.append(served)
        fault = self.server.fault(0)
        if isinstance(fault, int):
            self.send_error(fault, "the engine is not there")
            return
        self.send_response(200)
        if self.server.chunked:
            self.send_header("Transfer-Encoding", "chunked")
        else:
            self.send_header("Connection", "close")
            self.close_connection = True
        self.end_headers()
        self.send_event({"choices": [{"delta": {"role": "assistant", "content": ""}}]})
        for number in range(body["max_tokens"]):
            self.server.closing.wait(self.server.itl_s if number else self.server.ttft_s)
            fault = self.server.fault(number) if number else fault
            if fault == "break":
                self.close_connection = True
                return
            if fault == "hang":
                self.server.closing.wait()
            if fault == "garbage":
                self.send_event("not a chunk")
            if fault == "error":
                self.send_event({"error": {"message": "EngineCore died"}})
            served.sent_at.append(time.perf_counter())
            self.send_event({"choices": [{"delta": {"content": f"token {number} "}}]})
        usage = {"prompt_tokens": len(str(body["messages"])), "completion_tokens": body["max_tokens"]}
        self.send_event({"choices": [], "usage": usage})
        self.send(b"data: [DONE]\n\n")
        served.done_at = time.perf_counter()
        if self.server.chunked:
            self.wfile.write(b"0\r\n\r\n")

    def send_event(self, event: object) -> None:
        self.send(f"data: {json.dumps(event)}\n\n".encode())

    def send(self, data: bytes) -> None:
        self.wfile.write(b"%x\r\n%s\r\n" % (len(data), data) if self.server.chunked else data)


@contextmanager
def stream_server(ttft_s: float = 0.005, itl_s: float = 0.001) -> Iterator[StreamServer]:
    server = StreamServer(ttft_s, itl_s)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)
    thread.start()
    try:
        yield server
    finally:
        server.closing.set()
        server.shutdown()
        server.server_close()
        thread.join()
