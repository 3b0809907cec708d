"""What an engine's pod runs, against a stand-in server and an image layout."""

import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace

import pytest

from components.adapter_images import PushedImage, push_adapter
from components.errors import InvalidInput, TunegateError
from components.serve.kubernetes import replica
from components.serve.kubernetes.pod import FAILED, SPEC_VARIABLE, WRONG_INPUT
from components.serve.ports import free_port
from components.serve.probe import lists_adapter

SERVER = Path(__file__).parents[1] / "replica_server.py"


@pytest.fixture
def server(request: pytest.FixtureRequest) -> Iterator[str]:
    """A stand-in that is up, started with the flags of the test's parameter."""
    port = free_port(set())
    command = [sys.executable, str(SERVER), "--port", str(port), "--base", "base", "--adapter", "pet"]
    process = subprocess.Popen([*command, *getattr(request, "param", [])])
    url = f"http://127.0.0.1:{port}"
    try:
        while not lists_adapter(url, "base"):
            assert process.poll() is None
        yield url
    finally:
        process.kill()
        process.wait()


@pytest.fixture(autouse=True)
def spec_variable(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(SPEC_VARIABLE, json.dumps({"model_name": "pet"}))


def test_a_replica_is_ready_when_the_adapter_has_answered(server: str, tmp_path: Path) -> None:
    answered = tmp_path / "answered"

    replica.ready(server, answered)
    assert answered.exists()
    replica.ready(server, answered)


@pytest.mark.parametrize("server", [["--hide-adapter"]], indirect=True)
def test_a_replica_without_the_adapter_is_not_ready(server: str, tmp_path: Path) -> None:
    with pytest.raises(TunegateError, match="/v1/models does not list pet"):
        replica.ready(server, tmp_path / "answered")


def test_a_replica_that_wants_keys_is_asked_with_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[str] = []
    (tmp_path / "ann").write_text("sk-ann-1")
    monkeypatch.setenv("TUNEGATE_API_KEYS", str(tmp_path))
    monkeypatch.setattr(replica.probe, "lists_adapter", lambda *_, key, **__: not seen.append(key))
    monkeypatch.setattr(replica.probe, "completes", lambda *_, key, **__: not seen.append(key))

    replica.ready("http://replica", tmp_path / "answered")

    assert seen == ["sk-ann-1"] * 2


def test_a_replica_that_lets_nobody_in_says_so(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TUNEGATE_API_KEYS", str(tmp_path))

    with pytest.raises(InvalidInput, match="holds no key, so nobody is let in"):
        replica.ready("http://replica", tmp_path / "answered")


def test_draining_ends_when_nothing_is_in_flight(server: str, monkeypatch: pytest.MonkeyPatch) -> None:
    slept: list[float] = []
    monkeypatch.setattr(replica, "time", SimpleNamespace(monotonic=lambda: 0.0, sleep=slept.append))
    counts = iter([2, 1, 0])
    monkeypatch.setattr(replica.probe, "requests_in_flight", lambda url: next(counts))

    replica.drain(server)

    assert slept == [replica.NOTICED_S, replica.POLL_S, replica.POLL_S]


def test_draining_ends_when_its_time_is_over(monkeypatch: pytest.MonkeyPatch) -> None:
    clock = iter([0.0, 10.0, 54.0, 56.0])
    monkeypatch.setenv("TUNEGATE_DRAIN_S", "55")
    stopped = SimpleNamespace(monotonic=lambda: next(clock), sleep=lambda seconds: None)
    monkeypatch.setattr(replica, "time", stopped)
    monkeypatch.setattr(replica.probe, "requests_in_flight", lambda url: 1)

    replica.drain("http://127.0.0.1:9")

    assert list(clock) == []


@pytest.fixture
def image(state: Path, tmp_path: Path) -> PushedImage:
    adapter = tmp_path / "adapter"
    adapter.mkdir()
    (adapter / "adapter_config.json").write_text('{"r": 4}')
    (adapter / "adapter_model.safetensors").write_bytes(b"weights")
    return push_adapter(adapter, "", {}, "pet")


def spec_of(pushed: PushedImage, **changes: str) -> str:
    values = {
        "name": "pet-r1",
        "model_name": "pet",
        "base_model": "org/base",
        "image": pushed.reference,
        "adapter_digest": pushed.adapter_digest,
        "lora_r": 4,
        "replicas": 1,
        "max_model_len": 256,
    }
    return json.dumps(values | changes)


def test_the_adapter_is_fetched_and_verified(
    image: PushedImage, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(replica, "ADAPTER_FOLDER", str(tmp_path / "volume" / "files"))
    monkeypatch.setenv(SPEC_VARIABLE, spec_of(image))

    assert replica.main(["fetch"]) == 0
    assert (tmp_path / "volume" / "files" / "adapter_config.json").is_file()
    assert f"adapter {image.adapter_digest} verified" in capsys.readouterr().out


def test_another_adapter_is_refused_for_good(
    image: PushedImage, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(replica, "ADAPTER_FOLDER", str(tmp_path / "volume" / "files"))
    monkeypatch.setenv(SPEC_VARIABLE, spec_of(image, adapter_digest="sha256:" + "1" * 64))

    assert replica.main(["fetch"]) == WRONG_INPUT
    assert "wanted sha256:1111" in capsys.readouterr().err


def test_a_registry_that_is_away_is_asked_again_later(
    image: PushedImage, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    from components import oci_registry

    monkeypatch.setattr(oci_registry, "RETRY_WAIT", lambda state: 0)
    unreachable = f"127.0.0.1:{free_port(set())}/pet@{image.manifest_digest}"
    monkeypatch.setenv(SPEC_VARIABLE, spec_of(image, image=unreachable))

    assert replica.main(["fetch"]) == FAILED
    assert "can't be reached" in capsys.readouterr().err
