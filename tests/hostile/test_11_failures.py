"""What stands in the way of a source is called what it is, and what to do next; damage is one error."""

import bz2
import gzip
import io
import lzma
import resource
import socket
import subprocess
import sys
import zipfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from random import Random

import aiohttp
import fsspec
import pyarrow
import pytest
from pyarrow import parquet

from components.dataset.files.load import RowFile
from components.errors import InvalidInput
from components.sources.address import parse_source
from components.sources.digests import read_contents
from components.sources.failures import explain
from tests.hostile import odd_server as odd
from tests.hostile.odd_server import odd_server
from tests.hostile.scripted_server import Answer, Asked, made_certificate, scripted_server

LIMIT = 1 << 30
pytestmark = pytest.mark.usefixtures("from_loopback")


def refused(source: str) -> str:
    with pytest.raises(InvalidInput) as told:
        read_contents(source, LIMIT)
    (problem,) = told.value.problems
    return problem


def answer(asked: Asked) -> Answer:
    """Answer /STATUS/... with that status, /short with less than is promised, /round by sending on."""
    first = asked.path.split("/")[1]
    if first == "round":
        return Answer(302, {"Location": "/round"})
    if first == "short":
        return Answer(200, {"Content-Length": "1000"}, [b"a few"])
    return Answer(int(first))


@pytest.fixture(scope="module")
def server() -> Iterator[str]:
    with scripted_server(answer) as serving:
        yield serving.url


@pytest.mark.parametrize(
    ("path", "words"),
    [
        ("401", ["401: it wants to know who asks", "USER:PASSWORD@HOST", "~/.netrc"]),
        ("403", ["403: whoever asks so may not read it, or what was signed has run out"]),
        ("404", ["404: there is no such file", "check the address"]),
        ("407", ["407: the proxy wants to know who asks"]),
        ("410", ["410: it was taken away for good"]),
        ("418", ["418: it does not take this request"]),
        ("429", ["429: it is asked too much at present; try again later"]),
        ("500", ["500: the server has trouble of its own; try again later"]),
        ("503", ["503: the server has trouble of its own"]),
        ("short", ["the connection broke off before all had arrived; try again"]),
        ("round", ["redirects in circles"]),
    ],
)
def test_an_answer_is_called_what_it_is(server: str, path: str, words: list[str]):
    problem = refused(f"{server}/{path}/rows.jsonl?sig=s3cret")
    assert all(word in problem for word in words), problem
    assert "s3cret" not in problem


def test_a_host_that_there_is_not():
    assert "there is no host of that name" in refused("http://nowhere.invalid/rows.jsonl")


def test_a_port_where_nothing_listens():
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    assert "nothing listens at that host and port" in refused(f"http://127.0.0.1:{port}/rows.jsonl")


def test_a_server_without_tls(server: str):
    assert "does the server speak https" in refused(f"https{server.removeprefix('http')}/rows.jsonl")


@pytest.mark.parametrize(
    ("said", "words"),
    [
        (b"", "the connection broke off"),
        (b"SSH-2.0-server\r\n", "does not speak HTTP; check host and port"),
        (b"HTTP/1.1 200 OK\r\nX: " + b"x" * 100_000 + b"\r\n\r\n", "does not speak HTTP"),
    ],
    ids=["nothing", "another protocol", "a header without an end"],
)
def test_a_server_of_another_kind(said: bytes, words: str):
    with odd_server(lambda path, body: odd.Answer(raw=said)) as url:
        assert words in refused(f"{url}/rows.jsonl")


def test_a_certificate_that_nobody_knows(tmp_path: Path):
    with scripted_server(lambda asked: Answer(), made_certificate(tmp_path)) as serving:
        problem = refused(f"{serving.url}/200/rows.jsonl")
    assert "its certificate is not trusted" in problem and "SSL_CERT_FILE" in problem


def botocore(status: int, code: str) -> Exception:
    from botocore.exceptions import ClientError
    from s3fs.errors import translate_boto_error

    response = {"Error": {"Code": code, "Message": "no"}, "ResponseMetadata": {"HTTPStatusCode": status}}
    return translate_boto_error(ClientError(response, "GetObject"))


def gcs(status: int) -> Exception:
    from gcsfs.retry import validate_response

    with pytest.raises(Exception) as raised:
        validate_response(status, b'{"error": {"message": "no"}}', "b/team/o/rows.jsonl")
    return raised.value


def azure(status: int, code: str) -> Exception:
    from azure.core.exceptions import HttpResponseError

    error = HttpResponseError("no")
    error.status_code, error.error_code = status, code
    return error


def hub(status: int) -> Exception:
    import httpx
    from huggingface_hub.errors import HfHubHTTPError

    response = httpx.Response(status, request=httpx.Request("GET", "https://hub.example/x"))
    return HfHubHTTPError("no", response=response)


def azure_without_network() -> Exception:
    from azure.core.exceptions import ServiceRequestError

    return ServiceRequestError("no", error=ConnectionRefusedError())


def s3_without_keys() -> Exception:
    from botocore.exceptions import NoCredentialsError

    return NoCredentialsError()


@pytest.mark.parametrize(
    ("source", "error", "words"),
    [
        ("s3://b/k", lambda: botocore(403, "AccessDenied"), ["403 (AccessDenied)", "AWS_ACCESS_KEY_ID"]),
        (
            "s3://b/k",
            lambda: botocore(403, "InvalidAccessKeyId"),
            ["403 (InvalidAccessKeyId)", "AWS_PROFILE"],
        ),
        ("s3://b/k", lambda: botocore(400, "ExpiredToken"), ["400 (ExpiredToken)", "has run out"]),
        ("s3://b/k", lambda: botocore(404, "NoSuchKey"), ["404 (NoSuchKey)", "no such file"]),
        ("s3://b/k", lambda: botocore(404, "NoSuchBucket"), ["404 (NoSuchBucket)"]),
        ("s3://b/k", lambda: botocore(503, "SlowDown"), ["503 (SlowDown)", "try again later"]),
        ("s3://b/k", lambda: botocore(500, "InternalError"), ["500", "trouble of its own"]),
        ("s3://b/k", s3_without_keys, ["Unable to locate credentials", "AWS_ACCESS_KEY_ID"]),
        ("gs://b/k", lambda: gcs(401), ["401", "GOOGLE_APPLICATION_CREDENTIALS"]),
        ("gs://b/k", lambda: gcs(403), ["403", "GOOGLE_APPLICATION_CREDENTIALS"]),
        ("gs://b/k", lambda: gcs(404), ["no such file"]),
        ("gs://b/k", lambda: gcs(503), ["503", "try again later"]),
        ("az://c/k", lambda: azure(403, "AuthenticationFailed"), ["403 (AuthenticationFailed)", "SAS_TOKEN"]),
        ("az://c/k", lambda: azure(404, "ContainerNotFound"), ["404 (ContainerNotFound)"]),
        ("az://c/k", lambda: azure(503, "ServerBusy"), ["503 (ServerBusy)", "try again later"]),
        ("az://c/k", azure_without_network, ["nothing listens"]),
        ("hf://datasets/o/n/k", lambda: hub(401), ["401", "HF_TOKEN"]),
        ("hf://datasets/o/n/k", lambda: hub(404), ["404", "HF_TOKEN"]),
        ("hf://datasets/o/n/k", lambda: hub(429), ["429", "try again later"]),
        ("https://h/k", TimeoutError, ["did not answer in time"]),
        ("https://h/k", aiohttp.ServerTimeoutError, ["did not answer in time"]),
        ("https://h/k", aiohttp.ServerDisconnectedError, ["the connection broke off"]),
        ("https://h/k", lambda: ValueError("odd at https://u:p@h/k?sig=s"), ["odd at https://h/k"]),
    ],
)
def test_what_the_clients_raise_is_told_in_one_way(
    source: str, error: Callable[[], Exception], words: list[str]
):
    told = str(explain(parse_source(source), error()))
    assert all(word in told for word in words), told


@pytest.mark.parametrize(
    ("source", "words"),
    [
        ("s3://bucket/rows.jsonl", "AWS_SECRET_ACCESS_KEY"),
        ("gs://bucket/rows.jsonl", "GOOGLE_APPLICATION_CREDENTIALS"),
        ("az://container/rows.jsonl", "AZURE_STORAGE_SAS_TOKEN"),
        ("hf://datasets/org/name/rows.jsonl", "HF_TOKEN"),
    ],
)
def test_a_store_that_refuses(server: str, monkeypatch: pytest.MonkeyPatch, source: str, words: str):
    """The clients themselves, each asking a server of ours."""
    store, key = f"{server}/403", "a2V5"
    monkeypatch.setenv("AWS_ENDPOINT_URL", store)
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "key")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "secret")
    monkeypatch.setenv("STORAGE_EMULATOR_HOST", store)
    account = f"DefaultEndpointsProtocol=http;AccountName=a;AccountKey={key};BlobEndpoint={store};"
    monkeypatch.setenv("AZURE_STORAGE_CONNECTION_STRING", account)
    monkeypatch.setattr("huggingface_hub.constants.ENDPOINT", store)
    client = fsspec.get_filesystem_class(source.partition("://")[0])
    client.clear_instance_cache()
    try:
        problem = refused(source)
    finally:
        client.clear_instance_cache()
    assert "answers 403" in problem and words in problem


def zstd(content: bytes) -> bytes:
    return pyarrow.compress(content, "zstd", asbytes=True)


def zipped(content: bytes) -> bytes:
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("rows.jsonl", content)
    return packed.getvalue()


def table(content: bytes) -> bytes:
    packed = io.BytesIO()
    texts = pyarrow.array([content[n : n + 50].hex() for n in range(0, len(content), 50)])
    parquet.write_table(pyarrow.table({"prompt": texts, "completion": texts}), packed)
    return packed.getvalue()


KINDS: dict[str, tuple[str, Callable[[bytes], bytes]]] = {
    "gz": ("no sound gzip", gzip.compress),
    "bz2": ("no sound bzip2", bz2.compress),
    "xz": ("no sound xz", lzma.compress),
    "zst": ("no sound zstd", zstd),
    "zip": ("no sound zip", zipped),
    "parquet": ("no valid Parquet", table),
}
CONTENT = Random(1).randbytes(40_000)


def one_error(path: Path, content: bytes) -> str:
    path.write_bytes(content)
    with pytest.raises(InvalidInput) as told:
        list(RowFile(str(path), 1 << 30))
    (problem,) = told.value.problems
    assert str(path) in str(told.value) and "\n" not in problem
    return problem


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("part", [0.1, 0.5, 0.9, 0.999])
def test_a_file_that_is_cut_short(tmp_path: Path, kind: str, part: float):
    words, pack = KINDS[kind]
    whole = pack(CONTENT)
    problem = one_error(tmp_path / f"rows.{kind}", whole[: int(len(whole) * part)])
    assert words in problem and "again" in problem


@pytest.mark.parametrize("kind", KINDS)
def test_another_thing_under_its_name(tmp_path: Path, kind: str):
    assert KINDS[kind][0] in one_error(tmp_path / f"rows.{kind}", b'{"prompt": "a", "completion": "b"}\n' * 9)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("seed", range(25))
def test_whatever_is_wrong_with_the_bytes_is_one_clear_error(tmp_path: Path, kind: str, seed: int):
    """Some damage leaves a file that can be read, as other rows; nothing but `InvalidInput` comes out."""
    random = Random(seed)
    content = bytearray(KINDS[kind][1](CONTENT[:4000]))
    for _ in range(random.choice([1, 3, 50])):
        content[random.randrange(len(content))] = random.randrange(256)
    path = tmp_path / f"rows.{kind}"
    path.write_bytes(content)
    try:
        list(RowFile(str(path), 1 << 30))
    except InvalidInput as error:
        assert str(path) in str(error)


@contextmanager
def full_disk() -> Iterator[None]:
    """Let no file grow over a few bytes, which the system says in nearly the words of a full disk."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (10, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)


@pytest.mark.parametrize("size", [40_000, 1000], ids=["in the middle", "at its end"])
def test_a_disk_that_fills_while_a_file_is_fetched(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, size: int
):
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    with (
        scripted_server(lambda asked: Answer(200, {}, [zipped(CONTENT[:size])])) as serving,
        pytest.raises(InvalidInput) as told,
        full_disk(),
    ):
        read_contents(f"{serving.url}/rows.zip", LIMIT)
    (problem,) = told.value.problems
    assert f"could not be kept in {tmp_path}: File too large" in problem and "TMPDIR" in problem
    assert list(tmp_path.iterdir()) == []


def test_a_source_that_breaks_off_in_the_middle_leaves_nothing(tmp_path: Path, server: str):
    """One of two files breaks off: the other is not used alone."""
    (tmp_path / "rows.jsonl").write_bytes(b'{"prompt": "a", "completion": "b"}\n')
    with pytest.raises(InvalidInput) as told:
        read_contents(f"{tmp_path}/rows.jsonl + {server}/short/rows.jsonl", LIMIT)
    assert "short/rows.jsonl: 1 problem" in str(told.value) and "broke off" in str(told.value)


def test_a_traceback_shows_no_secret_of_an_address(server: str):
    code = "import sys; from components.sources.digests import read_contents; read_contents(sys.argv[1], 99)"
    address = server.replace("://", "://me:passw0rd@") + "/403/rows.jsonl?sig=s3cret"
    done = subprocess.run([sys.executable, "-c", code, address], capture_output=True, text=True)
    assert done.returncode == 1 and "answers 403" in done.stderr
    assert "s3cret" not in done.stderr and "passw0rd" not in done.stderr
