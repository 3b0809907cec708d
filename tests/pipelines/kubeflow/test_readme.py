"""The README's commands for Kubeflow Pipelines, and its picture of the graph."""

import os
import re
import subprocess
import sys
from collections.abc import Iterator
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread

import pytest

from pipelines.kubeflow.picture import mermaid
from tests.pipelines.kubeflow.back_end import BackEnd

ROOT = Path(__file__).parents[3]
README = (ROOT / "README.md").read_text(encoding="utf-8")
BLOCKS = re.findall(r"^```bash\n(.*?)^```", README, flags=re.M | re.S)
ROWS = ROOT / "components" / "dataset" / "petstore"
PROMOTED = dict.fromkeys(("validate-dataset", "quality-gate", "service-gate", "promote"), "SUCCEEDED")


@pytest.fixture
def dataset() -> Iterator[str]:
    """The address of a dataset."""
    server = ThreadingHTTPServer(("127.0.0.1", 0), partial(SimpleHTTPRequestHandler, directory=str(ROWS)))
    thread = Thread(target=server.serve_forever)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}/train.jsonl"
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


def run(words: str, folder: Path, back_end: BackEnd, dataset: str = "") -> str:
    """Run the README's block with some words in it, in a folder; return what it said."""
    (block,) = (block for block in BLOCKS if words in block)
    environment = {
        **os.environ,
        "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}",
        "TUNEGATE_KUBEFLOW_HOST": back_end.host,
        "DATASET": dataset,
        "REGISTRY": "registry.example.com",
        "COLUMNS": "120",
    }
    ended = subprocess.run(
        ["bash", "-euo", "pipefail", "-c", block], cwd=folder, env=environment, capture_output=True, text=True
    )
    assert ended.returncode == 0, ended.stdout + ended.stderr
    return ended.stdout


def test_the_package_is_compiled(back_end: BackEnd, tmp_path: Path) -> None:
    run("tunegate compile", tmp_path, back_end)

    assert "tunegate-release" in (tmp_path / "release.yaml").read_text()


def test_a_release_is_submitted_and_watched(back_end: BackEnd, tmp_path: Path, dataset: str) -> None:
    back_end.usual = [("RUNNING", {"validate-dataset": "RUNNING"}), ("SUCCEEDED", PROMOTED)]

    said = run("tunegate submit", tmp_path, back_end, dataset)

    assert "PROMOTED" in said
    (started,) = back_end.runs.values()
    assert started.runtime_config["parameters"]["dataset"] == dataset
    assert started.runtime_config["parameters"]["dataset_digest"]


def test_a_schedule_is_made_and_listed(back_end: BackEnd, tmp_path: Path, dataset: str) -> None:
    said = run("tunegate schedule", tmp_path, back_end, dataset)

    (made,) = back_end.recurring.values()
    assert made.trigger["cron_schedule"]["cron"] == "0 0 3 * * 1"
    assert "Monday" in said
    assert made.recurring_run_id in said.splitlines()[-1]


def test_the_picture_of_the_graph_is_that_of_the_package() -> None:
    (drawn,) = re.findall(r"^```mermaid\n(.*?)^```", README, flags=re.M | re.S)

    assert drawn == mermaid((ROOT / "pipelines" / "release.yaml").read_text(encoding="utf-8"))
