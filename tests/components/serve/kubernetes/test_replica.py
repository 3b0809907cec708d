"""What an engine's pod runs, against a stand-in server and an image layout."""

import json
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace

import pytest

from components.engine.scratch import FOLDER_VARIABLE
from components.errors import InvalidInput, TunegateError
from components.oci.adapter_images import PushedImage, push_adapter
from components.serve.kubernetes import replica
from components.serve.kubernetes.pod import ADAPTER_VARIABLE, NO_ACCESS, SPEC_VARIABLE, TRY_AGAIN, WRONG_INPUT
from components.serve.ports import free_port
from components.serve.probe import lists_adapter
from tests.components.oci.registries import Front, running_front, running_registry

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


def test_a_replica_is_ready_when_the_adapter_answers(server: str) -> None:
    replica.ready(server)


def test_a_replica_that_is_starting_is_waited_for(server: str, monkeypatch: pytest.MonkeyPatch) -> None:
    ups = iter([False, False, True])
    monkeypatch.setattr(replica.probe, "is_up", lambda url: next(ups))
    replica.ready(server)
    assert list(ups) == []


@pytest.mark.parametrize("server", [["--never-healthy"]], indirect=True)
def test_a_replica_that_is_not_healthy_is_not_ready(server: str) -> None:
    with pytest.raises(TunegateError, match="/health does not answer 200"):
        replica.ready(server, patience_s=0)


@pytest.mark.parametrize("server", [["--hide-adapter"]], indirect=True)
def test_a_replica_without_the_adapter_is_not_ready(server: str) -> None:
    with pytest.raises(TunegateError, match="/v1/models does not list pet"):
        replica.ready(server, patience_s=0)


def test_a_replica_that_wants_keys_is_asked_with_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[str] = []
    (tmp_path / "ann").write_text("sk-ann-1")
    monkeypatch.setenv("TUNEGATE_API_KEYS", str(tmp_path))
    monkeypatch.setattr(replica.probe, "is_up", lambda *_: True)
    monkeypatch.setattr(replica.probe, "lists_adapter", lambda *_, key, **__: not seen.append(key))
    monkeypatch.setattr(replica.probe, "completes", lambda *_, key, **__: not seen.append(key))

    replica.ready("http://replica")

    assert seen == ["sk-ann-1"] * 2


def test_a_replica_that_lets_nobody_in_says_so(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TUNEGATE_API_KEYS", str(tmp_path))

    with pytest.raises(InvalidInput, match="holds no key, so nobody is let in"):
        replica.ready("http://replica", patience_s=0)


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
    monkeypatch.setenv(ADAPTER_VARIABLE, str(tmp_path / "volume" / "files"))
    monkeypatch.setenv(SPEC_VARIABLE, spec_of(image))

    assert replica.main(["fetch"]) == 0
    assert (tmp_path / "volume" / "files" / "adapter_config.json").is_file()
    assert f"adapter {image.adapter_digest} verified" in capsys.readouterr().out


def test_another_adapter_is_refused_for_good(
    image: PushedImage, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv(ADAPTER_VARIABLE, str(tmp_path / "volume" / "files"))
    monkeypatch.setenv(SPEC_VARIABLE, spec_of(image, adapter_digest="sha256:" + "1" * 64))

    assert replica.main(["fetch"]) == WRONG_INPUT
    assert "wanted sha256:1111" in capsys.readouterr().err


def mounted(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Return a folder where a node would mount the image, with the adapter of `image` in it."""
    folder = tmp_path / "mounted"
    folder.mkdir()
    (folder / "adapter_config.json").write_text('{"r": 4}')
    (folder / "adapter_model.safetensors").write_bytes(b"weights")
    monkeypatch.setenv(ADAPTER_VARIABLE, str(folder))
    return folder


def test_a_mounted_adapter_is_verified(
    image: PushedImage, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    mounted(tmp_path, monkeypatch)
    monkeypatch.setenv(SPEC_VARIABLE, spec_of(image))

    assert replica.main(["verify"]) == 0
    assert f"adapter {image.adapter_digest} verified" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("content", "words"),
    [(b"weightz", "holds adapter sha256:.*, wanted sha256:"), (b"", "adapter_model.safetensors: missing")],
    ids=["another adapter", "no adapter"],
)
def test_another_mounted_adapter_is_refused_for_good(
    image: PushedImage,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    content: bytes,
    words: str,
) -> None:
    (mounted(tmp_path, monkeypatch) / "adapter_model.safetensors").write_bytes(content)
    monkeypatch.setenv(SPEC_VARIABLE, spec_of(image))

    assert replica.main(["verify"]) == WRONG_INPUT
    assert re.search(words, capsys.readouterr().err)


@pytest.fixture
def registry(tmp_path: Path, state: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Front]:
    """A registry with a front that misbehaves as told; nobody waits for it."""
    from components.oci import registry

    monkeypatch.setattr(registry, "RETRY_WAIT", lambda state: 0)
    monkeypatch.setenv("HOME", str(tmp_path))
    (tmp_path / "registry").mkdir()
    with running_registry(tmp_path / "registry") as host, running_front(host) as front:
        yield front


@pytest.mark.parametrize(
    ("faults", "code", "words"),
    [
        ([500, 500, 429], 0, "verified"),
        (["drop", 503, "let through", 500], 0, "verified"),
        ([500] * 10, TRY_AGAIN, r"answered 500 .*, 4 times; the trouble is on its side"),
        ([429] * 10, TRY_AGAIN, r"answered 429 .*, 4 times"),
        ([401] * 10, NO_ACCESS, r"asks for credentials"),
        ([403] * 10, NO_ACCESS, r"may not do that"),
        ([404] * 10, WRONG_INPUT, r"no such image or repository"),
    ],
    ids=["500 and 429 for a while", "anything for a while", "500", "429", "401", "403", "404"],
)
def test_what_a_registry_answers_decides_whether_to_try_again(
    registry: Front,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    faults: list[int | str],
    code: int,
    words: str,
) -> None:
    folder = mounted(tmp_path, monkeypatch)
    pushed = push_adapter(folder, f"{registry.host}/pet", {}, "pet")
    monkeypatch.setenv(ADAPTER_VARIABLE, str(tmp_path / "volume" / "files"))
    monkeypatch.setenv(SPEC_VARIABLE, spec_of(pushed))
    registry.faults = faults

    assert replica.main(["fetch"]) == code
    assert re.search(words, "".join(capsys.readouterr()))
    assert (tmp_path / "volume" / "files").exists() == (code == 0)


def test_a_registry_that_is_away_is_asked_again_later(
    image: PushedImage, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    from components.oci import registry

    monkeypatch.setattr(registry, "RETRY_WAIT", lambda state: 0)
    monkeypatch.setenv(ADAPTER_VARIABLE, str(tmp_path / "files"))
    unreachable = f"127.0.0.1:{free_port(set())}/pet@{image.manifest_digest}"
    monkeypatch.setenv(SPEC_VARIABLE, spec_of(image, image=unreachable))

    assert replica.main(["fetch"]) == TRY_AGAIN
    assert "can't be reached" in capsys.readouterr().err


def test_the_engine_is_started_as_the_spec_says(
    image: PushedImage, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(ADAPTER_VARIABLE, str(tmp_path))
    monkeypatch.setenv(SPEC_VARIABLE, spec_of(image, tool_call_parser="hermes"))
    monkeypatch.setattr("components.models.prepare_base_model", lambda name: SimpleNamespace(path=tmp_path))
    monkeypatch.setenv(FOLDER_VARIABLE, "")
    started: list[str] = []
    monkeypatch.setattr("os.execv", lambda program, command: started.extend(command))

    replica.serve()

    assert {"--max-model-len=256", "--enable-auto-tool-choice", "--tool-call-parser=hermes"} <= {*started}
