from pathlib import Path

import pytest

from components.checks import Verdict, at_least
from components.tracking.page import render_page, write_page
from components.tracking.records import StageRecord
from components.tracking.stage import open_stage


def test_verdicts_first_then_facts_and_figures():
    checks = (at_least("gain_low", 0.1, 0.2, "share", "it is | too <small>"),)
    record = StageRecord(
        stage="quality-gate",
        started_at=0,
        seconds=75,
        metrics={"gain_low": 0.1, "tokens_per_s": 512.0},
        facts={"adapter_digest": "sha256:00"},
        verdicts=[Verdict(stage="quality", checks=checks)],
    )
    page = render_page(record, "[here](http://mlflow)")
    assert page.startswith("# quality-gate\n\n[here](http://mlflow); took 75 s")
    assert "## quality: failed" in page and "| 10 % |" in page and "20 %" in page
    assert "it is \\| too &lt;small>" in page  # neither a new column nor markup
    assert page.index("quality: failed") < page.index("sha256:00") < page.index("512")
    assert page.count("10 %") == 1  # not again under what was measured


PUBLIC = "https://mlflow.example.com/"


@pytest.mark.parametrize(
    ("environment", "served"),
    [
        pytest.param({}, False, id="by tunegate mlflow only"),
        pytest.param({"MLFLOW_TRACKING_URI": PUBLIC}, True, id="where it is recorded"),
        pytest.param(
            {"MLFLOW_TRACKING_URI": "http://mlflow.tunegate:5000", "TUNEGATE_MLFLOW_URL": PUBLIC},
            True,
            id="recorded inside the cluster",
        ),
        pytest.param({"TUNEGATE_MLFLOW_URL": PUBLIC}, True, id="recorded in a file"),
    ],
)
def test_a_stage_links_to_its_run_where_a_browser_finds_it(
    state: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    environment: dict[str, str],
    served: bool,
):
    with open_stage("deploy", {}) as stage:
        stage.fact("endpoint", "http://x")
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    write_page(stage, tmp_path / "page.md")
    page = (tmp_path / "page.md").read_text()
    link = f"](https://mlflow.example.com/#/experiments/1/runs/{stage.run_id})"
    assert (link in page) == served and stage.run_id in page
    assert "mlflow.tunegate" not in page
