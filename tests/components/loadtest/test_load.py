import os
import subprocess
import sys
import time
from pathlib import Path
from statistics import median

import psutil
import pytest

from components.conversations import Message, Prompt
from components.errors import TunegateError
from components.loadtest.client import ChatEndpoint
from components.loadtest.load import Load, LoadPlan
from tests.components.loadtest.stream_server import stream_server


def prompt(question: str) -> Prompt:
    return Prompt(messages=(Message(role="user", content=question),))


def plan_for(
    url: str, folder: Path, seconds: float, max_tokens: int = 4, users: int = 4, long_users: int = 0
) -> LoadPlan:
    return LoadPlan(
        endpoint=ChatEndpoint(base_url=url, model_name="tuned", max_tokens=max_tokens, timeout_s=20),
        normal_prompts=[prompt(f"question {number}") for number in range(3)],
        long_prompts=[prompt("a long question")],
        users=users,
        long_users=long_users,
        seconds=seconds,
        log=folder / "steady.requests.jsonl",
    )


def run_to_the_end(load: Load) -> None:
    try:
        while not load.finished():
            time.sleep(0.05)
    finally:
        load.end()


@pytest.mark.quiet
def test_locust_measures_what_the_server_sent(tmp_path: Path):
    with stream_server(ttft_s=0.2, itl_s=0.025) as server:
        load = Load(plan_for(server.url, tmp_path, 4, max_tokens=16, long_users=1), tmp_path)
        run_to_the_end(load)
        truth = server.served
    records = load.records
    lasted = max(r.started_at for r in records) - min(r.started_at for r in records)
    assert 2 < lasted < 4.5
    assert len(records) == len(truth) >= 16
    assert {record.outcome for record in records} == {"ok"}
    assert {len(record.gaps_ms) for record in records} == {15}
    for measured, true in [
        ([r.ttft_ms for r in records], [s.ttft_ms for s in truth]),
        ([r.itl_ms for r in records], [s.itl_ms for s in truth]),
        ([r.e2e_ms for r in records], [(s.done_at - s.got_at) * 1000 for s in truth]),
    ]:
        assert median(measured) == pytest.approx(median(true), rel=0.05)
    asked = {"normal": set(), "long": set()}
    for served in truth:
        content = served.body["messages"][0]["content"]
        asked["long" if "long" in content else "normal"].add(content)
    assert len(asked["normal"]) == 3 and len(asked["long"]) == 1
    shares = [sum(r.user_class == c for r in records) / len(records) for c in ("normal", "long")]
    assert shares == pytest.approx([0.75, 0.25], abs=0.1)
    assert 0 < load.client_cpu_share < 1


def test_failures_are_records_and_users_pause_after_them(tmp_path: Path):
    with stream_server() as server:
        server.fault = lambda token: 503
        load = Load(plan_for(server.url, tmp_path, 1.5, users=2), tmp_path)
        run_to_the_end(load)
    assert {record.outcome for record in load.records} == {"http_503"}
    assert 2 <= len(load.records) <= 6


def test_a_load_on_a_slow_service_goes_on_for_enough_requests(tmp_path: Path):
    with stream_server(ttft_s=0.5) as server:
        plan = plan_for(server.url, tmp_path, 0.5, max_tokens=1, users=2, long_users=1)
        load = Load(plan.model_copy(update={"fewest_requests": 6, "warm_up_s": 0.1}), tmp_path)
        run_to_the_end(load)
    assert all(sum(r.user_class == kind for r in load.records) >= 7 for kind in ("normal", "long"))


def test_a_load_that_fails_says_why(tmp_path: Path):
    plan = plan_for("http://127.0.0.1:9", tmp_path, 1).model_copy(update={"log": tmp_path / "no" / "log"})
    with pytest.raises(TunegateError, match=r"(?s)locust ended with code .*No such file"):
        run_to_the_end(Load(plan, tmp_path))


OWNER = """
import sys, time
from pathlib import Path
from components.loadtest.load import Load, LoadPlan
plan = LoadPlan.model_validate_json(Path(sys.argv[1]).read_text())
load = Load(plan, Path(sys.argv[1]).parent)
while not load.records:
    load.finished()
print(load._process.pid, flush=True)
time.sleep(60)
"""


def test_a_load_ends_with_its_owner(tmp_path: Path):
    with stream_server() as server:
        path = tmp_path / "plan.json"
        path.write_text(plan_for(server.url, tmp_path, 60).model_dump_json())
        command = [sys.executable, "-c", OWNER, str(path)]
        environment = {**os.environ, "PYTHONPATH": str(Path(__file__).parents[3])}
        with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=environment) as owner:
            try:
                locust = psutil.Process(int(owner.stdout.readline()))
            finally:
                owner.kill()
        psutil.wait_procs([locust], timeout=20)
        assert not locust.is_running() or locust.status() == psutil.STATUS_ZOMBIE
