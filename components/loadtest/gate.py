"""The service gate: what was measured under stress against the release's budgets."""

from pathlib import Path

from pydantic import Field

from components.checks import Check, Verdict, at_least, at_most
from components.loadtest.results import FEWEST_REQUESTS, LoadStats, ScenarioResult, StressResults
from components.tracking.shell import StageConfig
from components.tracking.stage import Stage

MOST_CLIENT_CPU = 0.9  # of one core: beyond it the load client may have measured itself


class ServiceGateConfig(StageConfig):
    """The budgets; see `ReleaseParams` for the parameters of the same names."""

    min_goodput: float = Field(ge=0, le=1)
    min_goodput_long: float = Field(ge=0, le=1)
    max_failed_share_killed: float = Field(ge=0, le=1)
    max_recovery_s: float = Field(gt=0)
    max_cold_start_s: float = Field(gt=0)


def judge_service(config: ServiceGateConfig, results_path: Path, stage: Stage) -> Verdict:
    """Hold the stress results against the budgets; every one has to be kept.

    Too few requests can refuse an adapter but never pass it, and what was not measured is inconclusive.
    """
    results = StressResults.read(results_path)
    steady, long, killed, cold = (
        results.scenario(name) or ScenarioResult(name=name, title=name, problem="it did not run")
        for name in ("steady", "long_prompts", "replica_killed", "cold_start")
    )
    verdict = Verdict(
        stage="service",
        adapter_digest=results.adapter_digest,
        checks=(
            _failed_share("steady_failed_share", steady, 0.0),
            _goodput("steady_goodput", steady, "all", config.min_goodput, results),
            _goodput("long_goodput_normal_users", long, "normal", config.min_goodput_long, results),
            _failed_share("killed_failed_share", killed, config.max_failed_share_killed),
            _seen_in_time(
                "recovery_s",
                killed,
                killed.recovery_s,
                config.max_recovery_s,
                "every replica was ready again",
            ),
            _seen_in_time(
                "cold_start_s", cold, cold.cold_start_s, config.max_cold_start_s, "the first answer came"
            ),
            _replicas_ready(results),
            _client(results),
        ),
    )
    stage.verdict(verdict)
    return verdict


def _failed_share(name: str, scenario: ScenarioResult, limit: float) -> Check:
    stats = scenario.users.get("all")
    if stats is None:
        return at_most(name, None, limit, "share", _nothing(scenario))
    why = f"{scenario.title}: {stats.requests - stats.ok} of {stats.requests} requests failed"
    why += _kinds(stats)
    return _sound(at_most(name, stats.failed_share, limit, "share", why), stats, scenario)


def _goodput(name: str, scenario: ScenarioResult, who: str, limit: float, results: StressResults) -> Check:
    stats = next((found for user_class, found in scenario.users.items() if user_class == who), None)
    if stats is None:
        return at_least(name, None, limit, "share", _nothing(scenario))
    whose = "requests" if who == "all" else f"{who} users' requests"
    times = ", ".join(
        f"{kind} p95 {found.p95:.0f} ms"
        for kind, found in (("first token", stats.ttft_ms), ("between tokens", stats.itl_ms))
        if found
    )
    why = (
        f"{scenario.title}: {stats.goodput or 0:.0%} of {stats.requests} {whose} were answered within "
        f"{results.slo_ttft_ms:g} ms to the first token and {results.slo_itl_ms:g} ms a token "
        f"({times or 'none was answered'}{_kinds(stats)})"
    )
    return _sound(at_least(name, stats.goodput, limit, "share", why), stats, scenario)


def _seen_in_time(
    name: str, scenario: ScenarioResult, seconds: float | None, limit: float, what: str
) -> Check:
    if seconds is not None:
        return at_most(name, seconds, limit, "s", f"{scenario.title}: {what} after {seconds:.0f} s")
    waited = scenario.gave_up_after_s
    if scenario.problem or waited is None:
        return at_most(name, None, limit, "s", _nothing(scenario))
    why = f"{scenario.title}: not within {waited:.0f} s that {what}, and then the test gave up"
    # It took longer than was waited: enough to fail, but never to pass, a larger budget.
    return at_most(name, waited if waited > limit else None, limit, "s", why)


def _replicas_ready(results: StressResults) -> Check:
    why = f"{results.replicas_ready} of {results.replicas} replicas were ready when all scenarios were over"
    return at_least("replicas_ready_after_stress", results.replicas_ready, results.replicas, "replicas", why)


def _client(results: StressResults) -> Check:
    shares = [s.client_cpu_share for s in results.scenarios if s.client_cpu_share is not None]
    name, limit = "load_client_cpu_share", MOST_CLIENT_CPU
    if not shares:
        return at_most(name, None, limit, "share", "no load was measured")
    used = max(shares)
    why = f"the load client used {used:.0%} of one core"
    check = at_most(name, used, limit, "share", why)
    if check.status == "passed":
        return check
    slow = f"{why}: the times may be its own and not the service's; use fewer load_users or a free machine"
    return check.model_copy(update={"status": "inconclusive", "why": slow})


def _sound(check: Check, stats: LoadStats, scenario: ScenarioResult) -> Check:
    """Let a check pass only if the scenario was carried through and measured enough."""
    reasons = [scenario.problem] if scenario.problem else []
    if stats.requests < FEWEST_REQUESTS:
        reasons.append(f"{FEWEST_REQUESTS} requests are needed: raise scenario_duration_s or load_users")
    if check.status != "passed" or not reasons:
        return check
    return check.model_copy(update={"status": "inconclusive", "why": "; ".join([check.why, *reasons])})


def _kinds(stats: LoadStats) -> str:
    return "".join(f"; {count} {kind.replace('_', ' ')}" for kind, count in stats.failures.items())


def _nothing(scenario: ScenarioResult) -> str:
    return f"{scenario.title}: nothing was measured" + (f": {scenario.problem}" if scenario.problem else "")
