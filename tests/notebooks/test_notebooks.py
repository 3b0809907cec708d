"""The notebooks: run from top to bottom, and kept in git without what a run leaves in them."""

import json
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
import yaml

from components.checks import Verdict, at_least
from components.tracking import runs
from components.tracking.stage import open_stage
from tests.pipelines.kubeflow.back_end import BackEnd, running_back_end

NOTEBOOKS = Path(__file__).parents[2] / "notebooks"
PRESETS = Path(__file__).parents[2] / "pipelines" / "presets"
STARTED = ("validate-dataset", "find-champion", "finetune")
SERVED = ("push-image", "deploy", "stress", "service-gate", "promote")
ENDED = (*STARTED, "evaluate", "quality-gate", *SERVED, "close-release")

# What a trial learns and how it scores is told elsewhere.
FEW = {"num_train_epochs": 0.1, "max_eval_rows": 20, "max_new_tokens": 4}


class Executed:
    """A notebook that ran to its end."""

    def __init__(self, name: str, folder: Path, **parameters: Any) -> None:
        import papermill

        self.notebook = papermill.execute_notebook(
            NOTEBOOKS / name,
            folder / name,
            parameters,
            kernel_name="python3",
            cwd=str(folder),  # it has to find what it needs from wherever it is opened
            progress_bar=False,
        )

    def outputs(self, cell: str) -> list[Any]:
        (found,) = (c for c in self.notebook.cells if c["id"] == cell)
        return list(found["outputs"])

    def text(self, cell: str) -> str:
        """Return what a cell printed and showed, as text."""
        return "".join(
            output["text"] if output["output_type"] == "stream" else output["data"].get("text/plain", "")
            for output in self.outputs(cell)
        )

    def html(self, cell: str) -> str:
        return "".join(output.get("data", {}).get("text/html", "") for output in self.outputs(cell))

    def pictures(self, cell: str) -> int:
        return sum("image/png" in output.get("data", {}) for output in self.outputs(cell))


@pytest.mark.parametrize("path", sorted(NOTEBOOKS.glob("*.ipynb")), ids=lambda path: path.stem)
def test_in_git_there_is_only_what_a_person_wrote(path: Path):
    import nbformat

    notebook = json.loads(path.read_text())
    nbformat.validate(notebook)
    clean = "`make strip` takes out what a run has left"
    for cell in notebook["cells"]:
        assert not cell.get("outputs") and cell.get("execution_count") is None, clean
        assert cell["metadata"] in ({}, {"tags": ["parameters"]}), clean
        assert "".join(cell["source"]).strip(), clean
    kernel = {"display_name": "Python 3", "language": "python", "name": "python3"}
    assert notebook["metadata"] == {"kernelspec": kernel}, clean
    first = next(cell for cell in notebook["cells"] if cell["cell_type"] == "code")
    assert first["metadata"] == {"tags": ["parameters"]}
    # Each cell of code is led up to.
    kinds = [cell["cell_type"] for cell in notebook["cells"]]
    assert all(before == "markdown" for before, kind in pairwise(kinds) if kind == "code")


@pytest.fixture
def own_state(state: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A state directory for a release that is for real, stopped in the end."""
    from components.serve.local.backend import LocalBackend

    monkeypatch.delenv("RELEASE_ID")
    monkeypatch.setenv("TUNEGATE_DEVICE", "cpu")
    yield state
    LocalBackend().shutdown()


@pytest.mark.e2e
@pytest.mark.timeout(1200)
def test_experiment(own_state: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """No setting is good enough: what a promotion does is tested elsewhere, and takes minutes."""
    monkeypatch.setenv("MPLBACKEND", "Agg")  # draws nothing below a cell of its own accord
    strict = yaml.safe_load((PRESETS / "smoke.yaml").read_text()) | {"quality_margin": 1} | FEW
    for name in ("dataset", "eval_dataset"):
        strict[name] = str((PRESETS / strict[name]).resolve())
    (tmp_path / "strict.yaml").write_text(yaml.safe_dump(strict))
    settings = [{"lora_r": 4, "lora_alpha": 8}, {"lora_r": 8, "lora_alpha": 16}]
    ran = Executed("experiment.ipynb", tmp_path, preset="strict.yaml", settings=settings)
    table = ran.html("table")
    assert table.count("<tr") == 1 + 1 + len(settings)  # the columns, the index, the trials
    for words in ("lora_r", "gain, low end", "training, s", "failed"):
        assert words in table
    assert ran.pictures("plot") == 1
    # The second trial reads the first one's dataset; the release trains and evaluates nothing anew.
    assert ran.text("sweep").count("✓ dataset ") == ran.text("sweep").count("○ dataset ") == 1
    released = ran.text("release")
    for stage in ("dataset", "finetune", "evaluate"):
        assert f"○ {stage:<13} unchanged since release" in released
        assert released.count(f" {stage} ") == 1
    assert "REFUSED: Refused at the quality gate" in ran.text("result")
    assert "srcdoc" in ran.html("card") and "REFUSED" in ran.html("card").upper()


def record_release(run_id: str, monkeypatch: pytest.MonkeyPatch, picture: Path) -> None:
    """Leave in MLflow what a release on the cluster would."""
    import matplotlib.pyplot as plt

    plt.figure().savefig(picture)
    monkeypatch.setenv("RELEASE_ID", run_id)
    with open_stage("finetune", {"lora_r": 8}) as stage:
        stage.metrics({"train_loss": 0.25})
        stage.figure("Training loss", picture)
    with open_stage("quality-gate", {}) as stage:
        check = at_least("token_f1_gain_low", 0.4, 0.2, "share", "it is better by enough")
        stage.verdict(Verdict(stage="quality", checks=(check,)))
    with open_stage("promote", {}):
        pass
    client = runs.client()
    client.log_text(runs.parent_run(client, run_id), "<h1>PROMOTED</h1>", "card.html")


@pytest.fixture
def back_end(state: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[BackEnd]:
    """A back end on which run `run-1` will be promoted, and an environment that leads to it."""
    with running_back_end() as running:
        monkeypatch.setattr(running, "new_id", lambda kind: f"{kind}-1")
        running.play(
            "run-1",
            ("RUNNING", {"validate-dataset": "RUNNING"}),
            ("RUNNING", {**dict.fromkeys(STARTED, "SUCCEEDED"), "finetune": "RUNNING"}),
            ("SUCCEEDED", dict.fromkeys(ENDED, "SUCCEEDED")),
        )
        record_release("run-1", monkeypatch, tmp_path / "loss.png")
        monkeypatch.delenv("RELEASE_ID")
        monkeypatch.setenv("TUNEGATE_KUBEFLOW_HOST", running.host)
        monkeypatch.setenv("TUNEGATE_PRIVATE_DATASETS", '["127.0.0.0/8"]')  # its rows
        monkeypatch.setenv("MLFLOW_TRACKING_URI", f"sqlite:///{state / 'mlflow.db'}")
        yield running
    assert running.violations == []


def test_kubeflow(back_end: BackEnd, tmp_path: Path):
    own = {"dataset": back_end.dataset, "overrides": {"lora_r": 8, "train_gpus": 0}, "poll_s": 0}
    ran = Executed("kubeflow.ipynb", tmp_path, **own)
    sent = back_end.runs["run-1"].runtime_config["parameters"]
    assert (sent["lora_r"], sent["train_gpus"], sent["model_name"]) == (8, 0, "petstore")
    assert f"{back_end.host}/#/runs/details/run-1" in ran.text("submit")
    watched = ran.text("watch")
    assert "✓ dataset       60 s" in watched and "✓ close         60 s" in watched
    assert "PROMOTED: All 1 check passed" in watched
    assert "train_loss 0.25" in ran.html("stages") and "passed" in ran.html("stages")
    assert ran.pictures("pictures") == 1 and "finetune: Training loss" in ran.text("pictures")
    assert "&lt;h1&gt;PROMOTED" in ran.html("card")
    assert "At 03:00, only on Monday" in ran.text("cron")
    assert "recurring-1" in ran.html("list")
    assert "False" in ran.html("pause")
    assert ran.text("delete") == "[]" and not back_end.recurring
    made = [request for request in back_end.requests if request.startswith(("POST", "DELETE"))]
    assert [request.rpartition("/")[2] for request in made if "recurringruns" in request] == [
        "recurringruns",
        "recurring-1:disable",
        "recurring-1",
    ]
