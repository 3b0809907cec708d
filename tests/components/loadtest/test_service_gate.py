from pathlib import Path
from typing import Any

import pytest

from components.loadtest.gate import ServiceGateConfig, judge_service
from components.loadtest.results import LoadStats, Percentiles, ScenarioResult, StressResults
from components.tracking.stage import Stage

BUDGETS = ServiceGateConfig(
    min_goodput=0.9,
    min_goodput_long=0.8,
    max_failed_share_killed=0.25,
    max_recovery_s=240,
    max_cold_start_s=200,
)


def stats(requests: int = 40, ok: int = 40, goodput: float | None = 0.95, **more: Any) -> LoadStats:
    latency = Percentiles(p50=100, p95=200, p99=300) if ok else None
    failures = {"broken_stream": requests - ok} if ok < requests else {}
    values: dict[str, Any] = {
        "requests": requests,
        "ok": ok,
        "goodput": goodput,
        "failures": failures,
        "ttft_ms": latency,
        "itl_ms": latency,
        "e2e_ms": latency,
        "requests_per_s": 2,
        "output_tokens_per_s": 50,
        "prompt_tokens": 40,
    }
    return LoadStats(**values | more)


def results(**changed: dict[str, Any]) -> StressResults:
    """A service that keeps every budget, with some scenarios changed."""
    found: dict[str, dict[str, Any]] = {
        "steady": {"users": {"all": stats()}, "client_cpu_share": 0.1},
        "long_prompts": {"users": {"all": stats(), "normal": stats(), "long": stats(goodput=0.1)}},
        "replica_killed": {"users": {"all": stats(requests=40, ok=38)}, "recovery_s": 60.0},
        "cold_start": {"cold_start_s": 50.0, "all_ready_s": 55.0},
    }
    for name, values in changed.items():
        found[name] = found[name] | values
    return StressResults(
        adapter_digest="sha256:1",
        slo_ttft_ms=2000,
        slo_itl_ms=300,
        replicas=2,
        replicas_ready=2,
        scenarios=[ScenarioResult(name=name, title=name, **values) for name, values in found.items()],
    )


def judge(found: StressResults, stage: Stage, folder: Path) -> Any:
    found.write(folder / "results.json")
    return judge_service(BUDGETS, folder / "results.json", stage)


def test_every_budget_kept(stage: Stage, tmp_path: Path):
    verdict = judge(results(), stage, tmp_path)
    assert (verdict.status, verdict.stage, verdict.adapter_digest) == ("passed", "service", "sha256:1")
    assert [check.name for check in verdict.checks] == [
        "steady_failed_share",
        "steady_goodput",
        "long_goodput_normal_users",
        "killed_failed_share",
        "recovery_s",
        "cold_start_s",
        "replicas_ready_after_stress",
        "load_client_cpu_share",
    ]
    assert stage.record.verdicts == [verdict]
    assert stage.record.metrics["recovery_s"] == 60


@pytest.mark.parametrize(
    ("changed", "status", "reason"),
    [
        (
            {"steady": {"users": {"all": stats(requests=40, ok=39)}}},
            "failed",
            "steady_failed_share failed: steady: 1 of 40 requests failed; 1 broken stream",
        ),
        (
            {"steady": {"users": {"all": stats(goodput=0.5)}}},
            "failed",
            "steady_goodput failed: steady: 50% of 40 requests were answered within 2000 ms to the first "
            "token and 300 ms a token (first token p95 200 ms, between tokens p95 200 ms)",
        ),
        (
            {"steady": {"users": {"all": stats(ok=0, goodput=0)}}},
            "failed",
            "steady_goodput failed: steady: 0% of 40 requests were answered within 2000 ms to the first "
            "token and 300 ms a token (none was answered; 40 broken stream)",
        ),
        (
            {"long_prompts": {"users": {"all": stats(), "normal": stats(goodput=0.79)}}},
            "failed",
            "long_goodput_normal_users failed: long_prompts: 79% of 40 normal users' requests",
        ),
        (
            {"replica_killed": {"users": {"all": stats(requests=40, ok=29)}}},
            "failed",
            "killed_failed_share failed: replica_killed: 11 of 40 requests failed; 11 broken stream",
        ),
        (
            {"replica_killed": {"recovery_s": 241.0}},
            "failed",
            "recovery_s failed: replica_killed: every replica was ready again after 241 s",
        ),
        (
            {"replica_killed": {"recovery_s": None, "gave_up_after_s": 270.0}},
            "failed",
            "recovery_s failed: replica_killed: not within 270 s that every replica was ready again",
        ),
        (
            {"replica_killed": {"recovery_s": None, "gave_up_after_s": 100.0}},
            "inconclusive",
            "recovery_s inconclusive: replica_killed: not within 100 s",
        ),
        (
            {"cold_start": {"cold_start_s": None, "gave_up_after_s": 230.0}},
            "failed",
            "cold_start_s failed: cold_start: not within 230 s that the first answer came",
        ),
        (
            {"steady": {"users": {"all": stats(requests=9, ok=9)}}},
            "inconclusive",
            "9 requests failed; 10 requests are needed: raise scenario_duration_s or load_users",
        ),
        (
            {"steady": {"users": {"all": stats(requests=4, ok=0, goodput=0)}}},
            "failed",
            "steady_failed_share failed: steady: 4 of 4 requests failed",
        ),
        (
            {"replica_killed": {"users": {}, "recovery_s": None, "problem": "no replica is ready"}},
            "inconclusive",
            "recovery_s inconclusive: replica_killed: nothing was measured: no replica is ready",
        ),
        (
            {"steady": {"problem": "locust ended with code 1"}},
            "inconclusive",
            "0 of 40 requests failed; locust ended with code 1",
        ),
        (
            {"steady": {"client_cpu_share": 0.97}},
            "inconclusive",
            "load_client_cpu_share inconclusive: the load client used 97% of one core: the times may be",
        ),
    ],
    ids=[
        "one failed",
        "too slow",
        "none answered",
        "normal users slowed down",
        "too many failed",
        "recovered late",
        "never recovered",
        "never recovered, a larger budget",
        "never started",
        "too few to pass",
        "few are enough to fail",
        "not carried through",
        "load client failed",
        "load client too busy",
    ],
)
def test_why_a_service_is_refused(
    changed: dict[str, dict[str, Any]], status: str, reason: str, stage: Stage, tmp_path: Path
):
    verdict = judge(results(**changed), stage, tmp_path)
    assert verdict.status == status
    assert any(reason in found for found in verdict.reasons), verdict.reasons


def test_replicas_that_did_not_all_come_back(stage: Stage, tmp_path: Path):
    found = results().model_copy(update={"replicas_ready": 1})
    verdict = judge(found, stage, tmp_path)
    assert "1 of 2 replicas were ready when all scenarios were over" in verdict.reasons[0]


def test_scenarios_that_did_not_run(stage: Stage, tmp_path: Path):
    verdict = judge(results().model_copy(update={"scenarios": []}), stage, tmp_path)
    assert verdict.status == "inconclusive"
    assert "steady: nothing was measured: it did not run" in verdict.reasons[0]
