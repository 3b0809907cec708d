"""Keys on the way through the real router: replicas that ask for one, and clients that have it."""

import contextlib
import http.client
import json
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any
from urllib.parse import urlparse

import pytest

from components.conversations import Message, Prompt
from components.errors import InvalidInput
from components.loadtest.client import ChatEndpoint, new_session
from components.loadtest.client import ask as measure
from components.loadtest.load import Load, LoadPlan
from components.serve.local.backend import LocalBackend
from components.serve.spec import ServingSpec
from pipelines.chat import converse
from tests.components.serve.clients import ask

PROMPT = Prompt(messages=(Message(role="user", content="hello"),))
KEY = "sk-ann-1"


@pytest.fixture(scope="module")
def keys(home: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A directory of keys, named in the settings of the machine."""
    directory = tmp_path_factory.mktemp("keys")
    (directory / "ann").write_text(f"{KEY}\n")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("TUNEGATE_API_KEYS", str(directory))
        yield directory


@pytest.fixture(scope="module")
def served(keys: Path, backend: LocalBackend, make_spec: Callable[..., ServingSpec]) -> str:
    """Two replicas behind the live endpoint's router."""
    spec = make_spec("pet-keyed")
    backend.apply(spec)
    backend.wait_ready(spec.name, 60)
    backend.promote(spec.name)
    return backend.live_endpoint("pet")


@pytest.mark.parametrize("stream", [False, True], ids=["whole", "stream"])
def test_the_router_hands_a_key_on(served: str, stream: bool) -> None:
    assert "pet-keyed" in ask(served, stream=stream, key=KEY)


@pytest.mark.parametrize("stream", [False, True], ids=["whole", "stream"])
@pytest.mark.parametrize("key", ["", "sk-eve"], ids=["no key", "unknown key"])
def test_the_router_hands_a_refusal_back(served: str, key: str, stream: bool) -> None:
    with pytest.raises(OSError, match=r"^401: .*invalid_api_key"):
        ask(served, stream=stream, key=key)


@pytest.mark.parametrize("path", ["/v1/models", "/v1/completions", "/v1/chat/completions", "/tokenize"])
def test_nothing_that_answers_prompts_is_open(served: str, path: str) -> None:
    address = urlparse(served)
    connection = http.client.HTTPConnection(str(address.hostname), address.port, timeout=30)
    question: dict[str, Any] = {"model": "pet", "prompt": "hello", "messages": []}

    if path == "/v1/models":
        connection.request("GET", path)
    else:
        connection.request("POST", path, json.dumps(question), {"Content-Type": "application/json"})

    assert connection.getresponse().status in (401, 404)  # 404: the router has no such path
    connection.close()


def test_the_replicas_are_ready(served: str, backend: LocalBackend) -> None:
    assert [replica.state for replica in backend.replicas("pet-keyed")] == ["ready", "ready"]


def test_the_load_and_the_chat_show_the_key(served: str, capsys: pytest.CaptureFixture[str]) -> None:
    endpoint = ChatEndpoint(base_url=served, model_name="pet", max_tokens=4, timeout_s=30)

    assert measure(new_session(), endpoint, PROMPT).outcome == "ok"
    converse(served, "pet", "hello")
    assert "pet-keyed" in capsys.readouterr().out


def test_a_load_shows_the_key_and_writes_it_nowhere(served: str, tmp_path: Path, home: Path) -> None:
    """The key comes out of the settings' file, which Locust, in a directory of its own, wouldn't find."""
    (home / "settings.env").write_text(f"TUNEGATE_API_KEY={KEY}\n")
    plan = LoadPlan(
        endpoint=ChatEndpoint(base_url=served, model_name="pet", max_tokens=4, timeout_s=20),
        normal_prompts=[PROMPT],
        long_prompts=[],
        users=1,
        long_users=0,
        seconds=0.2,
        log=tmp_path / "steady.requests.jsonl",
    )
    with pytest.MonkeyPatch.context() as patch:
        patch.delenv("TUNEGATE_API_KEYS")
        patch.chdir(home)
        patch.setenv("TUNEGATE_HOME", ".")
        load = Load(plan, tmp_path)
    try:
        while not load.finished():
            time.sleep(0.05)
    finally:
        load.end()
        (home / "settings.env").unlink()

    assert {record.outcome for record in load.records} == {"ok"}
    written = b"".join(path.read_bytes() for path in tmp_path.rglob("*") if path.is_file())
    assert KEY.encode() not in written


def test_a_key_that_is_changed_counts_at_once(served: str, keys: Path) -> None:
    (keys / "bob").write_text("sk-bob-2")
    try:
        deadline, answered = time.monotonic() + 20, 0
        while answered < 4:
            assert time.monotonic() < deadline, f"{answered} answers to the new key"
            with contextlib.suppress(OSError):
                answered += "pet-keyed" in ask(served, key="sk-bob-2")
    finally:
        (keys / "bob").unlink()


def test_a_directory_without_keys_is_refused_before_anything_starts(
    backend: LocalBackend, make_spec: Callable[..., ServingSpec], home: Path, tmp_path: Path
) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("TUNEGATE_API_KEYS", str(tmp_path))
        with pytest.raises(InvalidInput, match="holds no key"):
            backend.apply(make_spec("pet-locked"))

    assert "pet-locked" not in {spec.name for spec in backend.deployments()}
