"""A server on loopback that answers whatever a test wants, down to the bytes on the wire."""

import socketserver
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field


@dataclass(frozen=True)
class Answer:
    """What is sent.

    Attributes:
        body: After the headers.
        status: Of the first line.
        headers: Besides the length, which is that of the body unless it is named here.
        raw: Sent as it is in place of all of that.
        repeated: Sent over and over after the rest, for as long as anybody reads.
        pause_s: Between two of those.
    """

    body: bytes = b""
    status: int = 200
    headers: dict[str, str] = field(default_factory=dict)
    raw: bytes | None = None
    repeated: bytes = b""
    pause_s: float = 0.0

    def bytes(self) -> bytes:
        if self.raw is not None:
            return self.raw
        headers = {"Content-Type": "application/json", "Content-Length": str(len(self.body))} | self.headers
        lines = [
            f"HTTP/1.1 {self.status} Odd",
            *(f"{name}: {value}" for name, value in headers.items() if value),
        ]
        return "\r\n".join([*lines, "Connection: close", "", ""]).encode("latin-1") + self.body


@dataclass
class Asked:
    """One request that arrived."""

    line: str
    headers: dict[str, str]


Respond = Callable[[str, bytes], Answer]


@contextmanager
def odd_server(respond: Respond, asked: list[Asked] | None = None) -> Iterator[str]:
    """Answer each request with what `respond` makes of its path and body.

    Args:
        respond: Is given path and body.
        asked: Is added what arrived.
    """

    class Handler(socketserver.StreamRequestHandler):
        def handle(self) -> None:
            line = self.rfile.readline().decode("latin-1").strip()
            headers = {}
            while header := self.rfile.readline().decode("latin-1").strip():
                name, _, value = header.partition(":")
                headers[name.lower()] = value.strip()
            if not line:
                return
            body = self.rfile.read(int(headers.get("content-length", 0)))
            if asked is not None:
                asked.append(Asked(line, headers))
            answer = respond(line.split()[1], body)
            try:
                self.wfile.write(answer.bytes())
                while answer.repeated:
                    self.wfile.write(answer.repeated)
                    time.sleep(answer.pause_s)
            except OSError:
                pass  # nobody reads on

    class Server(socketserver.ThreadingTCPServer):
        allow_reuse_address = daemon_threads = True

        def handle_error(self, request: object, client_address: object) -> None:
            pass

    with Server(("127.0.0.1", 0), Handler) as server:
        threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True).start()
        try:
            yield f"http://127.0.0.1:{server.server_address[1]}"
        finally:
            server.shutdown()
