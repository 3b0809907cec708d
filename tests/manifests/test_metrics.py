"""The series that rules, dashboard and autoscaling ask for are those that vLLM and our router have."""

import ast
import importlib.util
import json
import re
import socket
import subprocess
import sys
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from tenacity import retry, stop_after_delay, wait_fixed

from components.router.orders import RouterConfig, command
from pipelines.reading import load_params
from tests.manifests.rendering import find, rendered, scaled

SUFFIXES = {"gauge": [""], "counter": ["_total"], "histogram": ["_bucket", "_count", "_sum"]}
NAME = re.compile(r"\b(?:vllm|tunegate)[_:][a-zA-Z0-9_:]+")


def expressions() -> list[str]:
    """Return every PromQL expression that is shipped."""
    dashboard = json.loads(find("monitoring", "ConfigMap", "tunegate-dashboard")["data"]["dashboard.json"])
    shown = [target["expr"] for panel in dashboard["panels"] for target in panel["targets"]]
    ruled = [rule["expr"] for rule in rules()]
    scaling = [trigger["metadata"]["query"] for trigger in scaled()["spec"]["triggers"]]
    return [*shown, *ruled, *scaling]


def rules() -> list[dict[str, str]]:
    return [
        rule
        for manifest in rendered("monitoring")
        if manifest["kind"] == "PrometheusRule"
        for group in manifest["spec"]["groups"]
        for rule in group["rules"]
    ]


def asked_for(prefix: str) -> set[str]:
    return {name for text in expressions() for name in NAME.findall(text) if name.startswith(prefix)}


def vllm_source(file: str) -> ast.Module:
    """Return a module of the installed vLLM without importing it, which takes half a minute."""
    found = importlib.util.find_spec("vllm")
    if found is None or found.origin is None:
        pytest.skip("vLLM is not installed")
    return ast.parse((Path(found.origin).parent / file).read_text(encoding="utf-8"))


def test_series_of_the_engines_are_those_that_vllm_has() -> None:
    known = set()
    for call in ast.walk(vllm_source("v1/metrics/loggers.py")):
        if isinstance(call, ast.Call) and isinstance(call.func, ast.Attribute):
            kind = call.func.attr.strip("_").removesuffix("_cls")
            names = [
                str(k.value.value)
                for k in call.keywords
                if k.arg == "name" and isinstance(k.value, ast.Constant)
            ]
            known |= {f"{name}{suffix}" for name in names for suffix in SUFFIXES.get(kind, [])}

    asked = asked_for("vllm:")
    assert len(asked) > 6
    assert asked <= known


def test_late_is_counted_from_the_first_bucket_that_is_not_below_the_objective() -> None:
    buckets: list[float] = []
    for statement in vllm_source("v1/metrics/buckets.py").body:
        if isinstance(statement, ast.AnnAssign) and statement.value is not None:
            assigned = {ast.unparse(statement.target): statement.value}
            if found := assigned.get("TIME_TO_FIRST_TOKEN_BUCKETS"):
                buckets = list(ast.literal_eval(found))
    objective_s = load_params(None, {"dataset": "x"}).slo_ttft_ms / 1000
    wanted = min(bucket for bucket in buckets if bucket >= objective_s)

    bounds = {b for rule in rules() for b in re.findall(r'seconds_bucket\{le="([0-9.]+)"\}', rule["expr"])}
    assert {float(bound) for bound in bounds} == {wanted}


def test_recorded_series_are_recorded() -> None:
    recorded = {rule["record"] for rule in rules() if "record" in rule}

    assert asked_for("tunegate:") == recorded  # and none for nothing


@contextmanager
def running_router(folder: Path, worker: str) -> Iterator[tuple[str, str]]:
    """Run a router before one worker; give its address and that of its metrics."""
    with socket.socket() as one, socket.socket() as two:
        for free in (one, two):
            free.bind(("127.0.0.1", 0))
        port, metrics_port = one.getsockname()[1], two.getsockname()[1]
    path = folder / "router.json"
    RouterConfig(port, metrics_port, [worker], max_model_len=2048).write(path)
    process = subprocess.Popen(command(path), stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        wait_for(f"http://127.0.0.1:{metrics_port}/ready")
        yield f"http://127.0.0.1:{port}", f"http://127.0.0.1:{metrics_port}/metrics"
    finally:
        process.terminate()
        process.wait(30)


@retry(stop=stop_after_delay(60), wait=wait_fixed(0.2), reraise=True)
def wait_for(url: str) -> None:
    with urllib.request.urlopen(url, timeout=10):
        pass


def ask(url: str, model: str) -> int:
    body = json.dumps({"model": model, "prompt": "a", "max_tokens": 2}).encode()
    request = urllib.request.Request(f"{url}/v1/completions", body, {"Content-Type": "application/json"})
    try:
        with urllib.request.urlopen(request, timeout=30) as response:
            return int(response.status)
    except urllib.error.HTTPError as error:
        return error.code


def test_the_router_counts_what_the_rules_take_it_to_count(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    stand_in = Path(__file__).parents[1] / "components/serve/replica_server.py"
    options = [
        "--host",
        "127.0.0.1",
        "--port",
        str(port),
        "--base",
        "base",
        "--adapter",
        "pet",
        "--answer",
        "yes",
    ]
    worker = subprocess.Popen([sys.executable, str(stand_in), *options])
    try:
        wait_for(f"http://127.0.0.1:{port}/health")
        with running_router(tmp_path, f"http://127.0.0.1:{port}") as (url, metrics_url):
            answered = [ask(url, "pet") for _ in range(3)]
            mistaken = ask(url, "no-such-model")
            worker.kill()
            worker.wait()
            lost = ask(url, "pet")
            with urllib.request.urlopen(metrics_url, timeout=10) as response:
                series = dict(
                    re.findall(
                        r"^(tunegate_router_[^ {]+(?:{[^}]*})?) (\S+)$", response.read().decode(), re.M
                    )
                )
    finally:
        worker.kill()
        worker.wait()

    assert (answered, mistaken, lost) == ([200] * 3, 404, 503)
    counted = {
        outcome: series[f'tunegate_router_requests_total{{outcome="{outcome}",route="/v1/completions"}}']
        for outcome in ("answered", "client_error", "failed", "broken")
    }
    assert counted == {"answered": "3.0", "client_error": "1.0", "failed": "1.0", "broken": "0.0"}
    assert series['tunegate_router_responses_total{code="503",route="/v1/completions"}'] == "1.0"
    assert (series["tunegate_router_replicas_known"], series["tunegate_router_replicas_healthy"]) == (
        "1.0",
        "0.0",
    )
    asked = asked_for("tunegate_router_")
    assert len(asked) == 3
    assert asked <= {name.partition("{")[0] for name in series}
