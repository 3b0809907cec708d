"""Keys in a directory, and the middleware that asks for one of them."""

import asyncio
import json
from pathlib import Path
from typing import Any

import pytest

from components.engine import api_keys
from components.engine.api_keys import ApiKeys, RequireKey, client_key, models_want_keys
from components.errors import InvalidInput

ANN, BOB = "sk-ann-1", "sk-bob-2"


@pytest.fixture
def directory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Two users, laid out as the kubelet mounts a Secret; every look at it is a new one."""
    monkeypatch.setattr(api_keys, "REREAD_S", -1.0)
    folder = tmp_path / "keys"
    mount(folder, "first", {"ann": ANN, "bob": f"{BOB}\n"})
    return folder


def mount(folder: Path, version: str, keys: dict[str, str]) -> None:
    """Change the content at once, by way of a link, as the kubelet does."""
    (folder / f"..{version}").mkdir(parents=True)
    for user, key in keys.items():
        (folder / f"..{version}" / user).write_text(key)
        link = folder / user
        if not link.is_symlink():
            link.symlink_to(Path("..data") / user)
    fresh = folder / "..data_tmp"
    fresh.symlink_to(f"..{version}")
    fresh.rename(folder / "..data")
    for link in folder.iterdir():
        if link.name[0] != "." and link.name not in keys:
            link.unlink()


def ask(
    directory: Path, path: str, authorization: str | None, kind: str = "http", method: str = "POST"
) -> list[Any]:
    """Return what is sent to a client: the first message says whether it was let in."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("TUNEGATE_API_KEYS", str(directory))

        async def app(scope: Any, receive: Any, send: Any) -> None:
            await send({"type": "let in"})

        guarded = RequireKey(app)
    sent: list[Any] = []

    async def send(message: Any) -> None:
        sent.append(message)

    async def receive() -> Any:
        raise AssertionError("whoever is not let in is not read")

    headers = [] if authorization is None else [(b"authorization", authorization.encode("latin-1"))]
    scope = {"type": kind, "path": path, "headers": headers, "method": method}
    asyncio.run(guarded(scope, receive, send))
    return sent


@pytest.mark.parametrize(
    ("path", "authorization", "let_in"),
    [
        pytest.param("/v1/chat/completions", f"Bearer {ANN}", True, id="known"),
        pytest.param("/v1/chat/completions", f"bearer {BOB}", True, id="another, its file ends with a line"),
        pytest.param("/v1/chat/completions", None, False, id="none"),
        pytest.param("/v1/chat/completions", "Bearer sk-eve", False, id="unknown"),
        pytest.param("/v1/chat/completions", "Bearer ", False, id="empty"),
        pytest.param("/v1/chat/completions", f"Bearer {ANN}x", False, id="longer"),
        pytest.param("/v1/chat/completions", f"Bearer {ANN[:-1]}", False, id="shorter"),
        pytest.param("/v1/chat/completions", f"Basic {ANN}", False, id="another scheme"),
        pytest.param("/v1/chat/completions", ANN, False, id="no scheme"),
        pytest.param("/v1/chat/completions", "Bearer sk-\xe4nn", False, id="not ASCII"),
        pytest.param("/v1/models", None, False, id="models"),
        pytest.param("/tokenize", None, False, id="outside /v1"),
        pytest.param("/invocations", None, False, id="another way to ask"),
        pytest.param("/health/../v1/completions", None, False, id="detour"),
        pytest.param("/health", None, True, id="health"),
        pytest.param("/metrics", None, True, id="metrics"),
    ],
)
def test_a_key_is_asked_for(directory: Path, path: str, authorization: str | None, let_in: bool) -> None:
    assert (ask(directory, path, authorization)[0]["type"] == "let in") == let_in


def test_a_refusal_speaks_as_openai_does_and_tells_no_key(directory: Path) -> None:
    start, body = ask(directory, "/v1/completions", "Bearer sk-eve")

    assert start["status"] == 401
    error = json.loads(body["body"])["error"]
    assert (error["type"], error["code"]) == ("invalid_request_error", "invalid_api_key")
    assert "Authorization: Bearer KEY" in error["message"]
    assert b"sk-" not in body["body"]


def test_a_web_socket_is_closed_to_strangers(directory: Path) -> None:
    assert ask(directory, "/v1/realtime", None, "websocket") == [{"type": "websocket.close", "code": 1008}]
    assert ask(directory, "/v1/realtime", f"Bearer {ANN}", "websocket") == [{"type": "let in"}]


def test_what_is_no_question_is_passed_on(directory: Path) -> None:
    assert ask(directory, "", None, "lifespan") == [{"type": "let in"}]
    assert ask(directory, "/v1/chat/completions", None, method="OPTIONS") == [{"type": "let in"}]


def test_vllm_can_load_it() -> None:
    module, _, name = api_keys.MIDDLEWARE.rpartition(".")

    assert (module, name) == (RequireKey.__module__, RequireKey.__name__)


@pytest.mark.parametrize(
    "keys", [{}, {"ann": ""}, {"ann": "\n"}, {"ann": "two words"}, {".ann": ANN}], ids=str
)
def test_a_directory_without_a_key_lets_nobody_in(
    tmp_path: Path, keys: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, key in keys.items():
        (tmp_path / name).write_text(key)

    for asked in (ANN, "", "two words"):
        assert not ApiKeys(tmp_path).allow("/v1/models", f"Bearer {asked}".encode())
    with pytest.raises(InvalidInput, match="holds no key, so nobody is let in; add a file for each user"):
        ApiKeys(tmp_path).any_key()


def test_a_directory_that_is_not_there_lets_nobody_in(tmp_path: Path) -> None:
    assert not ApiKeys(tmp_path / "none").allow("/v1/models", f"Bearer {ANN}".encode())


def test_keys_are_changed_without_a_restart(directory: Path) -> None:
    keys = ApiKeys(directory)

    def let_in(key: str) -> bool:
        return keys.allow("/v1/models", f"Bearer {key}".encode())

    assert [let_in(key) for key in (ANN, BOB, "sk-ann-3")] == [True, True, False]
    mount(directory, "second", {"ann": "sk-ann-3"})
    assert [let_in(key) for key in (ANN, BOB, "sk-ann-3")] == [False, False, True]
    for path in directory.iterdir():
        path.unlink() if path.is_symlink() else None
    assert not let_in("sk-ann-3")


def test_they_are_looked_at_once_a_second(directory: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    clock = [100.0]
    monkeypatch.setattr(api_keys, "REREAD_S", 1.0)
    monkeypatch.setattr(api_keys.time, "monotonic", lambda: clock[0])
    keys = ApiKeys(directory)
    assert keys.allow("/v1/models", f"Bearer {ANN}".encode())
    mount(directory, "second", {"ann": "sk-ann-3"})

    seen = []
    for clock[0] in (100.9, 101.0):
        seen.append(keys.allow("/v1/models", b"Bearer sk-ann-3"))

    assert seen == [False, True]


@pytest.mark.parametrize(
    ("key", "with_directory", "expected"),
    [("", False, ""), (BOB, False, BOB), (BOB, True, BOB), ("", True, ANN)],
    ids=["open", "own", "own before the server's", "the server's"],
)
def test_the_key_that_we_ask_with(
    state: Path,
    directory: Path,
    monkeypatch: pytest.MonkeyPatch,
    key: str,
    with_directory: bool,
    expected: str,
) -> None:
    monkeypatch.setenv("TUNEGATE_API_KEY", key)
    monkeypatch.setenv("TUNEGATE_API_KEYS", str(directory) if with_directory else "")

    assert client_key() == expected
    assert models_want_keys() == bool(expected)


def test_our_key_is_not_shown_with_the_settings(state: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from components.settings import load_settings

    monkeypatch.setenv("TUNEGATE_API_KEY", ANN)

    assert ANN not in f"{load_settings()!r}{load_settings().model_dump_json()}"
