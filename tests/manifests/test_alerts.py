"""The rules, run by Prometheus' own promtool over series that are made up: what fires, and what does not."""

import json
import re
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml

from pipelines.reading import load_params
from tests.manifests.rendering import find, rendered

LIVE = 'namespace="tunegate", model="pet", deployment="pet-r2"'
CANDIDATE = 'namespace="tunegate", model="pet", deployment="pet-r3"'
UP = {f'up{{component="live", {LIVE}}}': "1x3000", f'up{{component="engine", {LIVE}}}': "1x3000"}


@pytest.fixture(scope="module")
def promtool() -> str:
    found = shutil.which("promtool")
    if found is None:
        pytest.skip("no promtool here; apt-get install prometheus")
    return found


@pytest.fixture(scope="module")
def rules_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The groups of all PrometheusRules, as a Prometheus of its own would read them."""
    groups = [g for m in rendered("monitoring") if m["kind"] == "PrometheusRule" for g in m["spec"]["groups"]]
    path = tmp_path_factory.mktemp("rules") / "rules.yaml"
    path.write_text(yaml.safe_dump({"groups": groups}))
    return path


def run(promtool: str, *arguments: str) -> None:
    done = subprocess.run([promtool, *arguments], capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stdout + done.stderr


def test_the_rules_are_well_formed(promtool: str, rules_file: Path) -> None:
    run(promtool, "check", "rules", "--lint-fatal", str(rules_file))


def test_the_dashboard_asks_in_promql(promtool: str, tmp_path: Path) -> None:
    dashboard = json.loads(find("monitoring", "ConfigMap", "tunegate-dashboard")["data"]["dashboard.json"])
    asked = [t["expr"].replace("$__rate_interval", "1m") for p in dashboard["panels"] for t in p["targets"]]
    rules = [{"record": f"panel_{index}", "expr": expr} for index, expr in enumerate(asked)]
    path = tmp_path / "panels.yaml"
    path.write_text(yaml.safe_dump({"groups": [{"name": "panels", "rules": rules}]}))

    assert len(asked) >= 12
    run(promtool, "check", "rules", str(path))


def test_the_dashboard_shows_what_is_asked_of_it() -> None:
    dashboard = json.loads(find("monitoring", "ConfigMap", "tunegate-dashboard")["data"]["dashboard.json"])
    lines = {p["title"]: p["fieldConfig"]["defaults"].get("thresholds") for p in dashboard["panels"]}
    defaults = load_params(None, {"dataset": "x"})

    assert len(lines) == len(dashboard["panels"]) == 8
    assert lines["Time to first token"]["steps"][-1]["value"] * 1000 == defaults.slo_ttft_ms
    assert lines["Time between tokens"]["steps"][-1]["value"] * 1000 == defaults.slo_itl_ms
    assert all(panel["description"] for panel in dashboard["panels"])
    taken = [(p["gridPos"]["x"], p["gridPos"]["y"]) for p in dashboard["panels"]]
    assert len(set(taken)) == len(taken)


def test_the_objective_is_that_of_the_parameters_and_can_be_missed() -> None:
    alerts = [
        r
        for g in find("monitoring", "PrometheusRule", "tunegate-alerts")["spec"]["groups"]
        for r in g["rules"]
    ]
    late = [a["expr"] for a in alerts if a["alert"] == "TunegateTimeToFirstTokenBurn"]
    limits = [
        (float(burn), float(budget)) for e in late for burn, budget in re.findall(r"> (\S+) \* (\S+)", e)
    ]

    assert len(limits) == 6
    assert {round(1 - budget, 3) for _, budget in limits} == {load_params(None, {"dataset": "x"}).min_goodput}
    assert all(burn * budget < 1 for burn, budget in limits)


def requests(labels: str, late_share: float, minutes: int, per_minute: int = 100) -> dict[str, str]:
    """Return the engine's series of requests that come evenly, some of them late."""
    in_time = per_minute * (1 - late_share)
    name = "vllm:time_to_first_token_seconds"
    return {
        f'{name}_bucket{{{labels}, pod="a", le="2.5"}}': f"0+{in_time:g}x{minutes}",
        f'{name}_bucket{{{labels}, pod="a", le="+Inf"}}': f"0+{per_minute}x{minutes}",
        f'{name}_count{{{labels}, pod="a"}}': f"0+{per_minute}x{minutes}",
    }


def answers(
    failed_share: float, minutes: int, per_minute: int = 100, outcome: str = "failed"
) -> dict[str, str]:
    """Return the router's series of requests that come evenly, some of them failing."""
    labels = f'component="live", {LIVE}, pod="b", route="/v1/completions"'
    counted = {
        "answered": 1 - failed_share,
        outcome: failed_share,
        "client_error": 5,
        "client_gone": 5,
    }
    series = {
        f'tunegate_router_requests_total{{{labels}, outcome="{name}"}}': f"0+{per_minute * share:g}x{minutes}"
        for name, share in counted.items()
    }
    health = f'component="live", {LIVE}, pod="b", route="/health", outcome="answered"'
    return series | {f"tunegate_router_requests_total{{{health}}}": f"0+{per_minute * 50}x{minutes}"}


def fires(
    promtool: str,
    rules_file: Path,
    series: dict[str, str],
    at_minutes: int,
    alert: str,
    severities: list[str],
) -> None:
    """Check which severities of one alert fire at a time; nothing else is looked at."""
    expr = f'count by (severity) (ALERTS{{alertname="{alert}", alertstate="firing"}})'
    counted = {s: severities.count(s) for s in severities}
    samples = [{"labels": f'{{severity="{s}"}}', "value": n} for s, n in counted.items()]
    test: dict[str, Any] = {
        "rule_files": [str(rules_file)],
        "evaluation_interval": "5m" if at_minutes > 600 else "1m",
        "tests": [
            {
                "interval": "1m",
                "input_series": [{"series": name, "values": values} for name, values in series.items()],
                "promql_expr_test": [{"expr": expr, "eval_time": f"{at_minutes}m", "exp_samples": samples}],
            }
        ],
    }
    path = rules_file.parent / "test.yaml"
    path.write_text(yaml.safe_dump(test))
    run(promtool, "test", "rules", str(path))


LATE = [
    ("as promised", 0.05, 1500, []),
    ("a bit too many", 0.15, 1500, ["warning"]),
    ("too many", 0.4, 1500, ["warning", "critical"]),
    ("nearly all", 0.9, 1500, ["warning", "critical", "critical"]),
    ("all", 1.0, 61, ["warning", "critical", "critical"]),
]


@pytest.mark.parametrize(("share", "minutes", "severities"), [x[1:] for x in LATE], ids=[x[0] for x in LATE])
def test_late_requests_are_told(
    promtool: str, rules_file: Path, share: float, minutes: int, severities: list[str]
) -> None:
    series = UP | requests(LIVE, share, minutes)

    fires(promtool, rules_file, series, minutes, "TunegateTimeToFirstTokenBurn", severities)


def test_what_is_over_is_not_told_any_more(promtool: str, rules_file: Path) -> None:
    name = "vllm:time_to_first_token_seconds"
    series = UP | {
        f'{name}_bucket{{{LIVE}, pod="a", le="2.5"}}': "0x60 0+100x180",
        f'{name}_count{{{LIVE}, pod="a"}}': "0+100x60 6000+100x180",
    }

    fires(
        promtool, rules_file, series, 60, "TunegateTimeToFirstTokenBurn", ["critical", "critical", "warning"]
    )
    fires(promtool, rules_file, series, 240, "TunegateTimeToFirstTokenBurn", [])


def test_a_candidate_under_stress_is_nobodys_emergency(promtool: str, rules_file: Path) -> None:
    up = {
        f'up{{component="engine", {CANDIDATE}}}': "1x3000",
        f'up{{component="router", {CANDIDATE}}}': "1x3000",
    }
    waiting = {f'vllm:num_requests_waiting{{{CANDIDATE}, pod="c"}}': "0+10x200"}
    series = UP | up | waiting | requests(CANDIDATE, 1.0, 200) | requests(LIVE, 0.01, 200)

    for alert in ("TunegateTimeToFirstTokenBurn", "TunegateQueueGrowing", "TunegateNoReadyReplica"):
        fires(promtool, rules_file, series, 200, alert, [])


FAILED = [
    ("none", 0.0, 120, []),
    ("as promised", 0.005, 1500, []),
    ("some", 0.02, 1500, ["warning"]),
    ("all", 1.0, 61, ["warning", "critical", "critical"]),
]


@pytest.mark.parametrize(
    ("share", "minutes", "severities"), [x[1:] for x in FAILED], ids=[x[0] for x in FAILED]
)
def test_failed_requests_are_told(
    promtool: str, rules_file: Path, share: float, minutes: int, severities: list[str]
) -> None:
    for outcome in ("failed", "broken"):
        series = UP | answers(share, minutes, per_minute=1000, outcome=outcome)

        fires(promtool, rules_file, series, minutes, "TunegateFailedRequestsBurn", severities)


LOST = [
    ("engines gone", {f'up{{component="live", {LIVE}}}': "1x60"}, ["critical"]),
    (
        "engines do not answer",
        {f'up{{component="live", {LIVE}}}': "1x60", f'up{{component="engine", {LIVE}}}': "0x60"},
        ["critical"],
    ),
    (
        "routers do not answer",
        {f'up{{component="live", {LIVE}}}': "0x60", f'up{{component="engine", {LIVE}}}': "1x60"},
        ["critical"],
    ),
    (
        "routers gone",
        {f'up{{component="live", {LIVE}}}': "1x52", f'up{{component="engine", {LIVE}}}': "1x60"},
        ["critical"],
    ),
    ("nothing served", {}, []),
    ("retired an hour ago", {f'up{{component="live", {LIVE}}}': "1x5"}, []),
    (
        "another was promoted and the old one retired",
        {
            f'up{{component="live", {LIVE}}}': "1x50",
            f'up{{component="engine", {LIVE}}}': "1x52",
            f'up{{component="live", {CANDIDATE}}}': "_x50 1x10",
            f'up{{component="engine", {CANDIDATE}}}': "1x60",
        },
        [],
    ),
    ("one of two answers", UP | {f'up{{component="engine", {LIVE}, pod="z"}}': "0x60"}, []),
]


@pytest.mark.parametrize(("series", "severities"), [x[1:] for x in LOST], ids=[x[0] for x in LOST])
def test_a_live_endpoint_that_nothing_answers_for_is_told(
    promtool: str, rules_file: Path, series: dict[str, str], severities: list[str]
) -> None:
    fires(promtool, rules_file, series, 60, "TunegateNoReadyReplica", severities)


QUEUES = [
    ("empty", "0x60", []),
    ("long, but shrinking", "600-10x60", []),
    ("growing", "0+2x60", ["warning"]),
    ("growing, short still", "0+0.1x60", []),
]


@pytest.mark.parametrize(("values", "severities"), [x[1:] for x in QUEUES], ids=[x[0] for x in QUEUES])
def test_a_queue_that_grows_is_told(
    promtool: str, rules_file: Path, values: str, severities: list[str]
) -> None:
    series = UP | {f'vllm:num_requests_waiting{{{LIVE}, pod="a"}}': values}

    fires(promtool, rules_file, series, 59, "TunegateQueueGrowing", severities)
