"""Profiles of datasets and their differences, against known ones."""

import random
from collections.abc import Iterable, Sequence

import pytest
from pydantic import ValidationError

from components.conversations import Conversation, Message
from components.dataset import drift as drift_module
from components.dataset import profile as profile_module
from components.dataset.drift import Drift, Earlier, drift
from components.dataset.profile import BUCKETS, DatasetProfile, label_bucket, profile_of
from components.dataset.row_store import Row, Rows, RowStore

Pairs = Iterable[tuple[str, str]]


def profile(pairs: Pairs, tokens: int = 40, has_labels: bool = False, seed: int = 1) -> DatasetProfile:
    store = RowStore(seed)
    for line, (prompt, answer) in enumerate(pairs, 1):
        turns = (Message(role="user", content=prompt), Message(role="assistant", content=answer))
        store.add(Row("rows.jsonl", line, prompt, Conversation(messages=turns), tokens))
    import numpy

    return profile_of(Rows(store, numpy.arange(len(store))), has_labels)


def compared(then: DatasetProfile, now: DatasetProfile) -> Drift:
    return drift(Earlier("3", f"sha256:{'a' * 64}", then), now)


def shelves(first: int, behind: int, answer: str = "Aisle 3.") -> list[tuple[str, str]]:
    return [(f"Where is shelf {n}?", answer) for n in range(first, behind)]


@pytest.mark.parametrize(
    ("then", "now", "counts"),
    [
        pytest.param(shelves(0, 20), shelves(0, 20), (0, 0, 0), id="the same"),
        pytest.param(shelves(0, 20), shelves(0, 20)[::-1], (0, 0, 0), id="in another order"),
        pytest.param(
            shelves(0, 20), [(p.upper(), a) for p, a in shelves(0, 20)], (0, 0, 0), id="in capitals"
        ),
        pytest.param(shelves(0, 13), shelves(0, 20), (7, 0, 0), id="added"),
        pytest.param(shelves(0, 20), shelves(3, 20), (0, 3, 0), id="removed"),
        pytest.param(shelves(0, 20), [*shelves(0, 17), *shelves(17, 20, "Gone.")], (0, 0, 3), id="changed"),
        pytest.param(shelves(0, 9), shelves(9, 20), (11, 9, 0), id="nothing in common"),
        pytest.param(shelves(0, 3) * 2, shelves(0, 3), (0, 0, 3), id="answered twice before"),
        pytest.param(
            [("A?", "yes"), ("A?", "no"), ("B?", "no")],
            [("B?", "no"), ("A?", "no"), ("A?", "yes")],
            (0, 0, 0),
            id="two answers in another order",
        ),
        pytest.param([], shelves(0, 20), (20, 0, 0), id="nothing before"),
        pytest.param(shelves(0, 20), [], (0, 20, 0), id="nothing left"),
        pytest.param([], [], (0, 0, 0), id="nothing at all"),
    ],
)
def test_rows_added_removed_and_changed_are_counted(
    then: list[tuple[str, str]], now: list[tuple[str, str]], counts: tuple[int, int, int]
):
    found = compared(profile(then), profile(now, seed=2))
    parts = (found.added, found.removed, found.changed)
    assert tuple(part.count for part in parts) == counts
    assert all(part.is_exact for part in parts)
    assert found.added.of == len(dict(now)) and found.removed.of == len(dict(then))


def test_the_same_is_at_no_distance_whatever_the_order_and_the_seed():
    pairs = [(f"Is shelf {n} full?", random.Random(n).choice(["yes", "no"])) for n in range(50)]
    mixed = random.Random(1).sample(pairs, len(pairs))
    assert profile(pairs, has_labels=True) == profile(mixed, has_labels=True, seed=9)
    found = compared(profile(pairs, has_labels=True), profile(mixed, has_labels=True))
    assert found.distances == {"length": 0, "label": 0, "vocabulary": 0}


def test_what_has_nothing_in_common_is_at_the_longest_distance():
    found = compared(profile([("a b c", "d")], tokens=9), profile([("e f g", "h")], tokens=900))
    assert found.lengths == 1 and found.vocabulary > 0.9
    assert compared(profile([]), profile([("a", "b")])).vocabulary == 1


def test_each_shift_is_seen_in_its_own_distance_and_a_larger_one_more():
    def labelled(yes: int) -> list[tuple[str, str]]:
        return [(f"Is {n} open?", "yes" if n < yes else "no") for n in range(100)]

    then = profile(labelled(50), has_labels=True)
    near, far = (compared(then, profile(labelled(yes), has_labels=True)).labels for yes in (55, 95))
    assert near and far and 0 < near < far < 1

    longer = compared(profile(shelves(0, 20), tokens=40), profile(shelves(0, 20), tokens=90))
    assert (longer.lengths, longer.vocabulary, longer.labels) == (1, 0, None)
    words = compared(profile(shelves(0, 20)), profile(shelves(0, 20, "Ask at the counter, please.")))
    assert words.lengths == 0 and words.vocabulary > 0.3


def test_labels_that_have_become_texts_have_nothing_in_common():
    assert compared(profile(shelves(0, 9), has_labels=True), profile(shelves(0, 9))).labels == 1


def test_of_more_prompts_than_are_kept_shares_are_estimated(monkeypatch: pytest.MonkeyPatch):
    for module in (profile_module, drift_module):
        monkeypatch.setattr(module, "PROMPTS_KEPT", 500)
    then, now = profile(shelves(0, 3000)), profile(shelves(1000, 4000), seed=2)
    assert len(then.answers) == len(now.answers) == 500
    found = compared(then, now)
    for part in (found.added, found.removed):
        assert part.share == pytest.approx(1 / 3, abs=0.08) and part.of == 3000 and not part.is_exact
        assert str(part).startswith("about ")
    assert found.changed.count == 0 and found.changed.of == pytest.approx(2000, rel=0.12)


def test_only_rows_whose_prompts_are_kept_are_read(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(profile_module, "PROMPTS_KEPT", 5)
    read: list[int] = []
    as_it_is = RowStore.row
    monkeypatch.setattr(RowStore, "row", lambda store, index: read.append(index) or as_it_is(store, index))
    made = profile([*shelves(0, 50), *shelves(0, 50, "Elsewhere.")])
    assert len(read) == len(made.answers) == 5 and made.prompts == 50 and made.rows == 100


def test_a_profile_comes_back_from_json_and_holds_no_text():
    planted = ["secretprompt", "secretanswer"]
    made = profile([("secretprompt", "secretanswer")] * 3, has_labels=True)
    text = made.model_dump_json()
    assert DatasetProfile.model_validate_json(text) == made
    assert not any(word in text.lower() for word in planted)


def test_an_answer_is_not_told_by_its_mark_without_the_prompt():
    """Two prompts with one answer have different marks, and many labels share a bucket."""
    marks = profile([("A?", "yes"), ("B?", "yes")]).answers.values()
    assert len(set(marks)) == 2
    guesses = {label_bucket(f"guess {n}") for n in range(20 * BUCKETS)}
    assert len(guesses) == BUCKETS


BROKEN: Sequence[dict[str, object]] = [
    {"format": 2},
    {"rows": -1},
    {"rows": 1 << 60},
    {"lengths": {"999": 1}},
    {"labels": {str(BUCKETS): 1}},
    {"words": [1]},
    {"answers": {str(1 << 64): 1}},
    {"answers": {str(n): 1 for n in range(5000)}},
]


@pytest.mark.parametrize("changed", BROKEN, ids=[str(changed)[:24] for changed in BROKEN])
def test_what_no_profile_could_hold_is_refused(changed: dict[str, object]):
    sound = profile(shelves(0, 3)).model_dump(mode="json")
    with pytest.raises(ValidationError):
        DatasetProfile.model_validate(sound | changed)
