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
from pipelines.params import ReleaseParams
from pipelines.preflight import preflight

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


def running(run: "subprocess.Popen[str]") -> list[psutil.Process]:
    """Return what a run has started."""
    return psutil.Process(run.pid).children(recursive=True)


def gone(started: list[psutil.Process]) -> bool:
    return not any(process.is_running() and process.status() != "zombie" for process in started)


@pytest.mark.release
def test_a_run_that_is_ended_leaves_no_process_and_the_next_continues(command: Command):
    """However it is ended, and from a place where only ASCII can be written."""
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGKILL):
        run = command.start(hangs="finetune")
        assert run.stdout is not None
        # What a stage says is shown while it runs.
        assert any("finetune" in line and "started" in line for line in run.stdout)
        wait_until(lambda: "finetune" in command.stages())
        started = running(run)
        assert len(started) >= 2  # the graph and the stage
        run.send_signal(number)
        said, _ = run.communicate(timeout=PATIENCE_S)
        ran = [stage for stage in command.stages() if stage != "dataset"]
        if number == signal.SIGKILL:  # it can do nothing more, but its stages see to it
            wait_until(lambda started=started: gone(started))
            assert ran == ["champion", "finetune"]
        else:
            assert run.returncode == 130, said
            assert "it ended: interrupted" in said, number.name
            assert gone(started), number.name
            assert ran == ["champion", "finetune", "closed"]
    again = command.start("", LC_ALL="C", PYTHONCOERCECLOCALE="0", PYTHONUTF8="0")
    said, _ = again.communicate(timeout=PATIENCE_S)
    assert again.returncode == 0, said
    # The dataset stage had finished in the first one.
    assert command.stages()[:3] == ["champion", "finetune", "evaluate"]
    assert_said_what_no_latin_alphabet_has(command, said)


def assert_said_what_no_latin_alphabet_has(command: Command, said: str) -> None:
    assert "finetune      step: what no Latin alphabet has: ? ?" in said
    log = max(command.home.glob("releases/*/run.log"), key=lambda path: path.stat().st_mtime)
    assert "what no Latin alphabet has: ≥ ✓" in log.read_text(encoding="utf-8")


@pytest.mark.release
def test_a_stage_may_say_what_the_locale_cannot_write_and_no_second_run_starts_meanwhile(command: Command):
    first = command.start(PYTHONIOENCODING="latin-1", hangs="finetune")
    wait_until(lambda: "finetune" in command.stages())
    second = command.start()
    said, _ = second.communicate(timeout=PATIENCE_S)
    assert second.returncode == 1
    assert "is in use by release" in said and f"process {first.pid}" in said and "Ctrl-C" in said
    first.send_signal(signal.SIGINT)
    said, _ = first.communicate(timeout=PATIENCE_S)
    assert_said_what_no_latin_alphabet_has(command, said)


def test_what_can_be_refused_is_refused_before_anything_starts(command: Command):
    command.rows.unlink()
    run = command.start("", "--base-model", "pypi:nope", "--eval-dataset", str(command.home))
    said, _ = run.communicate(timeout=PATIENCE_S)
    assert run.returncode == 1
    folder = "has no file of rows"
    for words in ("3 problems", "rows.jsonl: no such file", folder, "'nope' is not installed"):
        assert words in " ".join(said.split())
    assert command.stages() == []
    assert not (command.home / "releases").exists()


def test_a_base_model_that_no_pod_has_is_told_with_all_else(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("TUNEGATE_HOME", str(tmp_path / "state"))
    monkeypatch.setenv("KUBECONFIG", str(tmp_path / "none"))
    model = tmp_path / "model"
    model.mkdir()
    (model / "config.json").write_text("{}")
    named = {"base_model": str(model), "dataset": str(tmp_path / "rows.jsonl")}
    with pytest.raises(InvalidInput) as refused:
        preflight(ReleaseParams(serving_target="kubernetes", image_repository="127.0.0.1:1/pets", **named))
    said = str(refused.value)
    for words in (
        "rows.jsonl: no such file",
        "127.0.0.1:1",
        "no cluster is named",
        f"base_model '{model}': is a directory of this machine",
    ):
        assert words in said
