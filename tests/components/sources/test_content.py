import gzip
import hashlib
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import fsspec
import pytest

from components.errors import InvalidInput
from components.sources.content import open_source
from components.sources.digests import read_contents

LIMIT = 1 << 20
pytestmark = pytest.mark.usefixtures("from_loopback")


def damaged_gzip(content: bytes) -> bytes:
    whole = bytearray(gzip.compress(content))
    whole[len(whole) // 2] ^= 0xFF
    return bytes(whole)


@pytest.mark.parametrize(
    ("name", "content", "words"),
    [
        pytest.param("rows.jsonl", None, "no such file", id="missing"),
        pytest.param("folder", "folder", "is a folder without files", id="an empty folder"),
        pytest.param("rows.jsonl.gz", b"not gzip", "no sound gzip", id="no gzip"),
        pytest.param("rows.jsonl.gz", gzip.compress(b"x" * 9999)[:-9], "cut short", id="a gzip cut short"),
        pytest.param(
            "rows.jsonl.gz",
            damaged_gzip(bytes(range(256)) * 40),
            "is no sound gzip",
            id="a gzip with damaged data",
        ),
    ],
)
def test_what_cannot_be_read_is_named(tmp_path: Path, name: str, content, words: str):
    path = tmp_path / name
    if content == "folder":
        path.mkdir()
    elif content is not None:
        path.write_bytes(content)
    with pytest.raises(InvalidInput, match=words) as refused:
        read_contents(str(path), LIMIT)
    assert str(path) in str(refused.value)


class Server(ThreadingHTTPServer):
    """Answers every request with the same bytes and notes what it was asked for."""

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Answer)
        self.asked: set[str] = set()
        self.url = f"http://127.0.0.1:{self.server_port}"


class Answer(BaseHTTPRequestHandler):
    server: Server

    def do_GET(self) -> None:
        self.server.asked.add(self.path)
        self.send_response(200)
        self.send_header("Content-Length", "4")
        self.send_header("ETag", '"1"')
        self.send_header("Last-Modified", "Thu, 01 Jan 2026 00:00:00 GMT")
        self.end_headers()
        if self.command == "GET":
            self.wfile.write(b"rows")

    def do_HEAD(self) -> None:
        self.do_GET()

    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture
def server() -> Iterator[Server]:
    with Server() as serving:
        threading.Thread(target=serving.serve_forever, daemon=True).start()
        yield serving
        serving.shutdown()


@pytest.fixture
def no_keys(monkeypatch: pytest.MonkeyPatch) -> None:
    """A machine that knows no store's credentials, whatever this one knows."""
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN", "AWS_PROFILE"):
        monkeypatch.delenv(name, raising=False)
    for name in ("AWS_CONFIG_FILE", "AWS_SHARED_CREDENTIALS_FILE"):
        monkeypatch.setenv(name, "/nonexistent")
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")


@pytest.mark.parametrize("scheme", ["https", "s3", "gs", "az", "hf"])
def test_every_promised_kind_of_address_has_its_client(scheme: str):
    assert fsspec.get_filesystem_class(scheme)


def test_a_bucket_is_read_with_the_keys_and_the_address_of_the_environment(
    server: Server, no_keys: None, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setenv("AWS_ENDPOINT_URL", server.url)
    with pytest.raises(InvalidInput, match="could not be read: Unable to locate credentials"):
        read_contents("s3://team/without-keys.jsonl", LIMIT)
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "key")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "secret")
    fsspec.get_filesystem_class("s3").clear_instance_cache()
    with open_source("s3://team/rows.jsonl", LIMIT) as file:
        assert file.read() == b"rows"
    assert server.asked == {"/team/rows.jsonl"}


def test_a_proxy_that_the_environment_names_is_asked(server: Server, monkeypatch: pytest.MonkeyPatch):
    for name in ("NO_PROXY", "no_proxy", "http_proxy"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("HTTP_PROXY", server.url)
    with open_source("http://nowhere.invalid/rows.jsonl", LIMIT) as file:
        assert file.read() == b"rows"
    assert server.asked == {"http://nowhere.invalid/rows.jsonl"}


def test_a_digest_sees_content_and_not_the_packing(tmp_path: Path):
    plain, packed = tmp_path / "rows", tmp_path / "rows.gz"
    plain.write_bytes(b"1")
    packed.write_bytes(gzip.compress(b"1"))
    digest = hashlib.sha256(b"1").hexdigest()
    assert {read_contents(str(path), LIMIT).digest for path in (plain, packed)} == {f"sha256:{digest}"}
    assert read_contents("", LIMIT).digest == ""
    with open_source(str(packed), LIMIT) as file:
        assert file.read() == b"1" and file.digest == f"sha256:{digest}"
