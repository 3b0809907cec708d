"""Reading back what a release on the cluster has left."""

from pathlib import Path

import pytest

from components.errors import TunegateError
from components.tracking import runs
from components.tracking.stage import open_stage
from pipelines.kubeflow.artifacts import card, recorded


def test_card_and_records(state: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("RELEASE_ID", "r")
    with open_stage("finetune", {"lora_r": 8}) as stage:
        stage.metrics({"loss": 1.5})
    (found,) = recorded("r")
    assert found.record.params == {"lora_r": 8} and found.record.metrics == {"loss": 1.5}
    with pytest.raises(TunegateError, match="no card yet"):
        card("r")
    client = runs.client()
    client.log_text(runs.parent_run(client, "r"), "<p>card</p>", "card.html")
    assert card("r") == "<p>card</p>"


@pytest.mark.parametrize("read", [card, recorded])
def test_a_run_that_left_nothing(state: Path, read: object):
    with pytest.raises(TunegateError, match=r"no record of run nope.*MLFLOW_TRACKING_URI"):
        read("nope")  # type: ignore[operator]
    client = runs.client()
    assert runs.find_parent_run(client, "nope") is None  # and reading made none
