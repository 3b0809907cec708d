"""Servers on the loopback that answer as a test says, in bytes if need be; and what they were asked."""

import contextlib
import ssl
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from ipaddress import IPv4Address
from pathlib import Path
from threading import Thread

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from cryptography.x509.oid import NameOID

GIVES_UP_BYTES = 48 << 20  # far over every limit, and far over what sockets hold


@dataclass(frozen=True)
class Asked:
    """One request."""

    method: str
    path: str
    authorization: str | None


@dataclass
class Answer:
    """What is answered: a status, headers, and a body in pieces, with a length only if it is a list."""

    status: int = 200
    headers: dict[str, str] = field(default_factory=dict)
    body: Iterable[bytes] = ()


@dataclass
class Server:
    """A running server.

    Attributes:
        host: Its `host:port`.
        url: Its address.
        script: What it answers.
        asked: Every request.
        sent: Bytes of bodies that were handed to the socket.
    """

    host: str
    url: str
    script: Callable[[Asked], Answer]
    asked: list[Asked] = field(default_factory=list)
    sent: int = 0

    @property
    def authorized(self) -> list[Asked]:
        """The requests that brought credentials."""
        return [request for request in self.asked if request.authorization]


@contextmanager
def scripted_server(script: Callable[[Asked], Answer], certificate: Path | None = None) -> Iterator[Server]:
    """Run a server; with a certificate (and its key in one file) it speaks TLS."""
    handler = type("Handler", (_Handler,), {})
    httpd = ThreadingHTTPServer(("127.0.0.1", 0), handler)
    httpd.daemon_threads = True
    if certificate is not None:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(certificate)
        httpd.socket = context.wrap_socket(httpd.socket, server_side=True)
    host = f"127.0.0.1:{httpd.server_port}"
    server = Server(host, f"http{'s' * (certificate is not None)}://{host}", script)
    handler.server_told = server  # type: ignore[attr-defined]
    thread = Thread(target=httpd.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)
    thread.start()
    try:
        yield server
    finally:
        httpd.shutdown()
        httpd.server_close()
        thread.join()


def endless(start: bytes = b"", piece: bytes = b" " * 65536) -> Iterator[bytes]:
    """Return a body that only ends because the server gives up."""
    yield start
    yield from (piece for _ in range(GIVES_UP_BYTES // len(piece)))


def made_certificate(folder: Path) -> Path:
    """Make a certificate for 127.0.0.1, with its key in the same file."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "127.0.0.1")])
    now = datetime.now(UTC)
    certificate = (
        x509.CertificateBuilder(name, name, key.public_key(), x509.random_serial_number())
        .not_valid_before(now - timedelta(days=1))
        .not_valid_after(now + timedelta(days=1))
        .add_extension(
            x509.SubjectAlternativeName([x509.IPAddress(IPv4Address("127.0.0.1"))]), critical=False
        )
        .sign(key, hashes.SHA256())
    )
    path = folder / "tls.pem"
    plain_key = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    path.write_bytes(certificate.public_bytes(Encoding.PEM) + plain_key)
    return path


class _Handler(BaseHTTPRequestHandler):
    server_told: Server
    protocol_version = "HTTP/1.1"

    def _serve(self) -> None:
        told = self.server_told
        self.rfile.read(int(self.headers.get("Content-Length") or 0))
        asked = Asked(self.command, self.path, self.headers.get("Authorization"))
        told.asked.append(asked)
        answer = told.script(asked)
        with contextlib.suppress(OSError):
            self.send_response(answer.status)
            for name, value in answer.headers.items():
                self.send_header(name, value)
            given = {name.lower() for name in answer.headers}
            if isinstance(answer.body, (list, tuple)) and not given & {"content-length", "transfer-encoding"}:
                self.send_header("Content-Length", str(sum(map(len, answer.body))))
            self.send_header("Connection", "close")
            self.end_headers()
            if self.command != "HEAD":
                for piece in answer.body:
                    self.wfile.write(piece)
                    told.sent += len(piece)
        # An announced length may not be what was sent: nobody waits for the rest.
        self.close_connection = True

    do_GET = do_HEAD = do_POST = do_PUT = do_PATCH = do_DELETE = _serve  # noqa: N815

    def log_message(self, *_: object) -> None:
        """Keep the tests' output readable."""
