"""What a release finds out before it trains: whether its adapter can be pushed and served."""

from pathlib import Path

import pytest
from kfp import dsl

from components.errors import InvalidInput, TunegateError
from components.release.closing import close
from components.release.component import UNCHANGED, find_champion
from components.release.ending import outcome
from components.release.targets import check_targets
from components.tracking import records, runs


def test_every_problem_is_said_at_once(state: Path, backend):
    backend.fail["check"] = InvalidInput("the cluster of namespace pets", ["may not create pods", "no image"])
    with pytest.raises(InvalidInput) as refused:
        check_targets("https://host/name", "local", "pets", "org/name")
    assert len(refused.value.problems) == 3
    for words in ("wanted host[:port]/name", "namespace pets: may not create pods", "no image"):
        assert words in str(refused.value)


def test_a_serving_target_that_can_not_be_reached_is_one_problem(state: Path, backend):
    backend.fail["check"] = TunegateError("the cluster can't be reached")
    with pytest.raises(InvalidInput) as refused:
        check_targets("", "local", "pets", "org/name")
    assert refused.value.problems == ["the cluster can't be reached"]


def find(folder: Path) -> str:
    """Run the component's body as KFP would."""
    train_set, page = dsl.Dataset(metadata={"fingerprint": "sha256:rows"}), dsl.Markdown()
    page.path = str(folder / "page")
    return find_champion.python_func(  # type: ignore[no-any-return]
        train_set=train_set,
        base_model="org/name",
        model_name="pets",
        skip_unchanged=True,
        compare_with_champion=True,
        image_repository="",
        serving_target="local",
        page=page,
    )


def test_a_release_that_can_not_end_well_ends_before_it_trains(state: Path, tmp_path: Path, backend):
    assert find(tmp_path) == "" and backend.calls == ["check pets"]
    backend.fail["check"] = InvalidInput("the cluster of namespace pets", ["may not create pods"])
    with pytest.raises(InvalidInput, match="may not create pods"):
        find(tmp_path)
    close("local", "pets", tmp_path / "card.html")
    assert outcome("test-release") == "failed"
    assert "may not create pods" in (tmp_path / "card.html").read_text()


def test_where_there_is_nothing_to_train_nothing_is_asked(
    state: Path, tmp_path: Path, backend, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr("components.release.standing.champion_to_beat", lambda *_: UNCHANGED)
    assert find(tmp_path) == UNCHANGED and backend.calls == []
    assert [one.record.stage for one in records.recorded_stages(runs.client(), "test-release")]
