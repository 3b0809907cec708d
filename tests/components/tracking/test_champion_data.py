"""The dataset of a champion, by what the runs of its release have recorded."""

import pytest

from components.errors import TunegateError
from components.tracking import runs
from components.tracking.champion_data import champion_data
from components.tracking.stage import open_stage
from tests.components.tracking.champions import promote

ROWS, OTHER = f"sha256:{'1' * 64}", f"sha256:{'2' * 64}"


def examined(fingerprint: str, digest: str = "", compared_with: str = "", **others: str) -> str:
    """Record a dataset stage and return its run."""
    noted = {"dataset_digest": digest, "champion_dataset": compared_with, "model_name": "pets", **others}
    with open_stage("dataset", noted) as stage:
        stage.fact("dataset_fingerprint", fingerprint)
    return stage.run_id


def key(dataset_digest: str) -> str:
    found = champion_data(runs.client(), "pets")
    return found.key_for(dataset_digest) if found else ""


def test_before_the_first_promotion_there_is_none(state):
    examined(ROWS, "sha256:files")
    assert champion_data(runs.client(), "pets") is None


def test_the_runs_of_its_dataset_are_found_newest_first(state):
    first, _, newest = examined(ROWS), examined(OTHER), examined(ROWS)
    promote(ROWS)
    found = champion_data(runs.client(), "pets")
    assert found and (found.version, found.fingerprint) == ("1", ROWS)
    assert [run.info.run_id for run in found.runs] == [newest, first]


def test_runs_that_failed_or_are_another_models_are_not_its_own(state):
    own = examined(ROWS, base_model="org/base")
    examined(ROWS, model_name="plants")
    other_tokens = examined(ROWS, base_model="org/other")
    with pytest.raises(ValueError), open_stage("dataset", {"model_name": "pets"}) as stage:
        stage.fact("dataset_fingerprint", ROWS)
        raise ValueError
    promote(ROWS)
    found = champion_data(runs.client(), "pets")
    assert found and [run.info.run_id for run in found.runs] == [own, other_tokens]


def test_another_champion_is_another_key(state):
    examined(ROWS, "sha256:files")
    promote(ROWS)
    assert key("sha256:new files") == key("") == ROWS
    examined(OTHER, "sha256:others", compared_with=ROWS)
    promote(OTHER, "c")
    assert key("sha256:new files") == OTHER


def test_a_release_of_the_champions_own_files_finds_what_they_were_compared_with(state):
    examined(ROWS, "sha256:files", compared_with=OTHER)
    promote(ROWS)
    assert key("sha256:files") == OTHER
    assert key("sha256:new files") == ROWS


def test_what_is_no_fingerprint_is_not_searched_for(state):
    examined("no fingerprint' or 1")
    promote("no fingerprint' or 1")
    found = champion_data(runs.client(), "pets")
    assert found and found.runs == []


def test_a_champion_that_no_release_registered_is_an_error_that_says_so(state):
    client = runs.client()
    client.create_registered_model("pets")
    with open_stage("image", {}) as stage:
        source = client.get_run(stage.run_id).info.artifact_uri
        client.create_model_version("pets", source, stage.run_id)
    client.set_registered_model_alias("pets", "champion", "1")
    with pytest.raises(TunegateError, match="was not registered by a release"):
        champion_data(client, "pets")
