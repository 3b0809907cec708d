"""Answers are counted in a bounded memory, and their kind is told."""

import pytest

from components.dataset.checks.answers import DISTINCT_KEPT, AnswerCounter, AnswerCounts


def counted(answers: list[str]) -> AnswerCounts:
    counter = AnswerCounter()
    for start in range(0, len(answers), 7):
        counter.add(answers[start : start + 7])
    return counter.counts()


@pytest.mark.parametrize(
    ("answers", "kind"),
    [
        pytest.param(["refund", "Delivery", "opening hours"] * 20, "labels", id="few short ones"),
        pytest.param([f"label {n}" for n in range(60)], "short texts", id="each once"),
        pytest.param(["12", "$1,200.50", "-3", "4 %", "7.5e-3"] * 4, "numbers", id="numbers"),
        pytest.param(['{"a": 1}', "[2]", '{"b": {}}'] * 10, "JSON", id="json"),
        pytest.param(["{a: 1}", "[" * 5000 + "]"] * 10, "labels", id="what only looks like json"),
        pytest.param(
            [f"We open at {n} and close in the evening." for n in range(50)], "short texts", id="short"
        ),
        pytest.param([f"{n} " + "word " * 40 for n in range(50)], "long texts", id="long"),
        pytest.param(["12"] * 85 + [f"about {n}" for n in range(15)], "labels", id="too few numbers"),
    ],
)
def test_kinds(answers: list[str], kind: str):
    assert counted(answers).kind == kind


def test_the_most_common_and_the_rarest_are_told():
    found = counted(["Yes."] * 70 + ["no."] * 28 + ["maybe."] * 2)
    assert found.common == [("yes.", 70), ("no.", 28), ("maybe.", 2)]
    assert found.rare[0] == ("maybe.", 2)
    assert found.same_share == 0.7


def test_of_endless_answers_the_common_one_is_still_found():
    answers = [answer for n in range(15_000) for answer in ("Always.", f"answer {n}")]
    found = counted(answers)
    assert found.common[0][0] == "always." and 0.49 <= (found.same_share or 0) <= 0.5
    assert found.kind == "short texts" and len(answers) > DISTINCT_KEPT


def test_without_rows_nothing_is_told():
    assert counted([]).same_share is None
