from pathlib import Path

import matplotlib.pyplot as plt
import pytest

from components.checks import Verdict, at_least
from components.errors import TunegateError
from components.tracking import records, runs
from components.tracking.stage import end_abandoned, open_stage


def test_a_stage_leaves_its_record(state: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    plt.figure().savefig(tmp_path / "loss.png")
    with open_stage("finetune", {"lora_r": 8}) as stage:
        stage.metrics({"loss": 2.0}, step=1)
        stage.metrics({"loss": 1.5}, step=2)
        stage.fact("adapter_digest", "sha256:00")
        stage.figure("Loss", tmp_path / "loss.png")
        stage.verdict(Verdict(stage="finetune", checks=(at_least("gain", 0.2, 0.1, "share", "w"),)))
    client = runs.client()
    (recorded,) = records.recorded_stages(client, "test-release")
    assert recorded.record.status == "finished"
    assert recorded.record.params == {"lora_r": 8}
    assert recorded.record.metrics == {"loss": 1.5, "gain": 0.2}
    assert recorded.record.facts == {"adapter_digest": "sha256:00"}
    assert recorded.pictures[0][0] == "Loss" and recorded.pictures[0][1].startswith(b"\x89PNG")
    assert [m.value for m in client.get_metric_history(stage.run_id, "loss")] == [2.0, 1.5]
    assert [verdict.status for verdict in recorded.record.verdicts] == ["passed"]
    assert "gain passed: w" in capsys.readouterr().out


def test_a_stage_that_raises_leaves_its_record_too(state: Path, capsys: pytest.CaptureFixture[str]):
    with pytest.raises(TunegateError), open_stage("dataset", {}):
        raise TunegateError("no rows at all")
    (recorded,) = records.recorded_stages(runs.client(), "test-release")
    assert (recorded.record.status, recorded.record.error) == ("failed", "no rows at all")
    assert "[tunegate] dataset failed: no rows at all" in capsys.readouterr().out


def test_a_cached_stage_is_noted_once_in_the_next_release(state: Path, monkeypatch: pytest.MonkeyPatch):
    with open_stage("dataset", {}) as first:
        first.metric("rows", 7)
    monkeypatch.setenv("RELEASE_ID", "second")
    upstream = [{runs.RUN_KEY: first.run_id}, {runs.RUN_KEY: first.run_id}, {}]
    with open_stage("finetune", {}, upstream=upstream):
        pass
    stages = records.recorded_stages(runs.client(), "second")
    assert [(s.record.stage, s.cached_from) for s in stages] == [("dataset", first.run_id), ("finetune", "")]
    assert stages[0].record.metrics == {"rows": 7}


def test_without_a_release_it_says_how_to_start_one(state: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.delenv("RELEASE_ID")
    with pytest.raises(TunegateError, match="tunegate run"):
        runs.release_id()


def test_what_a_cached_stage_had_read_is_noted_with_it(state: Path, monkeypatch: pytest.MonkeyPatch):
    with open_stage("dataset", {}) as dataset:
        pass
    with open_stage("finetune", {}, upstream=[{runs.RUN_KEY: dataset.run_id}]) as finetune:
        pass
    with open_stage("evaluate", {}, upstream=[{runs.RUN_KEY: finetune.run_id}]) as evaluate:
        evaluate.file(_written(state / "examples.json", "[1]"))
    monkeypatch.setenv("RELEASE_ID", "second")
    with open_stage("quality-gate", {}, upstream=[{runs.RUN_KEY: evaluate.run_id}]):
        pass
    client = runs.client()
    stages = records.recorded_stages(client, "second")
    assert [(s.record.stage, s.cached_release) for s in stages] == [
        ("dataset", "test-release"),
        ("finetune", "test-release"),
        ("evaluate", "test-release"),
        ("quality-gate", ""),
    ]
    assert records.stage_file(client, stages[2], "examples.json") == b"[1]"
    assert records.stage_file(client, stages[2], "folder/none.json") is None


def test_a_cached_stage_whose_run_is_gone_stops_nothing(state: Path):
    with open_stage("deploy", {}, upstream=[{runs.RUN_KEY: "0" * 32}]):
        pass
    (recorded,) = records.recorded_stages(runs.client(), "test-release")
    assert recorded.record.stage == "deploy"


def test_a_killed_stage_gets_its_record_when_the_release_is_closed(state: Path):
    client = runs.client()
    killed = open_stage("finetune", {})
    running = killed.__enter__()
    running.metric("loss", 2.5)
    assert records.recorded_stages(client, "test-release") == []
    assert end_abandoned(client, "test-release") == ["finetune"]
    assert end_abandoned(client, "test-release") == []
    (recorded,) = records.recorded_stages(client, "test-release")
    assert (recorded.record.status, recorded.record.metrics) == ("killed", {"loss": 2.5})
    assert "stopped before it could finish" in recorded.record.error
    assert client.get_run(running.run_id).info.status == "KILLED"


def test_an_interrupted_stage_says_so(state: Path):
    with pytest.raises(KeyboardInterrupt), open_stage("stress", {}):
        raise KeyboardInterrupt
    (recorded,) = records.recorded_stages(runs.client(), "test-release")
    assert (recorded.record.status, recorded.record.error) == ("killed", "interrupted")


def test_a_metric_that_is_no_number_survives(state: Path):
    with open_stage("finetune", {}) as stage:
        stage.metrics({"loss": float("nan"), "recovery_s": float("inf")})
    (recorded,) = records.recorded_stages(runs.client(), "test-release")
    assert recorded.record.metrics["loss"] != recorded.record.metrics["loss"]
    assert recorded.record.metrics["recovery_s"] == float("inf")


def _written(path: Path, text: str) -> Path:
    path.write_text(text, encoding="utf-8")
    return path


def test_stages_without_a_common_disk_need_a_tracking_server(state, monkeypatch):
    monkeypatch.setenv(runs.SHARED_VARIABLE, "1")
    with pytest.raises(TunegateError, match=r"MLFLOW_TRACKING_URI is not set.*settings_map"):
        runs.client()
