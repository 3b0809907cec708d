"""Profiles of datasets and their differences, against known ones."""

from collections.abc import Iterable

import pytest

from components.conversations import Conversation, Message
from components.dataset import drift as module
from components.dataset.drift import DatasetProfile, Profiler, drift


def row(prompt: str, answer: str) -> Conversation:
    return Conversation(
        messages=(Message(role="user", content=prompt), Message(role="assistant", content=answer))
    )


def profile(rows: Iterable[tuple[str, str]], tokens: int = 40) -> DatasetProfile:
    profiler = Profiler()
    for prompt, answer in rows:
        profiler.add(row(prompt, answer), tokens)
    return profiler.profile()


def shelves(first: int, behind: int, answer: str = "Aisle 3.") -> list[tuple[str, str]]:
    return [(f"Where is shelf {n}?", answer) for n in range(first, behind)]


@pytest.mark.parametrize(
    ("then", "now", "shares"),
    [
        pytest.param(shelves(0, 20), shelves(0, 20), (0, 0, 0), id="the same"),
        pytest.param(shelves(0, 20), shelves(0, 20)[::-1], (0, 0, 0), id="in another order"),
        pytest.param(shelves(0, 15), shelves(0, 20), (0.25, 0, 0), id="added"),
        pytest.param(shelves(0, 20), shelves(5, 20), (0, 0.25, 0), id="removed"),
        pytest.param(shelves(0, 20), shelves(0, 20, "Gone."), (0, 0, 1), id="changed"),
        pytest.param(shelves(0, 10), shelves(10, 20), (1, 1, 0), id="nothing in common"),
        pytest.param([], shelves(0, 20), (1, 0, 0), id="nothing before"),
        pytest.param([], [], (0, 0, 0), id="nothing at all"),
    ],
)
def test_rows_added_removed_and_changed(
    then: list[tuple[str, str]], now: list[tuple[str, str]], shares: tuple[float, float, float]
):
    found = drift(profile(then), profile(now))
    assert (found.added, found.removed, found.changed) == shares


def test_the_same_is_at_no_distance_and_strangers_at_the_longest():
    same = drift(profile(shelves(0, 20)), profile(shelves(0, 20)))
    assert (same.lengths, same.answers, same.vocabulary) == (0, 0, 0)
    others = drift(profile([("a b c", "d")], tokens=9), profile([("e f g", "h")], tokens=900))
    assert (others.lengths, others.answers) == (1, 1) and others.vocabulary > 0.9
    assert drift(profile([]), profile([("a", "b")])).vocabulary == 1


def test_labels_that_shift_are_seen():
    def labelled(yes: int) -> list[tuple[str, str]]:
        return [(f"Is {n} open?", "yes" if n < yes else "no") for n in range(100)]

    near, far = (drift(profile(labelled(50)), profile(labelled(yes))).answers for yes in (55, 95))
    assert 0 < near < far < 1


def test_of_more_prompts_than_are_kept_shares_are_estimated(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(module, "PROMPTS_KEPT", 500)
    then, now = profile(shelves(0, 3000)), profile(shelves(1000, 4000))
    assert len(then.prompts) == len(now.prompts) == 500
    found = drift(then, now)
    assert found.added == pytest.approx(1 / 3, abs=0.08) and found.removed == pytest.approx(1 / 3, abs=0.08)
    assert found.changed == 0


def test_a_profile_comes_back_from_json_and_holds_no_text():
    made = profile([("secret-prompt \ud83d", "secret-answer")])
    text = made.model_dump_json()
    assert DatasetProfile.model_validate_json(text) == made
    assert "secret" not in text
