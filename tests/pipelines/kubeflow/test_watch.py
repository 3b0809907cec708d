"""Following a run: what is told of each stage, and how it is said to have ended."""

import re
from pathlib import Path

import pytest
from mlflow.exceptions import MlflowException
from typer.testing import CliRunner

from components.checks import Verdict, at_least
from components.errors import TunegateError
from components.progress import Progress
from components.serve.ports import free_port
from components.tracking import runs
from components.tracking.stage import open_stage
from pipelines.cli import app
from pipelines.kubeflow import watch as watching
from pipelines.kubeflow.settings import ClientSettings
from pipelines.kubeflow.watch import watch
from tests.pipelines.kubeflow.back_end import BackEnd, Frame

TO_GATE = {"validate-dataset": "SKIPPED", "finetune": "SUCCEEDED", "evaluate": "SUCCEEDED"}
SHIPPED = {
    **TO_GATE,
    "quality-gate": "SUCCEEDED",
    "push-image": "SUCCEEDED",
    "deploy": "SUCCEEDED",
    "stress": "SUCCEEDED",
    "service-gate": "SUCCEEDED",
}
REFUSED = {**TO_GATE, "quality-gate": "SUCCEEDED", "refuse": "SUCCEEDED", "close-release": "SUCCEEDED"}


@pytest.fixture(autouse=True)
def no_wait(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(watching, "POLL_S", 0)
    monkeypatch.setattr(watching.time, "sleep", lambda seconds: None)
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)


@pytest.mark.parametrize(
    ("last", "ending", "code", "words"),
    [
        pytest.param(
            ("SUCCEEDED", {**SHIPPED, "promote": "SUCCEEDED"}), "promoted", 0, "PROMOTED", id="promoted"
        ),
        pytest.param(("SUCCEEDED", REFUSED), "refused", 3, "REFUSED", id="refused"),
        pytest.param(
            ("FAILED", {**REFUSED, "refuse": "FAILED"}), "refused", 3, "REFUSED", id="fail_on_reject"
        ),
        pytest.param(
            ("FAILED", {**TO_GATE, "evaluate": "FAILED", "close-release": "SUCCEEDED"}),
            "failed",
            1,
            "evaluate: evaluate broke",
            id="a stage failed",
        ),
        pytest.param(("FAILED", {}), "failed", 1, "FAILED", id="nothing was started"),
        pytest.param(
            ("CANCELED", {**TO_GATE, "finetune": "CANCELED"}), "cancelled", 130, "stopped", id="cancelled"
        ),
        pytest.param(("SKIPPED", {}), "skipped", 0, "not started", id="skipped"),
        pytest.param(
            ("SUCCEEDED", {"validate-dataset": "SUCCEEDED", "find-champion": "SUCCEEDED"}),
            "skipped",
            0,
            "SKIPPED: as Kubeflow Pipelines tells it",
            id="nothing new",
        ),
        pytest.param(
            ("SUCCEEDED", {"find-champion": "SUCCEEDED", "refuse": "SKIPPED", "refuse-2": "SKIPPED"}),
            "skipped",
            0,
            "SKIPPED",
            id="nothing new, with the tasks of the branches",
        ),
        pytest.param(
            ("FAILED", {**TO_GATE, "refuse": "SKIPPED"}), "failed", 1, "FAILED", id="failed outside a stage"
        ),
    ],
)
def test_endings(back_end: BackEnd, last: Frame, ending: str, code: int, words: str):
    back_end.play("r", ("RUNNING", {"validate-dataset": "RUNNING"}), last)
    ended = watch("r")
    assert ended.ending == ending
    assert words in "\n".join(ended.lines)
    assert ended.url == f"{back_end.host}/#/runs/details/r"
    said = CliRunner().invoke(app, ["watch", "r"])
    assert said.exit_code == code, said.output
    assert words in said.output


def test_each_change_of_a_stage_is_told_once(back_end: BackEnd):
    back_end.play(
        "r",
        ("PENDING", {}),
        ("RUNNING", {"root-driver": "RUNNING", "validate-dataset": "RUNNING"}),
        ("RUNNING", {"validate-dataset": "RUNNING"}),
        ("RUNNING", {"validate-dataset": "SUCCEEDED", "finetune": "PENDING"}),
        ("CANCELING", {"validate-dataset": "SUCCEEDED", "finetune": "RUNNING"}),
        ("FAILED", {"validate-dataset": "SUCCEEDED", "finetune": "FAILED"}),
    )
    lines: list[Progress] = []
    watch("r", lines.append)
    assert [(line.stage, line.kind, line.text) for line in lines] == [
        ("dataset", "started", ""),
        ("dataset", "finished", "60 s"),
        ("finetune", "started", ""),
        ("finetune", "failed", "finetune broke"),
    ]


def test_a_back_end_that_tells_no_tasks(back_end: BackEnd):
    back_end.knows_tasks = False
    back_end.play("r", ("RUNNING", {}), ("SUCCEEDED", {}))
    ended = watch("r")
    assert ended.ending == "unknown" and "MLFLOW_TRACKING_URI" in ended.lines[-1]


def test_with_the_records_the_summary_is_the_cards(
    back_end: BackEnd, state: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setenv("RELEASE_ID", "r")
    with open_stage("quality-gate", {}) as stage:
        stage.verdict(
            Verdict(stage="quality", checks=(at_least("gain_low", 0.1, 0.2, "share", "it is too small"),))
        )
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"sqlite:///{state / 'mlflow.db'}")
    back_end.play("r", ("SUCCEEDED", {}))
    ended = watch("r")
    assert ended.ending == "refused"
    assert "it is too small" in "\n".join(ended.lines)
    back_end.play("other", ("SUCCEEDED", REFUSED))
    assert "no record of this release" in watch("other").lines[-1]


def test_records_that_can_not_be_read_leave_what_kubeflow_says(
    back_end: BackEnd, monkeypatch: pytest.MonkeyPatch
):
    def away(*_: object) -> None:
        raise MlflowException("the server is away")

    monkeypatch.setenv("MLFLOW_TRACKING_URI", "sqlite://")
    monkeypatch.setattr(runs, "find_parent_run", away)
    back_end.play("r", ("SUCCEEDED", REFUSED))
    ended = watch("r")
    assert ended.ending == "refused"
    assert ended.lines[-1] == ("its records could not be read (the server is away); the card is in the UI")


def test_records_of_a_server_that_does_not_answer_are_not_waited_for(
    back_end: BackEnd, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"http://127.0.0.1:{free_port(set())}")
    monkeypatch.setattr(runs, "find_parent_run", None)
    back_end.play("r", ("SUCCEEDED", REFUSED))
    assert re.search(r"could not be read \(.*127.0.0.1.*refused.*\); the card is", watch("r").lines[-1])


def test_the_newest_run_is_the_default(back_end: BackEnd):
    said = CliRunner().invoke(app, ["watch"])
    assert said.exit_code == 1 and "no run in experiment 'tunegate' yet" in said.output
    assert not back_end.experiments  # reading makes nothing


@pytest.mark.parametrize(
    ("frames", "words"),
    [
        pytest.param([("RUNNING", {}), ("LOST", {})], "was deleted while it was watched", id="deleted"),
        pytest.param([("LOST", {})], "run r: not found", id="never there"),
    ],
)
def test_a_run_that_is_not_there(back_end: BackEnd, frames: list[Frame], words: str):
    back_end.play("r", *frames)
    with pytest.raises(TunegateError, match=words):
        watch("r")


def test_an_outage_is_sat_out_but_not_for_ever(back_end: BackEnd, monkeypatch: pytest.MonkeyPatch):
    back_end.play("r", ("SUCCEEDED", {**SHIPPED, "promote": "SUCCEEDED"}))
    back_end.faults = [503] * 12
    assert watch("r").ending == "promoted"
    monkeypatch.setattr(watching, "PATIENCE", 1)
    back_end.faults = [503] * 12
    with pytest.raises(TunegateError, match="failed with 503"):
        watch("r")


def test_a_token_that_expires_meanwhile_ends_it_at_once(back_end: BackEnd):
    def expire(line: Progress) -> None:
        back_end.token = "new"

    back_end.token = "old"
    back_end.play("r", ("RUNNING", {"validate-dataset": "RUNNING"}))
    with pytest.raises(TunegateError, match="has expired; renew"):
        watch("r", expire, settings=ClientSettings(host=back_end.host, token="old"))
    assert len(back_end.seen_tokens) == 2


def test_submit_says_where_the_run_is_and_refuses_all_problems_at_once(back_end: BackEnd):
    own = ["submit", "--dataset", back_end.dataset, "--set", "image_repository=registry.example.com/pets"]
    said = CliRunner().invoke(app, own)
    (run_id,) = back_end.runs
    assert said.exit_code == 0 and f"/#/runs/details/{run_id}" in said.output
    typed = [f"--set={given}" for given in ("lora_r=0", "replicas=two", "lora_q=1")]
    gone = ["--eval-dataset", f"{back_end.host}/gone.jsonl", "--base-model", "./mine"]
    wrong = CliRunner().invoke(app, [*own, *typed, *gone])
    assert wrong.exit_code == 1 and "5 problems" in wrong.output, wrong.output
    for words in (
        "lora_r: got '0'",
        "replicas: got 'two'",
        "lora_q: no such parameter",
        "eval_dataset http://127.0.0.1",
        "base_model: got './mine'",
    ):
        assert words in wrong.output
    assert len(back_end.runs) == 1
