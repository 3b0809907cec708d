"""A sweep: what is measured, what is read back, and what the release of the best one need not do again."""

import os
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest

from components.checks import Verdict, at_least
from components.errors import InvalidInput, TunegateError
from components.progress import Progress
from components.tracking import runs
from components.tracking.stage import open_stage
from pipelines import experiment
from pipelines.experiment import sweep
from pipelines.lock import Busy, exclusive
from pipelines.params import ReleaseParams
from pipelines.trial import SWEEP_TAG, best, read_sweep


class StandIn:
    """Stands in for the graph's process: records what a trial would."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, gains: dict[int, float]) -> None:
        self.monkeypatch, self.gains = monkeypatch, gains
        self.started: list[tuple[str, ...]] = []
        self.interrupted_at = 0

    def __call__(
        self, params: ReleaseParams, trial_id: str, folder: Path, follow: Any, *options: str
    ) -> bool:
        self.started.append(options)
        assert params.dataset_digest and not params.skip_unchanged
        assert not folder.exists()
        with self.monkeypatch.context() as patch:
            patch.setenv("RELEASE_ID", trial_id)
            if params.lora_r == self.interrupted_at:
                return True
            with suppress(MemoryError):  # in the real one it ends the graph's process
                self._stages(params)
        return False

    def _stages(self, params: ReleaseParams) -> None:
        with open_stage("finetune", {"lora_r": params.lora_r}) as stage:
            if params.lora_r not in self.gains:
                raise MemoryError("it does not fit")
            stage.metrics({"train_seconds": 3.0 * params.lora_r})
        with open_stage("quality-gate", {}) as stage:
            gain = self.gains[params.lora_r]
            check = at_least("token_f1_gain_low", gain, params.quality_margin, "share", "told so")
            stage.verdict(Verdict(stage="quality", checks=(check,)))
            stage.metrics({"gain": gain + 0.1, "gain_low": gain, "gain_high": gain + 0.2})


@pytest.fixture
def graph(state: Path, monkeypatch: pytest.MonkeyPatch) -> StandIn:
    made = StandIn(monkeypatch, {4: 0.01, 8: 0.6, 16: 0.5})
    monkeypatch.setattr(experiment, "run_process", made)
    monkeypatch.delenv("RELEASE_ID")
    return made


@pytest.fixture
def params(tmp_path: Path) -> ReleaseParams:
    rows = tmp_path / "rows.jsonl"
    rows.write_text('{"instruction": "a", "output": "b"}\n')
    return ReleaseParams(dataset=str(rows), skip_unchanged=True)


RANKS = [{"lora_r": 4}, {"lora_r": 8}, {"lora_r": 16}]


def test_trials_are_read_back_from_mlflow_in_their_order(graph: StandIn, params: ReleaseParams):
    said: list[Progress] = []
    trials = sweep(params, RANKS, said.append)
    assert graph.started == [("--trial",)] * 3
    assert [trial.setting for trial in trials] == RANKS
    assert [trial.status for trial in trials] == ["failed", "passed", "passed"]
    assert [trial.metrics["train_seconds"] for trial in trials] == [12, 24, 48]
    assert trials[0].why == "Refused at the quality gate: of 1 check, 1 failed." and not trials[1].why
    assert trials[1].params.lora_r == 8 and trials[1].params.eval_dataset == ""
    assert read_sweep(trials[0].sweep_id) == trials
    assert best(trials) == trials[1]
    assert [line.text for line in said[:2]] == ["lora_r=4", "quality gate failed"]
    run = runs.client().get_run(runs.parent_run(runs.client(), trials[1].trial_id))
    assert (run.info.run_name, run.info.status) == ("lora_r=8", "FINISHED")


def test_a_trial_that_breaks_stops_no_other(graph: StandIn, params: ReleaseParams):
    trials = sweep(params, [{"lora_r": 512}, {"lora_r": 8}])
    assert [trial.status for trial in trials] == ["broken", "passed"]
    assert "MemoryError: it does not fit" in trials[0].why
    assert best(trials).setting == {"lora_r": 8}
    with pytest.raises(TunegateError, match=r"no trial got as far(?s:.*)lora_r=512: .*does not fit"):
        best(trials[:1])


def test_ctrl_c_keeps_what_was_measured(graph: StandIn, params: ReleaseParams):
    graph.interrupted_at = 8
    with pytest.raises(KeyboardInterrupt):
        sweep(params, RANKS)
    assert len(graph.started) == 2
    client = runs.client()
    (experiment_id,) = [e.experiment_id for e in client.search_experiments() if e.name == runs.EXPERIMENT]
    found = client.search_runs([experiment_id], f"tags.`{SWEEP_TAG}` LIKE '%'")
    assert sorted(run.info.status for run in found) == ["FAILED", "FINISHED"]
    left = read_sweep(found[0].data.tags[SWEEP_TAG])
    assert [trial.status for trial in left] == ["failed", "broken"]
    assert best(left).setting == {"lora_r": 4}


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        pytest.param([], ["got none, wanted one mapping for each trial"], id="none"),
        pytest.param([{"lora_q": 4}], ["setting 1 (lora_q=4)", "did you mean lora_r?"], id="no such"),
        pytest.param(
            [{"replicas": 1}, {"lora_r": 0}],
            ["2 problems", "replicas has to be the same for all", "setting 2 (lora_r=0): lora_r: got 0"],
            id="all at once",
        ),
        pytest.param([{"lora_r": 4}] * 2, ["setting 2 (lora_r=4): is that of setting 1"], id="twice"),
        pytest.param([{"base_model": "pypi:nope"}], ["'nope' is not installed"], id="no such model"),
    ],
)
def test_bad_settings_are_refused_before_anything_starts(
    graph: StandIn, params: ReleaseParams, settings: list[dict[str, Any]], words: list[str]
):
    with pytest.raises(InvalidInput) as refused:
        sweep(params, settings)
    for said in words:
        assert said in str(refused.value)
    assert not graph.started


def test_bad_settings_hide_no_dataset_that_is_missing(graph: StandIn, params: ReleaseParams):
    elsewhere = params.model_copy(update={"dataset": "nowhere.jsonl"})
    with pytest.raises(InvalidInput) as refused:
        sweep(elsewhere, [{"lora_r": 0}])
    for said in ("setting 1 (lora_r=0): lora_r: got 0", "dataset nowhere.jsonl"):
        assert said in str(refused.value)


def test_a_sweep_waits_for_no_release(graph: StandIn, params: ReleaseParams):
    with exclusive("release r"), pytest.raises(Busy, match=f"release r \\(process {os.getpid()}\\)"):
        sweep(params, RANKS)
    assert not graph.started


def test_a_sweep_that_was_never_made(state: Path):
    with pytest.raises(InvalidInput, match=r"sweep 'nope'(?s:.*)has no such sweep"):
        read_sweep("nope")
