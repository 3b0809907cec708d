"""What is known of the champion before a run is started, and what becomes of it."""

import json
from pathlib import Path

import pytest

from components.tracking.stage import open_stage
from pipelines import preflight as preflight_module
from pipelines.params import ReleaseParams
from pipelines.preflight import preflight
from pipelines.tracker import champion_dataset
from tests.components.tracking.champions import promote

FINGERPRINT = f"sha256:{'1' * 64}"


@pytest.fixture
def params(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> ReleaseParams:
    """Parameters of a release with whose model and targets nothing is wrong."""
    monkeypatch.setattr(preflight_module, "check_base_model", lambda name: None)
    monkeypatch.setattr(preflight_module, "serving_problems", lambda *names: [])
    rows = tmp_path / "rows.jsonl"
    rows.write_text(json.dumps({"prompt": "Where?", "completion": "Here."}) + "\n")
    return ReleaseParams(dataset=str(rows), model_name="pets", champion_dataset="by hand")


def test_the_cache_key_changes_with_the_champion_and_not_for_its_own_files(
    state: Path, params: ReleaseParams
):
    before = preflight(params)
    assert before.champion_dataset == ""
    noted = {"model_name", "dataset_digest", "champion_dataset"}
    with open_stage("dataset", before.model_dump(include=noted)) as stage:
        stage.fact("dataset_fingerprint", FINGERPRINT)
    promote(FINGERPRINT)
    assert preflight(params).champion_dataset == ""  # as it was when these files were read
    limited = params.model_copy(update={"max_added_share": 0.5})
    assert preflight(limited).champion_dataset == FINGERPRINT  # they were held against nobody then
    rows = Path(params.dataset)
    rows.write_text(rows.read_text() * 2)
    assert preflight(params).champion_dataset == FINGERPRINT
    promote(other := f"sha256:{'2' * 64}", "c")
    assert preflight(params).champion_dataset == other


def test_where_nothing_was_ever_recorded_nothing_is_made(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("TUNEGATE_HOME", str(tmp_path / "state"))
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    params = ReleaseParams(dataset="rows.jsonl", model_name="pets", max_added_share=0.1)
    assert champion_dataset(params, "", is_shared=False) == ""
    assert champion_dataset(params, "", is_shared=True).startswith("not known")
    assert not (tmp_path / "state").exists()


def test_an_mlflow_that_does_not_answer_is_not_waited_for(state: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "http://127.0.0.1:1")
    params = ReleaseParams(dataset="rows.jsonl", model_name="pets")
    assert champion_dataset(params, "", is_shared=True) == ""
    limited = params.model_copy(update={"max_label_drift": 0.1})
    keys = [champion_dataset(limited, "", is_shared=shared) for shared in (True, False)]
    assert all(key.startswith("not known") for key in keys) and len(set(keys)) == 2  # so no cache has it
