"""Credentials go to the registry they are for, and to nobody it leads to (item 4)."""

import base64
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest
import requests
from tenacity import wait_none

from components.errors import AccessRefused, TunegateError
from components.oci import registry as registry_module
from components.oci.adapter_images import check_repository, push_adapter
from components.oci.adapters import ADAPTER_FILES
from components.oci.client import RegistryClient
from components.oci.image import Descriptor
from components.oci.registry import RegistryRepository
from components.oci.sign_in import token_request
from components.web import parse_address
from tests.hostile.scripted_server import Answer, Asked, Server, made_certificate, scripted_server

LOGIN = base64.b64encode(b"user:of this registry").decode()
OTHERS = base64.b64encode(b"user:of another registry").decode()
BASIC = {"Www-Authenticate": 'Basic realm="registry"'}
BLOB = Descriptor(media_type="x", digest=f"sha256:{'0' * 64}", size=4)


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("TUNEGATE_HOME", str(tmp_path / "state"))
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.delenv("DOCKER_CONFIG", raising=False)
    monkeypatch.delenv("NETRC", raising=False)
    monkeypatch.setattr(registry_module, "RETRY_WAIT", wait_none())
    return tmp_path


def log_in(home: Path, *hosts: str) -> None:
    (home / ".docker").mkdir(exist_ok=True)
    auths = {host: {"auth": LOGIN} for host in hosts} | {"registry.example": {"auth": OTHERS}}
    (home / ".docker" / "config.json").write_text(json.dumps({"auths": auths}))


@pytest.fixture
def elsewhere() -> Iterator[Server]:
    """Another host that asks everybody for a password."""
    with scripted_server(lambda asked: Answer(401, BASIC)) as server:
        yield server


def registry_that(leads: dict[tuple[str, str], str]) -> Any:
    """Return a script: a registry that asks for a password and leads elsewhere at one method and path."""

    def script(asked: Asked) -> Answer:
        if asked.authorization != f"Basic {LOGIN}":
            return Answer(401, BASIC)
        for (method, part), place in leads.items():
            if asked.method == method and part in asked.path:
                return Answer(202 if method in ("POST", "PATCH") else 307, {"Location": place})
        return Answer(404 if asked.method == "HEAD" else 201)

    return script


def push_blob(host: str, home: Path, content: bytes = b"blob") -> None:
    (home / "blob").write_bytes(content)
    RegistryRepository(f"{host}/a").put_blob(home / "blob", BLOB)


def test_an_upload_that_is_led_to_another_host_brings_no_credentials(home: Path, elsewhere: Server) -> None:
    with scripted_server(registry_that({("POST", "uploads"): f"{elsewhere.url}/upload?state=1"})) as registry:
        log_in(home, registry.host)
        with pytest.raises(AccessRefused, match=r"credentials go to the registry only") as raised:
            push_blob(registry.host, home)
    assert elsewhere.host in str(raised.value)
    assert "state=1" not in str(raised.value)
    assert [request.method for request in elsewhere.asked] == ["PUT"]
    assert elsewhere.authorized == []
    assert registry.authorized != []


def test_pieces_of_a_large_upload_bring_none_either(
    home: Path, elsewhere: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(registry_module, "CHUNKED_ABOVE_BYTES", 1)
    script = registry_that({("POST", "uploads"): "/v2/a/here", ("PATCH", "here"): f"{elsewhere.url}/upload"})
    with scripted_server(script) as registry:
        log_in(home, registry.host)
        with pytest.raises(AccessRefused, match=r"credentials go to the registry only"):
            push_blob(registry.host, home)
    assert [request.method for request in registry.authorized][-2:] == ["POST", "PATCH"]
    assert (len(elsewhere.asked), elsewhere.authorized) == (1, [])


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
def test_a_redirected_download_brings_none(home: Path, elsewhere: Server, status: int) -> None:
    def script(asked: Asked) -> Answer:
        if asked.authorization != f"Basic {LOGIN}":
            return Answer(401, BASIC)
        return Answer(status, {"Location": f"{elsewhere.url}/signed?secret=1"})

    with scripted_server(script) as registry:
        log_in(home, registry.host)
        with pytest.raises(AccessRefused, match=r"credentials go to the registry only"):
            RegistryRepository(f"{registry.host}/a").blob(BLOB, home)
        elsewhere.script = lambda asked: Answer(200, {}, [b"blob"])
        found = RegistryRepository(f"{registry.host}/a").blob(BLOB, home)
    assert found.read_bytes() == b"blob"
    assert (len(elsewhere.asked), elsewhere.authorized) == (2, [])


def test_a_redirect_that_comes_back_brings_them_again(home: Path, elsewhere: Server) -> None:
    with scripted_server(lambda asked: Answer()) as registry:

        def script(asked: Asked) -> Answer:
            if asked.path.endswith("/back"):
                return Answer(200 if asked.authorization == f"Basic {LOGIN}" else 401, BASIC, [b"blob"])
            return Answer(307, {"Location": f"{elsewhere.url}/there"})

        registry.script = script
        elsewhere.script = lambda asked: Answer(307, {"Location": f"{registry.url}/back"})
        log_in(home, registry.host)
        assert RegistryRepository(f"{registry.host}/a").blob(BLOB, home).read_bytes() == b"blob"
    assert elsewhere.authorized == []


def test_redirects_end(home: Path) -> None:
    with (
        scripted_server(lambda asked: Answer(302, {"Location": asked.path + "a"})) as registry,
        pytest.raises(TunegateError, match=r"leads from one place to the next"),
    ):
        RegistryRepository(f"{registry.host}/a").manifest(BLOB.digest)
    assert len(registry.asked) == 6


def test_nobody_else_is_told_to_delete(home: Path, elsewhere: Server) -> None:
    with scripted_server(registry_that({("POST", "uploads"): f"{elsewhere.url}/account"})) as registry:
        log_in(home, registry.host)
        check_repository(f"{registry.host}/a")
    assert elsewhere.asked == []


def test_netrc_is_not_asked(home: Path, elsewhere: Server) -> None:
    (home / ".netrc").write_text("default login user password of-everybody\n")
    (home / ".netrc").chmod(0o600)
    with scripted_server(lambda asked: Answer(401, BASIC)) as registry:
        with pytest.raises(AccessRefused, match=r"asks for credentials"):
            RegistryRepository(f"{registry.host}/a").manifest(BLOB.digest)
        registry.script = lambda asked: Answer(307, {"Location": elsewhere.url})
        with pytest.raises(AccessRefused, match=r"credentials go to the registry only"):
            RegistryRepository(f"{registry.host}/a").manifest(BLOB.digest)
    assert registry.authorized == elsewhere.authorized == []


LOOK_ALIKES = [
    "https://registry.example.evil/upload",
    "https://registry.example@evil/upload",
    "https://registry.example:secret@evil/upload",
    "https://registry.example\\@evil/upload",
    "https://registry.example:444/upload",
    "https://evil/registry.example/v2/",
    "//evil/upload",
    ".evil/upload",
    "@evil/upload",
    "\\\\evil/upload",
    "https:evil/upload",
    "http://registry.example/upload",
    "https://registry.example%2eevil/",
    "ftp://registry.example/upload",
    "https://[::1/upload",
    "https://registry.example:x/",
    "",
]


@pytest.mark.parametrize("place", LOOK_ALIKES)
def test_what_looks_like_the_registry_is_not_taken_for_it(
    home: Path, monkeypatch: pytest.MonkeyPatch, place: str
) -> None:
    log_in(home)
    sent: list[tuple[str, str | None]] = []

    def request(method: str, url: str, headers: dict[str, str], **_: Any) -> requests.Response:
        sent.append((url, headers.get("Authorization")))
        answer = requests.Response()
        answer.status_code, answer.url = (202 if len(sent) > 1 else 401), url
        answer.headers.update(BASIC if len(sent) == 1 else {"Location": place})
        answer.raw = type("Nothing", (), {"read": lambda *_, **__: b"", "close": lambda _: None})()
        return answer

    client = RegistryClient("registry.example", "a")
    monkeypatch.setattr(client.session, "request", request)
    (home / "blob").write_bytes(b"blob")
    try:
        client.put_upload(str(home / "blob"), client.repository, {"digest": BLOB.digest, "size": 4})
    except TunegateError as error:
        assert "registry registry.example" in str(error)
        assert "secret" not in str(error)
    assert sent[1] == ("https://registry.example/v2/a/blobs/uploads/", f"Basic {OTHERS}")
    for url, authorization in sent[2:]:
        ours = requests.Request("GET", url).prepare().url.startswith("https://registry.example/")
        assert authorization is None or ours, url
    # Whatever is relative stays with the registry; nothing else is asked as the registry.
    assert all(url.startswith("https://") for url, _ in sent)


REALMS = {
    "Docker Hub": ("https://registry-1.docker.io/", "https://auth.docker.io/token", True),
    "same host": ("https://registry.example/", "https://registry.example/token", True),
    "plain http": ("https://registry.example/", "http://auth.example/token", False),
    "plain http, same host": ("https://registry.example/", "http://registry.example/token", False),
    "plain http, this machine": ("https://registry.example/", "http://127.0.0.1:5001/token", False),
    "trusted in plain http, but not TLS": ("https://registry.example/", "http://plain.example/token", False),
    "insecure registry, same host": ("http://plain.example/", "http://plain.example:5001/token", True),
    "insecure registry, TLS": ("http://plain.example/", "https://auth.example/token", True),
    "insecure registry, another": ("http://plain.example/", "http://auth.example/token", False),
    "insecure registry, named one": ("http://registry.example/", "http://plain.example/token", True),
    "insecure registry, this machine": ("http://plain.example/", "http://127.0.0.1:5001/token", False),
    "all on this machine": ("http://127.0.0.1:5000/", "http://localhost:5001/token", True),
    "user before the host": ("https://registry.example/", "https://registry.example@evil/", False),
    "backslash": ("https://registry.example/", "https://registry.example\\@evil/", False),
    "capital scheme": ("https://registry.example/", "HTTP://auth.example/token", False),
    "no host": ("https://registry.example/", "https:///token", False),
    "a file": ("https://registry.example/", "file:///etc/passwd", False),
    "no address": ("https://registry.example/", "auth.example/token", False),
    "a cloud's metadata": ("https://registry.example/", "https://169.254.169.254/token", False),
    "a cloud's metadata, plain": ("http://169.254.169.254/", "http://169.254.169.254/token", False),
}


@pytest.mark.parametrize(("registry", "realm", "allowed"), REALMS.values(), ids=REALMS)
def test_which_token_servers_get_the_credentials(registry: str, realm: str, allowed: bool) -> None:
    challenge = f'Bearer realm="{realm}",service="s p",scope="repository:a:pull"'
    hosts = {"localhost", "127.0.0.1", "[::1]", "plain.example"}
    if not allowed:
        with pytest.raises(AccessRefused, match=r"no credentials|none are sent") as raised:
            token_request(challenge, parse_address(registry), hosts)
        assert registry.split("/")[2] in str(raised.value)
        return
    asked = token_request(challenge, parse_address(registry), hosts)
    assert asked is not None
    assert str(asked).startswith(f"{realm}?")
    assert parse_qs(asked.query) == {"service": ["s p"], "scope": ["repository:a:pull"]}


@pytest.fixture
def tls(home: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A certificate that is trusted, for a loopback that is no exception any more."""
    certificate = made_certificate(home)
    monkeypatch.setenv("REQUESTS_CA_BUNDLE", str(certificate))
    monkeypatch.setattr("components.oci.client.LOOPBACK", ())
    return certificate


def test_a_registry_with_tls_does_not_get_its_password_sent_without(home: Path, tls: Path) -> None:
    with scripted_server(lambda asked: Answer(200, {}, [b'{"token": "t"}'])) as tokens:
        challenge = {"Www-Authenticate": f'Bearer realm="{tokens.url}/token",service="s"'}
        with scripted_server(lambda asked: Answer(401, challenge), tls) as registry:
            log_in(home, registry.host)
            with pytest.raises(AccessRefused, match=r"asked over plain http") as raised:
                RegistryRepository(f"{registry.host}/a").manifest(BLOB.digest)
    assert tokens.asked == []
    assert f"http://{tokens.host}/token" in str(raised.value)


def test_a_registry_with_tls_does_not_get_an_adapter_sent_without(
    home: Path, tls: Path, elsewhere: Server
) -> None:
    with scripted_server(registry_that({("POST", "uploads"): f"{elsewhere.url}/upload"}), tls) as registry:
        log_in(home, registry.host)
        with pytest.raises(TunegateError, match=r"plain http; adapters don't go that way"):
            push_blob(registry.host, home)
    assert elsewhere.asked == []


def test_with_tls_a_token_server_is_asked_and_its_token_goes_to_the_registry(home: Path, tls: Path) -> None:
    with scripted_server(lambda asked: Answer(200, {}, [b'{"token": "t"}']), tls) as tokens:
        challenge = {"Www-Authenticate": f'Bearer realm="{tokens.url}/token",service="s"'}

        def script(asked: Asked) -> Answer:
            return Answer(200, {}, [b"m"]) if asked.authorization == "Bearer t" else Answer(401, challenge)

        with scripted_server(script, tls) as registry:
            log_in(home, registry.host)
            assert RegistryRepository(f"{registry.host}/a").manifest(BLOB.digest) == b"m"
    assert [request.authorization for request in tokens.asked] == [f"Basic {LOGIN}"]


@pytest.mark.parametrize("host", ["169.254.169.254", "2852039166", "metadata.google.internal", "[fe80::1]"])
def test_a_registry_leads_to_no_metadata_of_a_cloud(home: Path, host: str) -> None:
    with (
        scripted_server(lambda asked: Answer(307, {"Location": f"http://{host}/latest"})) as registry,
        pytest.raises(TunegateError, match="is a cloud's metadata service or a link-local address"),
    ):
        RegistryRepository(f"{registry.host}/a").blob(BLOB, home)


def test_a_token_server_leads_nobody_on(home: Path, elsewhere: Server) -> None:
    with scripted_server(lambda asked: Answer(307, {"Location": elsewhere.url})) as tokens:
        challenge = {"Www-Authenticate": f'Bearer realm="{tokens.url}/token"'}
        with scripted_server(lambda asked: Answer(401, challenge)) as registry:
            log_in(home, registry.host)
            with pytest.raises(TunegateError, match=r"instead of a token; credentials don't follow"):
                RegistryRepository(f"{registry.host}/a").manifest(BLOB.digest)
    assert elsewhere.asked == []


def test_a_whole_push_through_a_token_server_shows_the_password_to_it_alone(home: Path) -> None:
    """As with Docker Hub: the registry sees tokens only, the password goes to the server that it names."""
    (home / "adapter").mkdir()
    for name in ADAPTER_FILES:
        (home / "adapter" / name).write_bytes(b"content")
    with scripted_server(lambda asked: Answer(200, {}, [b'{"access_token": "t"}'])) as tokens:
        challenge = {"Www-Authenticate": f'Bearer realm="{tokens.url}/token",scope="repository:a:pull,push"'}

        def script(asked: Asked) -> Answer:
            if asked.authorization != "Bearer t":
                return Answer(401, challenge)
            if asked.method == "POST":
                return Answer(202, {"Location": f"{urlsplit(asked.path).path}upload"})
            return Answer(404 if asked.method == "HEAD" else 201)

        with scripted_server(script) as registry:
            log_in(home, registry.host)
            push_adapter(home / "adapter", f"{registry.host}/a", {}, "tuned")
    assert {request.authorization for request in registry.authorized} == {"Bearer t"}
    assert {request.authorization for request in tokens.asked} == {f"Basic {LOGIN}"}
