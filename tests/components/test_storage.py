import errno
import gzip
import hashlib
import subprocess
import sys
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import fsspec
import pytest

from components.errors import InvalidInput, TunegateError
from components.storage import (
    _HELD,
    Taken,
    _lock,
    atomic_write,
    content_digest,
    holder_of,
    holding,
    locked,
    open_source,
)


def damaged_gzip(content: bytes) -> bytes:
    whole = bytearray(gzip.compress(content))
    whole[len(whole) // 2] ^= 0xFF
    return bytes(whole)


@pytest.mark.parametrize(
    ("name", "content", "words"),
    [
        pytest.param("rows.jsonl", None, "no such file", id="missing"),
        pytest.param("folder", "folder", "is a directory", id="a directory"),
        pytest.param("rows.jsonl.gz", b"not gzip", "could not be read", id="no gzip"),
        pytest.param(
            "rows.jsonl.gz", gzip.compress(b"x" * 9999)[:-9], "could not be read", id="a gzip cut short"
        ),
        pytest.param(
            "rows.jsonl.gz",
            damaged_gzip(bytes(range(256)) * 40),
            "is no valid gzip",
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
        content_digest(str(path))
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
        content_digest("s3://team/without-keys.jsonl")
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "key")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "secret")
    fsspec.get_filesystem_class("s3").clear_instance_cache()
    with open_source("s3://team/rows.jsonl") as file:
        assert file.read() == b"rows"
    assert server.asked == {"/team/rows.jsonl"}


def test_a_proxy_that_the_environment_names_is_asked(server: Server, monkeypatch: pytest.MonkeyPatch):
    for name in ("NO_PROXY", "no_proxy", "http_proxy"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("HTTP_PROXY", server.url)
    with open_source("http://nowhere.invalid/rows.jsonl") as file:
        assert file.read() == b"rows"
    assert server.asked == {"http://nowhere.invalid/rows.jsonl"}


def test_a_digest_sees_content_and_order_and_not_the_packing(tmp_path: Path):
    one, two, packed = tmp_path / "one", tmp_path / "two", tmp_path / "one.gz"
    one.write_bytes(b"1")
    two.write_bytes(b"2")
    packed.write_bytes(gzip.compress(b"1"))
    digest = hashlib.sha256(hashlib.sha256(b"1").digest()).hexdigest()
    assert content_digest(str(one)) == content_digest(str(packed), "") == f"sha256:{digest}"
    assert content_digest(str(one), str(two)) != content_digest(str(two), str(one))
    with open_source(str(packed)) as file:
        assert file.read() == b"1"


def test_a_write_that_fails_leaves_the_old_file_and_nothing_else(tmp_path: Path):
    path = tmp_path / "file"
    path.write_bytes(b"old")
    with pytest.raises(ZeroDivisionError), atomic_write(path) as file:
        file.write(b"new")
        raise ZeroDivisionError
    told = pytest.raises(TunegateError, match=r"No space left.*nothing was kept.*Free some space")
    with told, atomic_write(path) as file:
        raise OSError(errno.ENOSPC, "No space left on device")
    assert path.read_bytes() == b"old"
    assert list(tmp_path.iterdir()) == [path]
    with atomic_write(path) as file:
        file.write(b"new")
    assert path.read_bytes() == b"new"


def test_a_lock_waits_for_the_process_that_holds_it(tmp_path: Path):
    code = (
        "import sys; from pathlib import Path; from components.storage import locked\n"
        "with locked(Path(sys.argv[1])): print('held', flush=True); sys.stdin.read()"
    )
    holder = subprocess.Popen(
        [sys.executable, "-c", code, str(tmp_path / "lock")],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    assert holder.stdout and holder.stdout.readline() == "held\n"
    probe = "import fcntl, sys; fcntl.flock(open(sys.argv[1], 'w'), fcntl.LOCK_EX | fcntl.LOCK_NB)"
    taken = subprocess.run([sys.executable, "-c", probe, str(tmp_path / "lock")], capture_output=True)
    assert b"BlockingIOError" in taken.stderr
    holder.communicate()
    with locked(tmp_path / "lock"):
        pass


def test_a_file_is_held_by_one_at_a_time_and_says_by_whom_until_it_is_let_go(tmp_path: Path):
    path = tmp_path / "folder" / "lock"
    assert holder_of(path) == ""
    with holding(path, "the first one, whose name is long"):
        with pytest.raises(Taken, match="is held by the first one") as taken, holding(path, "the second"):
            pass
        assert taken.value.by == holder_of(path) == "the first one, whose name is long"
    assert holder_of(path) == ""
    with holding(path, "the second"):
        assert holder_of(path) == "the second"
        assert path.read_text() == "the second"


def test_who_has_just_taken_a_file_is_not_taken_for_the_one_before(tmp_path: Path):
    path = tmp_path / "lock"
    with holding(path, "the one before"):
        pass
    with path.open("a+") as file:
        _lock(file, _HELD)  # and has not come to say who it is
        assert holder_of(path) == ""
        with pytest.raises(Taken, match="is held by another command"), holding(path, "a third"):
            pass
