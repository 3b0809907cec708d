"""The graph itself, run by kfp.local: which stages run, in which order, on which branch."""

import json
import os
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

import pytest

from pipelines.params import ReleaseParams

STAND_INS = Path(__file__).parent / "stand_ins"
TO_THE_FIRST_GATE = ["dataset", "champion", "finetune", "evaluate", "quality-gate"]
TO_THE_SECOND_GATE = [*TO_THE_FIRST_GATE, "image", "deploy", "stress", "service-gate"]

pytestmark = [pytest.mark.release, pytest.mark.timeout(900)]


class Graph:
    """Runs the graph in a state directory of its own and tells which stages ran."""

    model: ClassVar[type[ReleaseParams]] = ReleaseParams
    starts: Sequence[str] = ("-m", "pipelines.local_graph")

    def __init__(self, home: Path) -> None:
        self.home = home

    def run(
        self, quality="passed", service="passed", fails="", cache=False, champion="", **params
    ) -> list[str]:
        log, params_file = self.home / "stages.log", self.home / "params.json"
        log.unlink(missing_ok=True)
        params_file.write_text(self.model(dataset="rows.jsonl", **params).model_dump_json())
        environment = {
            **os.environ,
            "PYTHONPATH": str(STAND_INS),
            "TUNEGATE_HOME": str(self.home),
            "RELEASE_ID": "graph-test",
            "STAND_IN_LOG": str(log),
            "STAND_IN_VERDICTS": json.dumps({"quality": quality, "service": service}),
            "STAND_IN_FAILS": fails,
            "STAND_IN_CHAMPION": champion,
        }
        command = [sys.executable, *self.starts, str(params_file)]
        self.ended = subprocess.run(
            command + ["--no-cache"] * (not cache), env=environment, capture_output=True, text=True
        )
        return log.read_text().split() if log.exists() else []


class TrialGraph(Graph):
    starts = ("-m", "pipelines.local_graph", "--trial")


@dataclass(frozen=True)
class Ran:
    """A run of the graph that is over: its stages in their order, its exit code and what it said."""

    stages: list[str]
    code: int
    said: str


@pytest.fixture(scope="module")
def ran(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Ran]:
    """Every branch once, one after the other in one state directory; each differs from one before as told."""
    home = tmp_path_factory.mktemp("state")
    release, trial, found = Graph(home), TrialGraph(home), {}

    def run(name: str, graph: Graph = release, cache: bool = True, **changed: Any) -> None:
        stages = graph.run(cache=cache, **changed)
        found[name] = Ran(stages, graph.ended.returncode, graph.ended.stdout + graph.ended.stderr)

    run("trial", trial, lora_r=4)
    run("another trial", trial, lora_r=8, quality="failed")
    run("release of the trial", lora_r=4)
    run("unchanged", lora_r=4)
    run("service refused, evaluated otherwise", lora_r=4, max_new_tokens=8, service="failed")
    new = {"lora_r": 4, "dataset_digest": "sha256:other"}
    run("new content", **new)
    run("another champion, inconclusive", **new, champion="4", quality="inconclusive")
    run("a failed run if refused", **new, champion="4", quality="failed", fail_on_reject=True)
    run("evaluate fails", **new, champion="5", fails="evaluate")
    run("champion has seen the same", **new, champion="unchanged")
    of_another = {"champion_dataset": "sha256:rows", "champion": "unchanged"}
    run("another dataset to compare with", **new, **of_another)
    run("the same without the cache", **new, champion="unchanged", cache=False)
    return found


def test_both_gates_pass(ran: dict[str, Ran]):
    """New content of the dataset leaves no stage cached."""
    got = ran["new content"]
    assert got.stages == [*TO_THE_SECOND_GATE, "promote", "promoted", "closed"], got.said
    assert got.code == 0


def test_the_cache_skips_finished_stages_and_never_a_gate(ran: dict[str, Ran]):
    got = ran["unchanged"]
    skipped = {"dataset", "finetune", "evaluate", "image"}
    again = [stage for stage in TO_THE_SECOND_GATE if stage not in skipped]
    assert got.stages == [*again, "promote", "promoted", "closed"], got.said
    assert got.code == 0


def test_the_service_gate_refuses_and_a_later_knob_leaves_earlier_stages_cached(ran: dict[str, Ran]):
    got = ran["service refused, evaluated otherwise"]
    anew = [stage for stage in TO_THE_SECOND_GATE if stage not in {"dataset", "finetune"}]
    assert got.stages == [*anew, "refuse", "refused", "closed"], got.said
    assert got.code == 0


def test_another_champion_is_compared_with_anew_and_an_inconclusive_verdict_does_not_ship(
    ran: dict[str, Ran],
):
    got = ran["another champion, inconclusive"]
    assert got.stages == ["champion", "evaluate", "quality-gate", "refuse", "refused", "closed"], got.said
    assert got.code == 0


def test_a_refused_release_is_a_failed_run_where_that_is_asked_for(ran: dict[str, Ran]):
    got = ran["a failed run if refused"]
    assert got.stages == ["champion", "quality-gate", "refuse", "refused", "closed"], got.said
    assert got.code == 1
    assert "fail_on_reject" in got.said


def test_a_stage_that_fails_stops_the_release_and_closes_it(ran: dict[str, Ran]):
    got = ran["evaluate fails"]
    assert got.stages == ["champion", "evaluate", "closed"], got.said
    assert got.code == 1


def test_nothing_is_trained_where_the_champion_has_seen_the_same(ran: dict[str, Ran]):
    got = ran["champion has seen the same"]
    assert got.stages == ["champion", "closed"], got.said
    assert got.code == 0


def test_another_dataset_to_compare_with_is_compared_with_anew(ran: dict[str, Ran]):
    got = ran["another dataset to compare with"]
    assert got.stages == ["dataset", "champion", "closed"], got.said
    assert got.code == 0


def test_without_the_cache_a_finished_stage_runs_again(ran: dict[str, Ran]):
    got = ran["the same without the cache"]
    assert got.stages == ["dataset", "champion", "closed"], got.said
    assert got.code == 0


def test_a_trial_ends_at_the_quality_gate_and_its_release_takes_the_stages_from_the_cache(
    ran: dict[str, Ran],
):
    first, second, release = ran["trial"], ran["another trial"], ran["release of the trial"]
    assert first.stages == TO_THE_FIRST_GATE, first.said
    assert second.stages == [stage for stage in TO_THE_FIRST_GATE if stage != "dataset"], second.said
    assert [first.code, second.code] == [0, 0]
    rest = TO_THE_SECOND_GATE[len(TO_THE_FIRST_GATE) :]
    assert release.stages == ["champion", "quality-gate", *rest, "promote", "promoted", "closed"], (
        release.said
    )
