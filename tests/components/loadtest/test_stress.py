from pathlib import Path

import pytest

from components.conversations import Conversation, Message, write_conversations
from components.errors import TunegateError
from components.loadtest import run as run_module
from components.loadtest import stress as stress_module
from components.loadtest.config import StressConfig
from components.loadtest.gate import ServiceGateConfig, judge_service
from components.loadtest.results import StressResults
from components.loadtest.stress import run_stress
from components.tracking.stage import Stage
from tests.components.loadtest.fake_backend import SPEC, FakeBackend, fake_backend

CONFIG = StressConfig(
    serving_target="local",
    seed=1,
    load_users=4,
    load_max_tokens=8,
    scenario_duration_s=2,
    slo_ttft_ms=1500,
    slo_itl_ms=200,
    long_prompt_factor=4,
    long_prompt_share=0.5,
    max_recovery_s=20,
    max_cold_start_s=20,
    warm_up_s=0.5,
    request_timeout_s=5,
)
BUDGETS = ServiceGateConfig(
    min_goodput=0.9,
    min_goodput_long=0.8,
    max_failed_share_killed=0.25,
    max_recovery_s=20,
    max_cold_start_s=20,
)


def stressed(
    backend: FakeBackend, config: StressConfig, stage: Stage, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> StressResults:
    monkeypatch.setattr(stress_module, "serving_backend", lambda target: backend)
    SPEC.write(folder / "deployment.json")
    rows = [
        Conversation(
            messages=(
                Message(role="user", content=f"Do you have item {number}?"),
                Message(role="assistant", content="Yes."),
            )
        )
        for number in range(30)
    ]
    write_conversations(folder / "eval.jsonl", rows)
    return run_stress(
        config, folder / "deployment.json", folder / "eval.jsonl", folder / "results.json", stage
    )


def test_every_scenario_against_a_service_that_recovers(
    stage: Stage, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
):
    monkeypatch.setattr(run_module, "SAY_EVERY_S", 0.1)  # so that a line falls into every phase
    with fake_backend() as backend:
        results = stressed(backend, CONFIG, stage, tmp_path, monkeypatch)
    assert backend.log == ["kill", "scale 0", "scale 2"]
    assert StressResults.read(tmp_path / "results.json") == results
    assert [scenario.problem for scenario in results.scenarios] == [""] * 4

    steady, long, killed, cold = results.scenarios
    assert steady.users["all"].failures == {}
    assert steady.users["all"].requests >= 10
    assert set(long.users) == {"all", "normal", "long"}
    ratio = long.users["long"].prompt_tokens / long.users["normal"].prompt_tokens
    assert ratio == pytest.approx(4, rel=0.1)
    assert 1 <= killed.users["all"].failures["broken_stream"] <= 4
    assert [event.kind for event in killed.timeline] == [
        "load_started",
        "replica_killed",
        "replicas_ready",
        "load_ended",
    ]
    assert killed.recovery_s == pytest.approx(backend.start_s, abs=2)
    assert backend.start_s <= cold.cold_start_s <= cold.all_ready_s
    assert results.replicas_ready == 2

    said = capsys.readouterr().out
    assert "steady load: under load" in said and "TTFT p50" in said
    assert "replica killed: " in said and "ready again after" in said
    record = stage.record
    assert record.metrics["steady_ttft_p95_ms"] == steady.users["all"].ttft_ms.p95
    assert record.metrics["long_prompts_normal_goodput"] == long.users["normal"].goodput
    assert [figure.title for figure in record.figures] == [
        "Latency under stress",
        "Throughput and goodput",
        "Over time: long prompts mixed in",
        "Over time: replica killed",
        "Over time: cold start",
    ]
    kept = {item.path for item in stage.client.list_artifacts(stage.run_id, "stress")}
    assert kept == {
        "stress/results.json",
        "stress/steady.requests.jsonl",
        "stress/long_prompts.requests.jsonl",
        "stress/replica_killed.requests.jsonl",
    }
    verdict = judge_service(BUDGETS, tmp_path / "results.json", stage)
    assert verdict.passed, verdict.reasons


def test_a_replica_that_never_comes_back_is_refused_and_the_rest_still_measured(
    stage: Stage, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr("components.loadtest.config.GRACE_S", 0.5)
    config = CONFIG.model_copy(update={"max_recovery_s": 1.0, "scenario_duration_s": 1})
    with fake_backend() as backend:
        backend.comes_back = False
        results = stressed(backend, config, stage, tmp_path, monkeypatch)
    killed = results.scenario("replica_killed")
    assert killed.recovery_s is None and killed.gave_up_after_s >= 1.5
    assert killed.timeline[2].kind == "gave_up"
    assert results.scenario("cold_start").cold_start_s > 0
    budgets = BUDGETS.model_copy(update={"max_recovery_s": 1.0, "max_failed_share_killed": 1.0})
    verdict = judge_service(budgets, tmp_path / "results.json", stage)
    (reason,) = [reason for reason in verdict.reasons if reason.startswith("recovery_s")]
    assert "recovery_s failed: replica killed: not within" in reason


def test_a_service_that_does_not_answer_is_told_before_any_load(
    stage: Stage, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    with fake_backend() as backend:
        backend.scale(SPEC.name, 0)
        with pytest.raises(TunegateError, match=r"prompt of 20 characters was not answered \(http_503\)"):
            stressed(backend, CONFIG, stage, tmp_path, monkeypatch)


def test_both_kinds_of_users_are_there_when_they_are_mixed():
    counts = {
        (users, share): CONFIG.model_copy(update={"load_users": users, "long_prompt_share": share}).users(
            True
        )
        for users, share in [(1, 0.5), (2, 0.9), (4, 0.5), (4, 0.01), (10, 0.99)]
    }
    assert list(counts.values()) == [(2, 1), (2, 1), (4, 2), (4, 1), (10, 9)]
    assert CONFIG.users(mixed=False) == (4, 0)
