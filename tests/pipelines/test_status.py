"""What `tunegate status` says of releases that did not ship."""

import json
from pathlib import Path

import pytest
from typer.testing import CliRunner

from components.checks import Verdict, at_least
from components.errors import NotReady
from components.release.ending import OUTCOME_TAG
from components.tracking import records, runs
from components.tracking.stage import open_stage
from pipelines.cli import app

RELEASE = "test-release"


@pytest.fixture
def started(state: Path) -> None:
    folder = state / "releases" / RELEASE
    folder.mkdir(parents=True)
    params = {"model_name": "petstore", "serving_target": "local"}
    (folder / "params.json").write_text(json.dumps(params))


def status() -> str:
    said = CliRunner().invoke(app, ["status"], terminal_width=250, env={"COLUMNS": "250"})
    assert said.exit_code == 0, said.output
    return " ".join(said.output.split())


def test_a_refusal_says_at_which_gate_and_why(started: None) -> None:
    with open_stage("dataset", {}):
        pass
    checks = [at_least(name, 0.1, 0.2, "share", "it is too small") for name in ("gain_low", "guard")]
    with open_stage("quality-gate", {}) as stage:
        stage.verdict(Verdict(stage="quality", checks=tuple(checks)))

    said = status()

    assert f"{RELEASE} refused petstore Refused at the quality gate: of 2 checks, 2 failed." in said
    assert "it is too small" in said
    assert "(and 1 more)" in said


def test_a_failure_says_at_which_stage_and_why(started: None) -> None:
    with pytest.raises(NotReady), open_stage("deploy", {}):
        raise NotReady("a replica keeps dying\n" + "line of its log " * 99)

    said = status()

    assert f"{RELEASE} failed petstore deploy failed: a replica keeps dying line of its log" in said
    assert said.endswith("...")


def test_one_that_never_began_is_said_and_left_without_a_record(started: None) -> None:
    assert "failed petstore No stage was started." in status()
    assert "failed petstore No stage was started." in status()


def test_no_picture_is_fetched(started: None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    read, fetched = records._read, []

    def noted(client: object, run: str, path: str) -> bytes:
        fetched.append(path)
        return read(client, run, path)  # type: ignore[arg-type]

    monkeypatch.setattr(records, "_read", noted)
    (tmp_path / "curve.png").write_bytes(b"png")
    with pytest.raises(NotReady), open_stage("finetune", {}) as stage:
        stage.figure("curve", tmp_path / "curve.png")
        raise NotReady("no room")
    client = runs.client()
    client.set_tag(runs.parent_run(client, RELEASE), OUTCOME_TAG, "failed")  # as when it was closed

    assert "finetune failed: no room" in status()
    assert fetched == ["record.json"]
