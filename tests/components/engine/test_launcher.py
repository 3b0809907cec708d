"""The launcher: what it reads from its environment, and what is left when it ends."""

import os
import signal
import socket
import subprocess
import time
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest

from components.engine.config import EngineConfig, engine_environment
from components.engine.launcher import parse_cores
from components.engine.scratch import FOLDER_VARIABLE
from components.engine.server import server_command

READY_TIMEOUT_S = 240
END_TIMEOUT_S = 20


@pytest.mark.parametrize(
    ("binding", "cores"),
    [
        pytest.param("0", {0}, id="one"),
        pytest.param("0-3", {0, 1, 2, 3}, id="range"),
        pytest.param("0,2-3", {0, 2, 3}, id="both"),
        pytest.param("nobind", set(), id="nobind"),
        pytest.param("auto", set(), id="auto"),
        pytest.param("", set(), id="empty"),
    ],
)
def test_cores(binding: str, cores: set[int]) -> None:
    assert parse_cores(binding) == cores


@pytest.fixture(scope="module")
def adapter(tiny_model: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    from peft import LoraConfig, get_peft_model
    from transformers import AutoModelForCausalLM

    path = tmp_path_factory.mktemp("adapter")
    lora = LoraConfig(r=8, target_modules="all-linear", task_type="CAUSAL_LM")
    get_peft_model(AutoModelForCausalLM.from_pretrained(tiny_model), lora).save_pretrained(path)
    return path


@pytest.fixture
def scratch(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The temporary directory of the server; sockets in it have long names."""
    return tmp_path_factory.mktemp("t") / "0"


@pytest.fixture
def server(tiny_model: Path, adapter: Path, tmp_path: Path, scratch: Path) -> Iterator[psutil.Popen]:
    """A server that is ready, with its process group."""
    pytest.importorskip("vllm")
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    command = server_command(EngineConfig(tiny_model, adapter, "tuned", 8, 256), "127.0.0.1", port)
    log = tmp_path / "server.log"
    with log.open("w") as out:
        process = psutil.Popen(
            command,
            env=os.environ | engine_environment("cpu", "0") | {FOLDER_VARIABLE: str(scratch)},
            stdout=out,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
    try:
        deadline = time.monotonic() + READY_TIMEOUT_S
        while not ready(port):
            assert process.poll() is None, log.read_text()[-3000:]
            assert time.monotonic() < deadline, log.read_text()[-3000:]
            time.sleep(0.25)
        assert "Using GroupedLora" in log.read_text()
        yield process
    finally:
        if process.poll() is None:
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()


def ready(port: int) -> bool:
    try:
        return bool(urllib.request.urlopen(f"http://127.0.0.1:{port}/health", timeout=5).status == 200)
    except OSError:
        return False


@pytest.mark.e2e
@pytest.mark.parametrize("end", [signal.SIGTERM, signal.SIGKILL], ids=["SIGTERM", "SIGKILL"])
def test_nothing_outlives_the_server(server: psutil.Popen, scratch: Path, end: signal.Signals) -> None:
    """One engine process, forked, on the core it was given; it is gone however the server ends."""
    engines = [child for child in server.children() if "EngineCore" in " ".join(child.cmdline())]
    assert len(engines) == 1
    assert engines[0].cpu_affinity() == [0]
    assert any(path.name.startswith("vllm_dist_") for path in scratch.iterdir())
    assert any(path.is_socket() for path in scratch.iterdir())
    family = server.children(recursive=True)
    os.kill(server.pid, end)
    server.wait(END_TIMEOUT_S)
    _, alive = psutil.wait_procs(family, END_TIMEOUT_S)
    assert [process for process in alive if process.status() != psutil.STATUS_ZOMBIE] == []
    assert scratch.exists() == (end == signal.SIGKILL)  # then it goes with the next start
