import random
from pathlib import Path

import numpy as np
import pytest

from components.errors import InvalidInput
from components.evaluate.gate import QualityGateConfig, judge_quality
from components.evaluate.scores import ScoredExample, Scores
from components.tracking.stage import Stage

DIGEST = "sha256:" + "0" * 64


def scores(base: list[float], tuned: list[float], guard: tuple[float, float] = (0.8, 0.75)) -> Scores:
    def example(b: float, t: float, metric: str) -> ScoredExample:
        return ScoredExample(
            prompt=({"role": "user", "content": "q"},),
            reference="r",
            base_answer="b",
            tuned_answer="t",
            base={metric: b},
            tuned={metric: t},
        )

    return Scores(
        adapter_digest=DIGEST,
        base_model="tiny",
        base_revision="1",
        examples=tuple(example(b, t, "token_f1") for b, t in zip(base, tuned, strict=True)),
        guard=(example(1, 1, "contains"),) * 40,
        guard_base=guard[0],
        guard_tuned=guard[1],
    )


def config(**changed: object) -> QualityGateConfig:
    usual = {
        "quality_metric": "token_f1",
        "quality_margin": 0.05,
        "confidence": 0.95,
        "seed": 3,
        "max_guard_drop": 0.2,
    }
    return QualityGateConfig.model_validate(usual | changed)


def noisy(gain: float, spread: float, rows: int = 60) -> tuple[list[float], list[float]]:
    draw = np.random.default_rng(11)
    differences = draw.normal(gain, spread, rows).clip(-0.5, 0.5)
    differences += gain - differences.mean()
    return [0.5] * rows, (0.5 + differences).clip(0, 1).tolist()


@pytest.mark.parametrize(
    ("base", "tuned", "status", "words"),
    [
        pytest.param(*noisy(0.3, 0.1), "passed", "+0.300 over 60 held-out rows", id="clear win"),
        pytest.param(*noisy(-0.3, 0.1), "failed", "upper end is below the margin of +0.050", id="clear loss"),
        pytest.param(*noisy(0.0, 0.01), "failed", "is +0.000 over", id="no gain, and sure of it"),
        pytest.param(*noisy(0.08, 0.3), "inconclusive", "more held-out rows would narrow it", id="noisy"),
        pytest.param([0.2] * 30, [0.9] * 30, "passed", "is +0.700 over", id="every row gains the same"),
        pytest.param([0.4] * 100, [0.4] * 100, "failed", "+0.000 over 100", id="the same answers"),
        pytest.param([0.4] * 20, [0.4] * 20, "inconclusive", "+0.000 over 20", id="the same, but few rows"),
        pytest.param([1.0] * 9 + [0.0], [1.0] * 10, "inconclusive", "95% interval", id="one row better"),
        pytest.param([0.0] * 9, [1.0] * 9, "inconclusive", "fewer than 10", id="too few rows"),
        pytest.param([0.0], [1.0], "inconclusive", "fewer than 10", id="one row"),
    ],
)
def test_gain(stage: Stage, tmp_path: Path, base: list[float], tuned: list[float], status: str, words: str):
    scores(base, tuned).write(tmp_path / "scores.json")
    verdict = judge_quality(config(), tmp_path / "scores.json", stage)
    assert verdict.status == status
    assert words in " ".join(check.why for check in verdict.checks)
    gain = verdict.checks[0]
    assert (gain.name, gain.limit, gain.bound) == ("token_f1_gain_low", 0.05, "min")
    assert (gain.status == "passed") == (gain.margin is not None and gain.margin >= 0)
    assert verdict.adapter_digest == DIGEST
    assert stage.record.verdicts == [verdict]
    assert [figure.path for figure in stage.record.figures] == ["figures/quality-gate.png"]


@pytest.mark.parametrize(
    ("guard", "status"),
    [
        pytest.param((0.8, 0.75), "passed", id="forgot little"),
        pytest.param((0.5, 0.7), "passed", id="learned"),
        pytest.param((0.8, 0.1), "failed", id="forgot most"),
    ],
)
def test_guard(stage: Stage, tmp_path: Path, guard: tuple[float, float], status: str):
    scores(*noisy(0.3, 0.1), guard=guard).write(tmp_path / "scores.json")
    verdict = judge_quality(config(), tmp_path / "scores.json", stage)
    assert verdict.status == status
    check = verdict.checks[-1]
    assert (check.name, check.value) == ("guard_drop", pytest.approx(guard[0] - guard[1]))
    assert f"of 40 general questions the base model answers {guard[0] * 40:.0f}" in check.why
    assert f"the fine-tuned {guard[1] * 40:.0f}; a larger drop" in check.why


def test_a_guard_limit_of_one_reports_and_refuses_nothing(stage: Stage, tmp_path: Path):
    scores(*noisy(0.3, 0.1), guard=(1.0, 0.0)).write(tmp_path / "scores.json")
    verdict = judge_quality(config(max_guard_drop=1.0), tmp_path / "scores.json", stage)
    assert verdict.passed
    assert verdict.checks[-1].value == 1.0
    assert "refuses nothing" in verdict.checks[-1].why


def test_the_order_of_rows_does_not_matter(stage: Stage, tmp_path: Path):
    base, tuned = noisy(0.1, 0.3)
    scores(base, tuned).write(tmp_path / "scores.json")
    pairs = list(zip(base, tuned, strict=True))
    random.Random(5).shuffle(pairs)
    scores([b for b, _ in pairs], [t for _, t in pairs]).write(tmp_path / "shuffled.json")
    first = judge_quality(config(), tmp_path / "scores.json", stage)
    assert judge_quality(config(), tmp_path / "shuffled.json", stage) == first


def test_an_unknown_metric_names_those_there_are(stage: Stage, tmp_path: Path):
    scores([0.1] * 12, [0.2] * 12).write(tmp_path / "scores.json")
    with pytest.raises(InvalidInput, match=r"'bleu'[\s\S]*no such metric; it has token_f1"):
        judge_quality(config(quality_metric="bleu"), tmp_path / "scores.json", stage)


@pytest.mark.parametrize(
    ("champion", "status", "words"),
    [
        pytest.param(0.5, "passed", "minus champion version 3 is +0.300", id="beaten"),
        pytest.param(0.8, "inconclusive", "minus champion version 3 is +0.000", id="equalled"),
        pytest.param(0.9, "failed", "upper end is below the margin of +0.010", id="missed"),
    ],
)
def test_a_champion_has_to_be_beaten_as_well(
    stage: Stage, tmp_path: Path, champion: float, status: str, words: str
):
    plain = scores([0.2] * 40, [0.8] * 40)
    with_champion = plain.model_copy(
        update={
            "champion_version": "3",
            "examples": tuple(
                example.model_copy(update={"champion": {"token_f1": champion}}) for example in plain.examples
            ),
        }
    )
    with_champion.write(tmp_path / "scores")
    verdict = judge_quality(config(champion_margin=0.01), tmp_path / "scores", stage)
    base, against, *_ = verdict.checks
    assert (base.status, against.status, verdict.status) == ("passed", status, status)
    assert against.name == "token_f1_gain_over_champion_low" and words in against.why
