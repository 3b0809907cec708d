"""A real registry on this machine, and a front before it that misbehaves as told."""

import base64
import contextlib
import http.client
import json
import shutil
import socket
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread
from urllib.parse import parse_qs, urlsplit

import pytest
from tenacity import retry, stop_after_delay, wait_fixed

USER, PASSWORD = "user", "secret"
PASSWORD_BCRYPT = "$2b$04$DDJJF5CkmAZMm4K2XNJKEuQyoM85Mcq5bWCjczUabH6Wu8U5V1q1m"


@contextmanager
def running_registry(folder: Path, with_password: bool = False) -> Iterator[str]:
    """Run Debian's docker-registry on a free port of the loopback; give its host:port."""
    binary = shutil.which("docker-registry")
    if binary is None:
        pytest.skip("no docker-registry here; apt-get install docker-registry")
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    config = {
        "version": 0.1,
        "log": {"level": "error"},
        "storage": {"filesystem": {"rootdirectory": str(folder / "storage")}},
        "http": {"addr": f"127.0.0.1:{port}"},
    }
    if with_password:
        (folder / "htpasswd").write_text(f"{USER}:{PASSWORD_BCRYPT}\n")
        config["auth"] = {"htpasswd": {"realm": "tests", "path": str(folder / "htpasswd")}}
    (folder / "config.yml").write_text(json.dumps(config))
    with (folder / "registry.log").open("wb") as log:
        process = subprocess.Popen([binary, "serve", str(folder / "config.yml")], stdout=log, stderr=log)
    try:
        _wait_for(port)
        yield f"127.0.0.1:{port}"
    finally:
        process.terminate()
        process.wait(timeout=10)


@retry(stop=stop_after_delay(15), wait=wait_fixed(0.05), reraise=True)
def _wait_for(port: int) -> None:
    socket.create_connection(("127.0.0.1", port), timeout=1).close()


@dataclass
class Front:
    """A proxy before a registry.

    Attributes:
        registry: Where requests go that are let through.
        host: Its own host:port.
        faults: What the next requests get: a status, `drop` (no answer), `cut` (half an answer), `tamper`
            (another byte), `swell` (more bytes than asked for), `label` (a .gz said to be only
            encoded so, as some do for clients that take it) or `let through`.
        tokens: Whether a token is asked for whose scope fits the method, as Docker Hub does.
        seen: Method and path of each request.
    """

    registry: str
    host: str = ""
    faults: list[int | str] = field(default_factory=list)
    tokens: bool = False
    seen: list[tuple[str, str]] = field(default_factory=list)


@contextmanager
def running_front(registry: str) -> Iterator[Front]:
    """Run a front before a registry."""
    front = Front(registry)
    handler = type("Handler", (_Handler,), {"front": front})
    server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
    front.host = f"127.0.0.1:{server.server_port}"
    thread = Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
    thread.start()
    try:
        yield front
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


class _Handler(BaseHTTPRequestHandler):
    front: Front
    protocol_version = "HTTP/1.1"

    def _serve(self) -> None:
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        self.front.seen.append((self.command, self.path))
        url = urlsplit(self.path)
        if url.path == "/token":
            return self._give_token(parse_qs(url.query)["scope"][0])
        fault = self.front.faults.pop(0) if self.front.faults else None
        if fault == "drop":
            self.close_connection = True
            return self.connection.shutdown(socket.SHUT_RDWR)
        if isinstance(fault, int):
            message = {"errors": [{"code": "X", "message": f"told to answer {fault}"}]}
            return self._answer(fault, {}, json.dumps(message).encode())
        scope = "pull" if self.command in ("GET", "HEAD") else "pull,push"
        if self.front.tokens and scope not in self.headers.get("Authorization", ""):
            challenge = (
                f'Bearer realm="http://{self.front.host}/token",service="tests",scope="repository:a:{scope}"'
            )
            return self._answer(401, {"Www-Authenticate": challenge}, b"")
        return self._pass_on(body, fault)

    do_GET = do_HEAD = do_POST = do_PUT = do_PATCH = do_DELETE = _serve  # noqa: N815

    def _give_token(self, scope: str) -> None:
        login = base64.b64encode(f"{USER}:{PASSWORD}".encode()).decode()
        if self.headers.get("Authorization") != f"Basic {login}":
            return self._answer(401, {}, b"")
        return self._answer(200, {}, json.dumps({"token": f"for {scope}"}).encode())

    def _pass_on(self, body: bytes, fault: str | None) -> None:
        onward = http.client.HTTPConnection(self.front.registry, timeout=10)
        headers = {name: value for name, value in self.headers.items() if value[:6] != "Bearer"}
        onward.request(self.command, self.path, body, headers)
        answer = onward.getresponse()
        content = answer.read()
        kept = {k: v for k, v in answer.headers.items() if k.lower() not in ("content-length", "connection")}
        length = int(answer.headers.get("Content-Length") or 0)
        if fault == "cut":
            self.close_connection = True
            content = content[: len(content) // 2]
        elif fault == "tamper":
            content = content[:-1] + bytes([content[-1] ^ 1])
        elif fault == "label" and "gzip" in self.headers.get("Accept-Encoding", ""):
            kept["Content-Encoding"] = "gzip"
        elif fault == "swell":
            content += content
            length = len(content)
        self._answer(answer.status, kept, content, length)
        onward.close()

    def _answer(
        self, status: int, headers: dict[str, str], content: bytes, length: int | None = None
    ) -> None:
        with contextlib.suppress(BrokenPipeError):
            self.send_response(status)
            for name, value in headers.items():
                self.send_header(name, value)
            self.send_header("Content-Length", str(len(content) if length is None else length))
            self.end_headers()
            if self.command != "HEAD":
                self.wfile.write(content)

    def log_message(self, *_: object) -> None:
        """Keep the tests' output readable."""
