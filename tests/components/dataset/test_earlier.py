"""The stage beside a champion: what its dataset is compared with, what is refused, and what is only said."""

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from components.dataset.earlier import earlier_dataset
from components.dataset.profile import FILE, MOST_BYTES, DatasetProfile
from components.dataset.report import DRIFT
from components.dataset.validate import DatasetConfig, validate
from components.errors import InvalidInput, TunegateError
from components.tracking import runs
from components.tracking.stage import Stage, open_stage
from tests.components.tracking.champions import promote

LIMITED = (
    "max_added_share",
    "max_removed_share",
    "max_changed_share",
    "max_length_drift",
    "max_label_drift",
    "max_vocabulary_drift",
)
LABELS = ("billing", "delivery", "returns")
Examine = Callable[..., Stage]


def labelled(path: Path, rows: range, labels: tuple[str, ...] = LABELS, words: str = "") -> Path:
    lines = (
        {"instruction": f"Which team is case {n} for?{words}", "output": labels[n % len(labels)]}
        for n in rows
    )
    path.write_text("".join(json.dumps(line) + "\n" for line in lines), encoding="utf-8")
    return path


@pytest.fixture
def examine(state: Path, tmp_path: Path, tiny_model: Path) -> Examine:
    """Run the stage on a file, in a run of its own."""

    def run(dataset: Path, **values: object) -> Stage:
        given = {"min_train_rows": 5, "min_eval_rows": 2, "max_length": 900, "model_name": "pets", **values}
        config = DatasetConfig(dataset=str(dataset), base_model=str(tiny_model), **given)
        with open_stage("dataset", config.recorded()) as stage:
            validate(config, *(tmp_path / name for name in ("train", "eval", "report")), stage)
        return stage

    return run


def promoted(stage: Stage) -> Stage:
    promote(stage.record.facts["dataset_fingerprint"])
    return stage


def checks(stage: Stage) -> dict[str, float | None]:
    (verdict,) = stage.record.verdicts
    return {check.name: check.value for check in verdict.checks}


def test_before_the_first_promotion_nothing_is_compared_and_a_profile_is_kept(
    examine: Examine, tmp_path: Path, capsys: pytest.CaptureFixture[str]
):
    stage = examine(labelled(tmp_path / "rows.jsonl", range(90)), max_added_share=0)
    assert not {"added_share", "length_drift"} & set(checks(stage))
    assert DRIFT not in (tmp_path / "report").read_text() and "not compared" not in capsys.readouterr().out
    kept = Path(stage.client.download_artifacts(stage.run_id, FILE)).read_bytes()
    assert DatasetProfile.model_validate_json(kept).rows == 90
    assert not any(word in kept for word in (b"team", b"case", b"billing")) and len(kept) < MOST_BYTES


def test_what_has_changed_is_counted_shown_and_drawn_and_the_same_is_nothing(
    examine: Examine, tmp_path: Path
):
    first = promoted(examine(labelled(tmp_path / "then.jsonl", range(90))))
    now = labelled(tmp_path / "now.jsonl", range(30, 110))
    stage = examine(now)
    found = checks(stage)
    assert found["added_share"] == 20 / 80 and found["removed_share"] == 30 / 90
    assert found["changed_share"] == 0 and found["vocabulary_drift"]
    assert stage.record.facts["compared_with"] == "the dataset of champion version 1"
    assert DRIFT in [figure.title for figure in stage.record.figures]
    page = (tmp_path / "report").read_text()
    assert page.count(f"<h2>{DRIFT.replace(chr(39), '&#39;')}</h2>") == 1
    for words in ("30 of 90 are gone", "20 of 80 are new", first.record.facts["dataset_fingerprint"]):
        assert words in page

    same = examine(tmp_path / "then.jsonl", **dict.fromkeys(LIMITED, 0))
    assert {checks(same)[name.removeprefix("max_")] for name in LIMITED} == {0}


def test_each_limit_refuses_what_is_beyond_it(examine: Examine, tmp_path: Path):
    promoted(examine(labelled(tmp_path / "then.jsonl", range(90))))
    relabelled = labelled(tmp_path / "now.jsonl", range(20, 110), ("billing", "billing", "returns"))
    with pytest.raises(InvalidInput) as refused:
        examine(relabelled, **dict.fromkeys(LIMITED, 0.001))
    failed = {problem.partition(" failed: ")[0] for problem in refused.value.problems}
    assert failed == {name.removeprefix("max_") for name in LIMITED} - {"length_drift"}
    assert any("23 of 70 prompts in both are answered otherwise" in why for why in refused.value.problems)
    longer = labelled(tmp_path / "longer.jsonl", range(90), words=" Look closely." * 9)
    with pytest.raises(InvalidInput, match="length_drift failed: by length, the rows are"):
        examine(longer, max_length_drift=0.5)


@pytest.mark.parametrize(
    ("kept", "words"),
    [
        pytest.param(None, f"MLflow has no {FILE} of champion version 1", id="none"),
        pytest.param(b"{", f"the {FILE} of champion version 1 is broken: Invalid JSON", id="no JSON"),
        pytest.param(rb'{"rows": "\u001b[31mred"}', "is broken: Input should be", id="no profile"),
        pytest.param(b"[" * 100_000, "is broken: Invalid JSON", id="deep"),
        pytest.param(b" " * (MOST_BYTES + 1), f"wanted {MOST_BYTES:,} at most", id="huge"),
    ],
)
def test_a_profile_that_cannot_be_used_is_said_in_one_line(
    state: Path, tmp_path: Path, kept: bytes | None, words: str
):
    fingerprint = f"sha256:{'1' * 64}"
    with open_stage("dataset", {"model_name": "pets"}) as stage:
        stage.fact("dataset_fingerprint", fingerprint)
        if kept is not None:
            (tmp_path / FILE).write_bytes(kept)
            stage.file(tmp_path / FILE)
    promote(fingerprint)
    said: list[str] = []
    assert earlier_dataset(runs.client(), "pets", said.append) is None
    (line,) = said
    assert line.startswith("not compared with the champion's dataset: ") and words in line
    assert "\n" not in line and "\x1b" not in line
    if kept is None:
        assert earlier_dataset(runs.client(), "pets", said.append, is_limited=True) is None
    else:  # that is no reason to let a dataset pass
        with pytest.raises(TunegateError, match="what differs is limited: try again, or set those limits"):
            earlier_dataset(runs.client(), "pets", said.append, is_limited=True)


def test_a_champion_that_says_nothing_of_its_dataset_stops_nothing(
    examine: Examine, tmp_path: Path, capsys: pytest.CaptureFixture[str]
):
    promote("")
    stage = examine(labelled(tmp_path / "rows.jsonl", range(90)), max_added_share=0)
    assert "added_share" not in checks(stage)
    assert "nobody knows what champion version 1 was trained on" in capsys.readouterr().out
