"""Schedules, against a back end that holds every request against the API's models."""

import pytest
from typer.testing import CliRunner

from components.errors import InvalidInput, TunegateError
from pipelines.cli import app
from pipelines.kubeflow.params import KubeflowParams
from pipelines.kubeflow.schedule import delete, pause, resume, schedule, schedules
from tests.pipelines.kubeflow.back_end import BackEnd

IMAGES = "registry.example.com/pets"


@pytest.fixture
def params(back_end: BackEnd) -> KubeflowParams:
    return KubeflowParams(dataset=back_end.dataset, image_repository=IMAGES, model_name="pets")


def test_one_at_a_time_and_none_for_missed_times(back_end: BackEnd, params: KubeflowParams):
    made = schedule(params.model_copy(update={"champion_dataset": "of today"}), "0 0 3 * * 1")
    sent = back_end.recurring[made.id]
    assert sent.runtime_config["parameters"]["champion_dataset"] == ""
    assert sent.trigger == {"cron_schedule": {"cron": "0 0 3 * * 1"}}
    assert (sent.max_concurrency, sent.no_catchup, sent.mode) == ("1", True, "ENABLE")
    assert sent.service_account == "tunegate-release"
    assert sent.runtime_config["parameters"]["dataset_digest"] == ""
    assert "Monday" in made.name
    # It trains only on something new, and promotes only what is better than what serves.
    assert sent.runtime_config["parameters"]["skip_unchanged"] is True
    assert sent.runtime_config["parameters"]["compare_with_champion"] is True
    version = sent.pipeline_version_reference["pipeline_version_id"]
    # A digest of today would hide tomorrow's rows, so nothing may be skipped for it.
    assert "# source" not in back_end.packages[version]


def test_what_was_said_otherwise_stays(back_end: BackEnd, params: KubeflowParams):
    said = params.model_dump(exclude_unset=True) | {"skip_unchanged": False}
    sent = back_end.recurring[schedule(KubeflowParams(**said), "0 0 3 * * 1").id]
    parameters = sent.runtime_config["parameters"]
    assert (parameters["skip_unchanged"], parameters["compare_with_champion"]) == (False, True)


def test_list_pause_resume_delete(back_end: BackEnd, params: KubeflowParams):
    made = schedule(params, "0 0 3 * * 1")
    (listed,) = schedules()
    assert listed == made and listed.enabled
    pause(made.id)
    assert not schedules()[0].enabled
    resume(made.id)
    assert schedules()[0].enabled
    delete(made.id)
    assert schedules() == []
    with pytest.raises(TunegateError, match="tunegate schedule list"):
        pause(made.id)


def test_everything_wrong_is_said_at_once(back_end: BackEnd):
    params = KubeflowParams(dataset="rows.jsonl", image_repository=IMAGES)
    with pytest.raises(InvalidInput) as refused:
        schedule(params, "0 0 0 30 2 *")
    assert len(refused.value.problems) == 2
    assert "never fires" in str(refused.value) and "rows.jsonl" in str(refused.value)
    assert not back_end.requests


def test_the_command(back_end: BackEnd, params: KubeflowParams):
    own = ["--dataset", params.dataset, "--set", f"image_repository={IMAGES}"]
    made = CliRunner().invoke(app, ["schedule", "--cron", "0 0 3 * * 1", *own])
    assert made.exit_code == 0, made.output
    assert "At 03:00, only on Monday" in made.output and "next  Mon " in made.output
    (recurring_id,) = back_end.recurring
    for verb, words in (
        ("pause", "is paused"),
        ("list", "paused"),
        ("resume", "is on"),
        ("delete", "deleted"),
    ):
        arguments = ["schedule", verb] if verb == "list" else ["schedule", verb, recurring_id]
        said = CliRunner().invoke(app, arguments)
        assert said.exit_code == 0 and words in said.output, said.output
    assert "No schedule yet" in CliRunner().invoke(app, ["schedule", "list"]).output


def test_an_id_is_listed_whole(back_end: BackEnd, params: KubeflowParams, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("COLUMNS", "80")
    made = schedule(params.model_copy(update={"model_name": "m" * 40}), "0 30 3 1,8,15,22 * *")
    assert made.id in CliRunner().invoke(app, ["schedule", "list"]).output


def test_what_the_command_hands_on(back_end: BackEnd):
    own = ["--dataset", back_end.dataset, "--eval-dataset", back_end.dataset, "--base-model", "org/name@rev"]
    said = CliRunner().invoke(
        app, ["schedule", "--cron", "0 0 3 * * 1", *own, "--set", f"image_repository={IMAGES}"]
    )
    assert said.exit_code == 0, said.output
    (made,) = back_end.recurring.values()
    sent = made.runtime_config["parameters"]
    assert (sent["eval_dataset"], sent["base_model"]) == (back_end.dataset, "org/name@rev")


def test_the_command_says_everything_at_once(back_end: BackEnd):
    wrong = ["--cron", "0 0 0 31 2 *", "--dataset", "rows.jsonl", "--set", "lora_r=0"]
    said = CliRunner().invoke(app, ["schedule", *wrong, "--set", "image_repository=https://host/name"])
    assert said.exit_code == 1 and "4 problems" in said.output, said.output
    for words in (
        "never fires",
        "lora_r: got '0'",
        "dataset rows.jsonl: is a path",
        "got 'https://host/name'",
    ):
        assert words in said.output
    assert not back_end.requests


def test_reading_makes_nothing(back_end: BackEnd):
    assert schedules() == []
    assert not back_end.experiments


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        pytest.param(["--dataset", "https://host/rows"], "--cron: is missing", id="no cron"),
        pytest.param(["--cron", "0 0 0 31 2 *"], "never fires", id="never"),
        pytest.param(["--cron", "0 0 3 * * 1"], "dataset: missing", id="no dataset"),
    ],
)
def test_what_the_command_refuses(back_end: BackEnd, arguments: list[str], words: str):
    said = CliRunner().invoke(app, ["schedule", *arguments])
    assert said.exit_code == 1 and words in said.output, said.output
    assert not back_end.recurring
