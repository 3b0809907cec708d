import base64
import json
import os
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import pytest
from tenacity import wait_none

from components.errors import DigestMismatch, InvalidInput, TunegateError
from components.oci import registry as registry_module
from components.oci.adapter_images import check_repository, pull_adapter, push_adapter
from components.oci.adapters import ADAPTER_FILES, adapter_digest
from components.oci.client import RegistryClient
from tests.components.oci.registries import PASSWORD, USER, Front, running_front, running_registry


@pytest.fixture(scope="module")
def registry(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    with running_registry(tmp_path_factory.mktemp("registry")) as host:
        yield host


@pytest.fixture(scope="module")
def registry_with_password(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    with running_registry(tmp_path_factory.mktemp("registry"), with_password=True) as host:
        yield host


@pytest.fixture
def front(registry: str) -> Iterator[Front]:
    with running_front(registry) as front:
        yield front


@pytest.fixture(autouse=True)
def state(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty state directory, a user without credentials, and no waiting."""
    monkeypatch.setenv("TUNEGATE_HOME", str(tmp_path / "state"))
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.delenv("DOCKER_CONFIG", raising=False)
    monkeypatch.setattr(registry_module, "RETRY_WAIT", wait_none())
    return tmp_path / "state"


@pytest.fixture
def adapter(tmp_path: Path) -> Path:
    """An adapter that no test pushed before."""
    folder = tmp_path / "adapter"
    folder.mkdir()
    for name in ADAPTER_FILES:
        (folder / name).write_bytes(os.urandom(3000))
    return folder


def log_in(folder: Path, host: str, password: str = PASSWORD) -> None:
    folder.mkdir(exist_ok=True)
    auth = base64.b64encode(f"{USER}:{password}".encode()).decode()
    (folder / "config.json").write_text(json.dumps({"auths": {host: {"auth": auth}}}))


def push(adapter: Path, repository: str) -> str:
    return push_adapter(adapter, repository, {"sh.kaito.model.name": "base"}, "tuned").reference


def assert_pulls(reference: str, adapter: Path, target: Path) -> None:
    pull_adapter(reference, adapter_digest(adapter), target)
    assert adapter_digest(target) == adapter_digest(adapter)


@pytest.mark.parametrize("name", ["adapters", "team/customer-care/adapters"])
def test_an_adapter_comes_back_from_a_registry(
    registry: str, adapter: Path, tmp_path: Path, name: str
) -> None:
    pushed = push_adapter(adapter, f"{registry}/{name}", {}, "tuned")
    assert pushed.reference == f"{registry}/{name}@{pushed.manifest_digest}"
    assert push_adapter(adapter, f"{registry}/{name}", {}, "tuned") == pushed
    assert push_adapter(adapter, "", {}, "tuned").manifest_digest == pushed.manifest_digest
    assert_pulls(pushed.reference, adapter, tmp_path / "out")


def test_the_tag_names_the_image_for_good(front: Front, adapter: Path) -> None:
    reference = push(adapter, f"{front.host}/a")
    assert ("PUT", f"/v2/a/manifests/tuned-{reference.partition('@sha256:')[2][:12]}") in front.seen


def test_a_large_blob_goes_in_chunks(front: Front, adapter: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(registry_module, "CHUNKED_ABOVE_BYTES", 1000)
    monkeypatch.setattr(registry_module, "UPLOAD_CHUNK_BYTES", 2500)
    assert_pulls(push(adapter, f"{front.host}/a"), adapter, adapter.parent / "out")
    assert [method for method, _ in front.seen].count("PATCH") == 3


def test_a_blob_that_is_there_is_not_sent_again(front: Front, adapter: Path) -> None:
    push(adapter, f"{front.host}/a")
    front.seen.clear()
    push(adapter, f"{front.host}/a")
    assert [method for method, _ in front.seen] == ["HEAD", "HEAD", "PUT"]


@pytest.mark.parametrize(
    "faults",
    [[500], [503, 502, 504], [429], ["drop"], ["drop", 500, "drop"]],
    ids=["500", "502 to 504", "429", "no answer", "mixed"],
)
@pytest.mark.parametrize("after", range(4), ids=["first", "second", "third", "fourth"])
def test_passing_trouble_is_sat_out(
    front: Front, adapter: Path, tmp_path: Path, faults: list[int | str], after: int
) -> None:
    fine: list[int | str] = ["let through"] * after
    front.faults = fine + faults
    reference = push(adapter, f"{front.host}/a")
    front.faults = fine[:2] + faults
    assert_pulls(reference, adapter, tmp_path / "out")
    assert front.faults == []


@pytest.mark.parametrize("after", range(3), ids=["manifest", "config", "layer"])
def test_a_download_that_breaks_off_is_started_again(
    front: Front, adapter: Path, tmp_path: Path, after: int
) -> None:
    reference = push(adapter, f"{front.host}/a")
    front.faults = ["let through"] * after + ["cut"]
    assert_pulls(reference, adapter, tmp_path / "out")


REFUSALS: dict[str, tuple[int | str, int, str]] = {
    "always 500": (500, 4, r"answered 500 .*told to answer 500, 4 times; the trouble is on its side"),
    "never an answer": ("drop", 4, r"can't be reached, tried 4 times"),
    "no permission": (403, 1, r"may not do that in a \(403.*ask for the permission"),
    "bad request": (400, 1, r"refused HEAD http://.*\(400"),
}


@pytest.mark.parametrize(("fault", "requests", "words"), REFUSALS.values(), ids=REFUSALS)
def test_lasting_trouble_is_put_into_words(
    front: Front, adapter: Path, fault: int | str, requests: int, words: str
) -> None:
    front.faults = [fault] * 50
    with pytest.raises(TunegateError, match=words.replace("told to answer 500, ", "")) as raised:
        push(adapter, f"{front.host}/a")
    assert f"registry {front.host}" in str(raised.value)
    assert len(front.seen) == requests


def test_a_layer_that_the_registry_calls_encoded_arrives_packed(
    front: Front, adapter: Path, tmp_path: Path
) -> None:
    reference = push(adapter, f"{front.host}/a")
    front.faults = ["let through", "let through", "label"]
    assert_pulls(reference, adapter, tmp_path / "out")


def test_an_image_that_is_not_there_is_asked_for_once(front: Front, tmp_path: Path) -> None:
    missing = f"sha256:{'0' * 64}"
    with pytest.raises(InvalidInput, match=r"no such image or repository \(404 Not Found: manifest unknown"):
        pull_adapter(f"{front.host}/a@{missing}", missing, tmp_path / "out")
    assert len(front.seen) == 1


def test_an_unknown_host_is_named(adapter: Path) -> None:
    with pytest.raises(TunegateError, match=r"registry nowhere\.invalid: can't be reached.*check the host"):
        push(adapter, "nowhere.invalid/adapters")


def test_a_registry_that_changes_bytes_is_noticed(registry: str, adapter: Path, tmp_path: Path) -> None:
    reference = push(adapter, f"{registry}/a")
    with running_front(registry) as front:
        tampered = reference.replace(registry, front.host)
        front.faults = ["let through", "tamper"]
        with pytest.raises(DigestMismatch, match=r"its config: got .* the image is damaged"):
            pull_adapter(tampered, adapter_digest(adapter), tmp_path / "out")
        front.faults = ["let through", "let through", "swell"]
        with pytest.raises(DigestMismatch, match=r"more than .* bytes"):
            pull_adapter(tampered, adapter_digest(adapter), tmp_path / "out")


@pytest.mark.parametrize(
    ("folder", "name"),
    [
        pytest.param(".docker", "config.json", id="~/.docker"),
        pytest.param("mounted", "config.json", id="DOCKER_CONFIG"),
        pytest.param("mounted", ".dockerconfigjson", id="a secret of a cluster"),
    ],
)
def test_credentials_come_from_dockers_config(
    registry_with_password: str,
    adapter: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    folder: str,
    name: str,
) -> None:
    if folder == "mounted":
        monkeypatch.setenv("DOCKER_CONFIG", str(tmp_path / folder))
    log_in(tmp_path / folder, registry_with_password)
    (tmp_path / folder / "config.json").rename(tmp_path / folder / name)
    assert_pulls(push(adapter, f"{registry_with_password}/a"), adapter, tmp_path / "out")


def test_a_token_is_asked_for_with_the_scope_that_is_needed(
    front: Front, adapter: Path, tmp_path: Path
) -> None:
    front.tokens = True
    log_in(tmp_path / ".docker", front.host)
    assert_pulls(push(adapter, f"{front.host}/a"), adapter, tmp_path / "out")


@pytest.mark.parametrize("tokens", [False, True], ids=["basic", "token"])
@pytest.mark.parametrize(
    ("password", "words"),
    [
        (None, r"asks for credentials \(401.*run `docker login {host}`"),
        ("wrong", r"refused the credentials of docker's config \(401.*run `docker login {host}` again"),
    ],
    ids=["no credentials", "wrong credentials"],
)
def test_missing_and_wrong_credentials_are_told_apart(
    registry_with_password: str, adapter: Path, tmp_path: Path, tokens: bool, password: str | None, words: str
) -> None:
    with running_front(registry_with_password) as front:
        front.tokens = tokens
        if password:
            log_in(tmp_path / ".docker", front.host, password)
        with pytest.raises(TunegateError, match=words.format(host=front.host)):
            push(adapter, f"{front.host}/a")
        assert len([path for _, path in front.seen if path.startswith("/v2/")]) <= 2


def test_what_an_account_may_not_do_is_asked_for_once(
    registry_with_password: str, adapter: Path, tmp_path: Path
) -> None:
    with running_front(registry_with_password) as front:
        log_in(tmp_path / ".docker", front.host)
        front.faults = ["let through", "let through", 403, 403]
        with pytest.raises(TunegateError, match="this account may not do that in a"):
            push(adapter, f"{front.host}/a")
        assert [method for method, _ in front.seen] == ["HEAD", "HEAD", "POST"]


def test_a_repository_is_checked_without_leaving_anything_in_it(front: Front) -> None:
    check_repository(f"{front.host}/new/name")

    assert [method for method, _ in front.seen] == ["POST", "DELETE"]
    with urllib.request.urlopen(f"http://{front.host}/v2/_catalog") as answer:
        assert "new/name" not in json.load(answer)["repositories"]


def test_a_repository_that_may_not_be_pushed_to_is_refused_when_checked(
    registry_with_password: str, tmp_path: Path
) -> None:
    with running_front(registry_with_password) as front:
        with pytest.raises(TunegateError, match="asks for credentials"):
            check_repository(f"{front.host}/a")
        log_in(tmp_path / ".docker", front.host)
        front.faults = ["let through", 403, 403]
        with pytest.raises(TunegateError, match="this account may not do that in a"):
            check_repository(f"{front.host}/a")


def test_a_broken_docker_config_is_named(tmp_path: Path, adapter: Path) -> None:
    (tmp_path / ".docker").mkdir()
    (tmp_path / ".docker" / "config.json").write_text("{")
    with pytest.raises(InvalidInput, match=r"docker/config.json(?s:.*)could not be read"):
        push(adapter, "localhost:1/a")


@pytest.mark.parametrize(
    "name",
    [
        "adapters",
        "team/adapters",
        "reg.example/Adapters",
        "reg.example/a:latest",
        "reg.example/",
        "https://x/a",
    ],
)
def test_what_is_no_repository_is_refused(adapter: Path, name: str) -> None:
    with pytest.raises(InvalidInput, match=r"wanted host\[:port\]/name in lower case, without a tag"):
        push(adapter, name)


@pytest.mark.parametrize(
    ("host", "insecure", "url"),
    [
        ("localhost:5000", "", "http://localhost:5000/v2/a/b/manifests/x"),
        ("localhost", "", "http://localhost/v2/a/b/manifests/x"),
        ("[::1]:5000", "", "http://[::1]:5000/v2/a/b/manifests/x"),
        ("reg.example", "", "https://reg.example/v2/a/b/manifests/x"),
        ("reg.local:5000", "other:1, reg.local:5000", "http://reg.local:5000/v2/a/b/manifests/x"),
        ("reg.local:5001", "reg.local:5000", "https://reg.local:5001/v2/a/b/manifests/x"),
        ("localhost.example", "", "https://localhost.example/v2/a/b/manifests/x"),
        ("docker.io", "", "https://registry-1.docker.io/v2/a/b/manifests/x"),
    ],
)
def test_plain_http_is_for_this_machine_and_the_hosts_named(
    monkeypatch: pytest.MonkeyPatch, host: str, insecure: str, url: str
) -> None:
    monkeypatch.setenv("TUNEGATE_INSECURE_REGISTRIES", insecure)
    assert RegistryClient(host, "a/b").manifest_url("x") == url


def test_plain_http_where_tls_is_wanted_says_what_to_set(
    registry: str, adapter: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("components.oci.client.LOOPBACK", ())
    monkeypatch.setattr(registry_module, "RETRY_WAIT", lambda _: pytest.fail("tried again in vain"))
    with pytest.raises(TunegateError, match=f"TUNEGATE_INSECURE_REGISTRIES={registry}"):
        push(adapter, f"{registry}/a")
