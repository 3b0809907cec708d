"""The graph itself, run by kfp.local: which stages run, in which order, on which branch."""

import json
import os
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import ClassVar

import pytest

from pipelines.params import ReleaseParams

STAND_INS = Path(__file__).parent / "stand_ins"
TO_THE_FIRST_GATE = ["dataset", "champion", "finetune", "evaluate", "quality-gate"]
TO_THE_SECOND_GATE = [*TO_THE_FIRST_GATE, "image", "deploy", "stress", "service-gate"]


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


@pytest.fixture
def graph(tmp_path: Path) -> Graph:
    return Graph(tmp_path)


@pytest.mark.parametrize(
    ("quality", "service", "stages"),
    [
        pytest.param(
            "passed", "passed", [*TO_THE_SECOND_GATE, "promote", "promoted", "closed"], id="both gates pass"
        ),
        pytest.param(
            "passed",
            "failed",
            [*TO_THE_SECOND_GATE, "refuse", "refused", "closed"],
            id="service gate refuses",
        ),
        pytest.param(
            "failed", "passed", [*TO_THE_FIRST_GATE, "refuse", "refused", "closed"], id="quality gate refuses"
        ),
        pytest.param(
            "inconclusive",
            "passed",
            [*TO_THE_FIRST_GATE, "refuse", "refused", "closed"],
            id="an inconclusive verdict does not ship",
        ),
    ],
)
def test_branches(graph: Graph, quality: str, service: str, stages: list[str]):
    assert graph.run(quality, service) == stages, graph.ended.stdout
    assert graph.ended.returncode == 0


def test_nothing_is_trained_where_the_champion_has_seen_the_same(graph: Graph):
    assert graph.run(champion="unchanged") == ["dataset", "champion", "closed"]
    assert graph.ended.returncode == 0


def test_another_champion_is_compared_with_anew(graph: Graph):
    everything = [*TO_THE_SECOND_GATE, "promote", "promoted", "closed"]
    assert graph.run(champion="3", cache=True) == everything
    assert graph.run(champion="4", cache=True)[:3] == ["champion", "evaluate", "quality-gate"]


def test_a_refused_release_is_a_failed_run_where_that_is_asked_for(graph: Graph):
    stages = graph.run(quality="failed", fail_on_reject=True)
    assert stages == [*TO_THE_FIRST_GATE, "refuse", "refused", "closed"]
    assert graph.ended.returncode == 1
    assert "fail_on_reject" in graph.ended.stdout


def test_a_stage_that_fails_stops_the_release_and_closes_it(graph: Graph):
    assert graph.run(fails="evaluate") == ["dataset", "champion", "finetune", "evaluate", "closed"]
    assert graph.ended.returncode == 1


def test_the_cache_skips_finished_stages_and_never_a_gate(graph: Graph):
    everything = [*TO_THE_SECOND_GATE, "promote", "promoted", "closed"]
    assert graph.run(cache=True) == everything
    again = [stage for stage in everything if stage not in {"dataset", "finetune", "evaluate", "image"}]
    assert graph.run(cache=True) == again, graph.ended.stdout
    # A knob of a later stage leaves the earlier ones cached; new content of the dataset leaves none.
    assert graph.run(cache=True, max_new_tokens=8) == [
        "champion",
        "evaluate",
        "quality-gate",
        "image",
        *again[2:],
    ]
    assert graph.run(cache=True, dataset_digest="sha256:other") == everything
