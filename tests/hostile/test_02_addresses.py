"""Item 2: an address is parsed once, what was checked is what is asked, and nothing goes to anybody else."""

import ast
import itertools
import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import requests

from components.errors import InvalidInput, TunegateError
from components.web import parse_address
from tests.hostile.odd_server import Answer, Asked, odd_server

KEY = "the-key"
GOOD, BAD = "good.example", "bad.example"
SIGNS = [
    "\\",
    "@",
    "#",
    "?",
    ":",
    ";",
    "/",
    "\t",
    "\n",
    "\r",
    "%5c",
    "%40",
    "%00",
    "\u2044",
    "\uff0f",
    "\u3002",
]


@pytest.fixture(autouse=True)
def _set_up(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TUNEGATE_HOME", str(tmp_path / "state"))
    monkeypatch.setenv("TUNEGATE_API_KEY", KEY)
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    monkeypatch.delenv("TUNEGATE_API_KEYS", raising=False)


@pytest.fixture
def stolen() -> list[Asked]:
    """What the host was asked that a redirect leads to."""
    return []


@pytest.fixture
def sending_on(stolen: list[Asked]) -> Iterator[Callable[[int], str]]:
    """Start a server that sends everybody on to another host."""
    from contextlib import ExitStack

    with ExitStack() as stack:
        thief = stack.enter_context(odd_server(lambda path, body: Answer(b"{}"), stolen))

        def start(status: int) -> str:
            moved = Answer(status=status, headers={"Location": f"{thief}/login?token=s3cret"})
            return stack.enter_context(odd_server(lambda path, body: moved))

        yield start


def test_every_client_reads_the_host_that_was_checked() -> None:
    """Whatever stands around two hosts: it is refused, or all of them ask the same one."""
    import httpx2
    from urllib3.util import parse_url

    taken = 0
    for before, after in itertools.product(["", *SIGNS], repeat=2):
        text = f"http://{GOOD}{before}@{after}{BAD}/"
        for tried in (text, text.replace("@", "", 1)):
            try:
                address = parse_address(tried)
            except InvalidInput:
                continue
            taken += 1
            asked = str(address)
            assert parse_url(asked).host == address.host, tried
            assert httpx2.URL(asked).host == address.host, tried
            prepared = requests.Request("GET", asked).prepare().url
            assert prepared and parse_url(prepared).host == address.host, tried
    assert taken > 10


def test_the_backslash_that_the_sweep_fell_for() -> None:
    from urllib.parse import urlsplit

    from urllib3.util import parse_url

    text = f"http://{BAD}\\@{GOOD}:8000"
    assert urlsplit(text).hostname == GOOD and parse_url(text).host == BAD  # one checks, the other asks
    with pytest.raises(InvalidInput):
        parse_address(text)


@pytest.mark.parametrize(
    "address",
    [
        f"http://{GOOD}\\@{BAD}",
        f"https://{GOOD}@{BAD}",
        f"https://me:s3cret@{GOOD}",
        f"https://{GOOD}/?token=s3cret",
        f"https://{GOOD}/#s3cret",
        f"https://{GOOD} ",
        "javascript:alert(1)//http://x",
        "file:///etc/passwd",
        "https://",
    ],
)
@pytest.mark.parametrize(
    ("model", "setting"),
    [
        ("components.settings.Settings", "TUNEGATE_MLFLOW_URL"),
        ("components.settings.ClusterSettings", "TUNEGATE_CLUSTER_AUTOSCALE_PROMETHEUS"),
        ("pipelines.kubeflow.settings.ClientSettings", "TUNEGATE_KUBEFLOW_HOST"),
        ("pipelines.kubeflow.settings.ClientSettings", "TUNEGATE_KUBEFLOW_UI"),
    ],
)
def test_no_setting_takes_an_address_that_is_read_in_two_ways(
    monkeypatch: pytest.MonkeyPatch, model: str, setting: str, address: str
) -> None:
    from importlib import import_module

    from components.settings import read_settings

    module, _, name = model.rpartition(".")
    kind = getattr(import_module(module), name)
    monkeypatch.setenv(setting, address)
    with pytest.raises(InvalidInput, match=setting) as refused:
        read_settings(kind)
    assert "s3cret" not in str(refused.value)
    monkeypatch.setenv(setting, f"HTTPS://{GOOD.upper()}:443/x/")
    field = setting.rpartition("TUNEGATE_")[2].removeprefix("CLUSTER_").removeprefix("KUBEFLOW_").lower()
    assert getattr(read_settings(kind), field) == f"https://{GOOD}/x"


# Kubeflow Pipelines


def kubeflow(host: str, **own: Any) -> Any:
    from pipelines.kubeflow.client import Client
    from pipelines.kubeflow.settings import ClientSettings

    return Client(ClientSettings(host=host, **({"token": KEY} | own)))


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
def test_kubeflows_token_and_package_do_not_follow_a_redirect(
    sending_on: Callable[[int], str], stolen: list[Asked], status: int
) -> None:
    client = kubeflow(sending_on(status))
    for ask in (client.find_experiment, client._make_experiment, lambda: client._ensure_version("{}", None)):
        with pytest.raises(
            TunegateError, match="which is not followed, as the token is for this host"
        ) as told:
            ask()
        assert "/login" in str(told.value) and "s3cret" not in str(told.value)
    assert stolen == []


@pytest.mark.parametrize(
    "body",
    [
        pytest.param(b"<html>Sign in</html>", id="a page"),
        pytest.param(b"", id="nothing"),
        pytest.param(b"[]", id="a list"),
        pytest.param(b"[" * 200_000, id="deep"),
        pytest.param(b"\xff\xfe", id="no text"),
        pytest.param(b'{"experiments": 5}', id="a number for a list"),
        pytest.param(b'{"experiments": [{"created_at": "never"}]}', id="no time"),
        pytest.param(b'{"total_size": "many"}', id="no number"),
    ],
)
def test_what_answers_is_not_kubeflow(body: bytes) -> None:
    from pipelines.kubeflow.connection import Unavailable

    told = pytest.raises(Unavailable, match=r"experiment 'tunegate': what answers at .* is not the API")
    with odd_server(lambda path, sent: Answer(body)) as host, told:
        kubeflow(host).find_experiment()


@pytest.mark.parametrize("token", ["two words", "a\r\nX-Injected: yes", "caf\u00e9", "\x00"])
def test_a_token_that_no_header_can_carry(tmp_path: Path, token: str) -> None:
    (tmp_path / "token").write_text(token)
    for own in ({"token": token}, {"token": "", "token_file": tmp_path / "token"}):
        with pytest.raises(InvalidInput, match="TUNEGATE_KUBEFLOW_TOKEN") as refused:
            kubeflow("http://127.0.0.1:9", **own)
        assert token not in str(refused.value)


# Models


def chat(endpoint: str) -> None:
    from pipelines.chat import converse

    converse(endpoint, "pet", "hello")


@pytest.mark.parametrize("status", [302, 307, 308])
def test_neither_key_nor_prompt_follows_a_redirect(
    sending_on: Callable[[int], str], stolen: list[Asked], status: int
) -> None:
    endpoint = sending_on(status)
    with pytest.raises(TunegateError, match="did not answer"):
        chat(endpoint)
    assert load(endpoint).outcome == f"http_{status}"
    assert stolen == []


def load(base_url: str, timeout_s: float = 5.0) -> Any:
    from components.conversations import Message, Prompt
    from components.loadtest.client import ChatEndpoint, ask, new_session

    endpoint = ChatEndpoint(base_url=base_url, model_name="pet", max_tokens=3, timeout_s=timeout_s)
    with new_session() as session:
        return ask(session, endpoint, Prompt(messages=(Message(role="user", content="hello"),)))


@pytest.mark.parametrize("ask", [chat, load])
def test_a_models_endpoint_is_parsed_once(ask: Callable[[str], object]) -> None:
    with pytest.raises(InvalidInput):
        ask(f"http://{GOOD}\\@{BAD}")


def test_no_proxy_gets_a_key(monkeypatch: pytest.MonkeyPatch, stolen: list[Asked]) -> None:
    monkeypatch.delenv("NO_PROXY")
    with odd_server(lambda path, body: Answer(b"{}"), stolen) as proxy, odd_server(unasked) as endpoint:
        for name in ("http_proxy", "HTTP_PROXY", "all_proxy", "ALL_PROXY"):
            monkeypatch.setenv(name, proxy)
        with pytest.raises(TunegateError, match="no chat completion"):
            chat(endpoint)
        load(endpoint)
    assert stolen == []


def unasked(path: str, body: bytes) -> Answer:
    return Answer(b"<html>")


def event(choice: object = None, **more: object) -> bytes:
    choices = [] if choice is None else [choice]
    return b"data: " + json.dumps({"choices": choices} | more).encode() + b"\n\n"


ODD_STREAMS = {
    "a page": b"<html>",
    "nothing": b"",
    "no JSON": b"data: {\n\n",
    "a list": b"data: []\n\n",
    "deep": b"data: " + b"[" * 50_000 + b"\n\n",
    "no delta": event({"delta": None}),
    "text that is a number": event({"delta": {"content": 5}}),
    "no choices": b'data: {"choices": 5}\n\n',
}
ODD_USAGE: list[object] = [
    {"prompt_tokens": "many", "completion_tokens": 1},
    {"prompt_tokens": 1},
    {"prompt_tokens": -1, "completion_tokens": 1},
    {"prompt_tokens": 1.5, "completion_tokens": 1},
    {"prompt_tokens": 1, "completion_tokens": 10**400},
    {"prompt_tokens": float("nan"), "completion_tokens": 1},
    "many",
    [1],
]


@pytest.mark.parametrize("stream", ODD_STREAMS)
def test_an_odd_stream_is_one_clear_error(stream: str) -> None:
    with odd_server(lambda path, body: Answer(ODD_STREAMS[stream])) as endpoint:
        assert load(endpoint).outcome == "broken_stream"
        with pytest.raises(TunegateError, match=endpoint):
            chat(endpoint)


@pytest.mark.parametrize("usage", ODD_USAGE, ids=str)
def test_odd_counts_of_tokens_are_a_broken_stream(usage: object) -> None:
    stream = event({"delta": {"content": "a"}}) + event(usage=usage) + b"data: [DONE]\n\n"
    with odd_server(lambda path, body: Answer(stream)) as endpoint:
        record = load(endpoint)
    assert (record.outcome, record.prompt_tokens) == ("broken_stream", None)


@pytest.mark.parametrize("status", [200, 302, 500])
def test_an_answer_without_end_is_not_read_on(status: int) -> None:
    headers = {"Content-Length": "", "Location": "/elsewhere" if status == 302 else ""}
    endless = Answer(status=status, headers=headers, repeated=b"x" * 4096)
    with odd_server(lambda path, body: endless) as endpoint:
        record = load(endpoint, timeout_s=20.0)
    assert record.outcome == ("broken_stream" if status == 200 else f"http_{status}")
    assert len(record.detail) <= 300


def test_a_model_does_not_write_to_the_terminal_itself(capsys: pytest.CaptureFixture[str]) -> None:
    stream = event({"delta": {"content": "a\x1b]0;title\x07\x9b31mb\n"}, "index": 0}) + b"data: [DONE]\n\n"
    with odd_server(
        lambda path, body: Answer(stream, headers={"Content-Type": "text/event-stream"})
    ) as endpoint:
        chat(endpoint)
    assert capsys.readouterr().out == "a]0;title31mb\n\n"


def test_the_command_on_the_card_is_one_command() -> None:
    import shlex

    from components.release.card.curl import curl_command

    address = f"http://{GOOD}/$(id);'&x"
    words = shlex.split(curl_command(address, "pet", []).replace("\\\n", " "))
    assert words[2] == f"{address}/v1/chat/completions"
    with pytest.raises(InvalidInput):
        curl_command(f"http://{GOOD}/ -o /etc/passwd", "pet", [])


def test_a_key_that_no_header_can_carry_is_not_sent(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TUNEGATE_API_KEY", "a\r\nX-Injected: yes")
    with pytest.raises(InvalidInput, match="TUNEGATE_API_KEY"):
        chat("http://127.0.0.1:9")


# The cluster


def test_the_clusters_token_does_not_follow_a_redirect(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, sending_on: Callable[[int], str], stolen: list[Asked]
) -> None:
    from components.serve.kubernetes.connection import connect

    config = {
        "current-context": "c",
        "clusters": [{"name": "c", "cluster": {"server": sending_on(307)}}],
        "users": [{"name": "u", "user": {"token": KEY}}],
        "contexts": [{"name": "c", "context": {"cluster": "c", "user": "u"}}],
    }
    (tmp_path / "kubeconfig").write_text(json.dumps(config))
    monkeypatch.setenv("KUBECONFIG", str(tmp_path / "kubeconfig"))
    with pytest.raises(Exception, match="redirect"):
        connect().resources.get(api_version="v1", kind="Pod")
    assert stolen == []


def test_a_database_password_is_no_argument_of_a_process(monkeypatch: pytest.MonkeyPatch) -> None:
    from pipelines import cli

    monkeypatch.setenv("MLFLOW_TRACKING_URI", "postgresql://me:s3cret@db.example/mlflow")
    monkeypatch.setattr("components.serve.ports.is_free", lambda port: True)
    started: list[Any] = []
    monkeypatch.setattr("os.execve", lambda *call: started.append(call))
    cli.mlflow()
    ((_, arguments, environment),) = started
    assert "s3cret" not in " ".join(arguments)
    assert environment["MLFLOW_BACKEND_STORE_URI"].endswith("s3cret@db.example/mlflow")


def test_nobody_else_takes_an_address_apart() -> None:
    found = set()
    for path in [*Path("components").rglob("*.py"), *Path("pipelines").rglob("*.py")]:
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.ImportFrom) and node.module == "urllib.parse":
                named = {alias.name for alias in node.names} & {"urlparse", "urlsplit"}
                found |= {str(path)} if named else set()
            if isinstance(node, ast.Attribute) and node.attr in ("urlparse", "urlsplit", "netloc"):
                found.add(str(path))
    assert found == {"components/web.py"}
