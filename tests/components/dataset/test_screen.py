"""Screening: every row ends in exactly one place, and no prompt is in both sets."""

import json
from collections.abc import Sequence
from pathlib import Path
from random import Random
from typing import Any

import numpy
import pytest

from components.conversations import Conversation
from components.dataset.checks.signatures import Signatures
from components.dataset.contradictions import contradicting
from components.dataset.files.source_row import SourceRow
from components.dataset.intake import Intake
from components.dataset.row_store import Row, Rows, RowStore
from components.dataset.rows import RowFlaw, to_conversation
from components.dataset.screen import Screen, Screened, fingerprint
from components.dataset.split import held_out_of
from components.errors import InvalidInput

WORDS = ["where", "what", "is", "the", "aisle", "of", "dog", "cat", "food", "bed", "price", "stock", "today"]


def source_rows(*questions_and_answers: tuple[str, str]) -> list[SourceRow]:
    rows = [{"instruction": question, "output": answer} for question, answer in questions_and_answers]
    return [SourceRow(line, json.dumps(row), row) for line, row in enumerate(rows, start=1)]


def words(rows: Sequence[Conversation]) -> list[int | RowFlaw]:
    """Stand in for a tokenizer: a word is a token."""
    return [sum(len(message.content.split()) for message in row.messages) for row in rows]


def screen_two(train: list[SourceRow], held_out: list[SourceRow], max_length: int = 50) -> Screened:
    return Screen(Intake(max_length, lambda: words, 17)).with_eval_file(
        ("train.jsonl", train), ("eval.jsonl", held_out)
    )


def set_aside(screened: Screened) -> list[tuple[str, int, str, str]]:
    return [(row.file, row.line, row.kind, row.reason) for row in screened.quarantined]


def test_equal_rows_are_kept_once_and_name_their_twin():
    screened = screen_two(source_rows(("A?", "1"), ("B?", "2"), (" A?", "1 ")), source_rows(("C?", "3")))
    assert set_aside(screened) == [("train.jsonl", 3, "duplicate", "is the same as line 1")]


def test_a_train_row_that_asks_what_is_held_out_is_left_out_and_the_eval_rows_stay():
    screened = screen_two(
        source_rows(("WHERE  is\tit?", "No idea."), ("Other?", "1")), source_rows(("Where is it?", "Here."))
    )
    assert set_aside(screened) == [
        ("train.jsonl", 1, "leaks_eval", "asks what line 1 of eval.jsonl holds out")
    ]
    assert [row.conversation.completion for row in screened.eval] == ["Here."]


def test_a_row_is_too_long_only_beyond_the_limit():
    screened = screen_two(
        source_rows(("a b c", "d"), ("a b c", "d e")), source_rows(("x", "y")), max_length=4
    )
    ((_, line, kind, reason),) = set_aside(screened)
    assert (line, kind) == (2, "too_long")
    assert "5 tokens" in reason and "max_length is 4" in reason
    assert sorted(screened.tokens.tolist()) == [2, 4, 5]


def test_different_answers_to_one_prompt_are_found():
    screened = screen_two(
        source_rows(("Where?", "Aisle 1."), ("where?", "Aisle 2."), ("B?", "Yes."), ("b?", "yes.")),
        source_rows(("C?", "3")),
    )
    assert [[row.line for row in group] for group in screened.contradictions.first] == [[1, 2]]
    assert (screened.contradictions.rows, screened.contradictions.groups) == (2, 1)


def grouped_rows(*customers: object) -> list[SourceRow]:
    rows = [{"prompt": f"Q{n}", "completion": "A", "customer": name} for n, name in enumerate(customers)]
    return [SourceRow(line, json.dumps(row), row) for line, row in enumerate(rows, start=1)]


def test_rows_of_a_group_are_on_one_side():
    customers: list[Any] = [{"id": n // 2} if n < 40 else None for n in range(80)]
    screened = Screen(Intake(50, lambda: words, 3, group_by="customer")).with_split(
        ("train.jsonl", grouped_rows(*customers)), 0.25
    )
    sides = [
        {customers[row.line - 1]["id"] for row in rows if row.line <= 40}
        for rows in (screened.train, screened.eval)
    ]
    assert screened.in_groups == 40
    assert len(sides[0]) + len(sides[1]) == 20 and not sides[0] & sides[1] and sides[1]
    assert len(screened.eval) in (20, 21)


def test_a_train_row_of_a_group_that_is_held_out_is_left_out():
    screen = Screen(Intake(50, lambda: words, 17, group_by="customer"))
    train, held_out = grouped_rows("ann", "bob", None), grouped_rows(*"x" * 7, "bob")[7:]
    screened = screen.with_eval_file(("train.jsonl", train), ("eval.jsonl", held_out))
    assert set_aside(screened) == [
        ("train.jsonl", 2, "leaks_eval", "has the customer of line 8 of eval.jsonl, held out")
    ]


def test_near_duplicates_are_counted_and_shown(tmp_path: Path):
    long = "may I bring back the large bag of dog food that I bought for my neighbour on Monday"
    train = source_rows((f"{long}?", "Yes."), (f"Hello, {long}!", "Yes."), ("Where?", "There."))
    screen = Screen(Intake(50, lambda: words, 17, signatures=Signatures(tmp_path)))
    screened = screen.with_eval_file(
        ("train.jsonl", train), ("eval.jsonl", source_rows((f"{long} please", "No.")))
    )
    assert (screened.nearly.duplicates, screened.nearly.leaks) == (1, 2)
    pairs = {(one.line, other.file) for one, other in screened.nearly.pairs}
    assert {(1, "train.jsonl"), (1, "eval.jsonl")} <= pairs
    assert len(screened.train) == 3


def make_rows(count: int, prompts: int) -> list[Row]:
    return [
        Row("f", n, "", to_conversation({"prompt": f"Q{n % prompts}", "completion": f"A{n}"}))
        for n in range(count)
    ]


def stored(rows: list[Row], seed: int = 1) -> RowStore:
    store = RowStore(seed)
    for row in rows:
        store.add(row)
    return store


@pytest.mark.parametrize("seed", range(5))
@pytest.mark.parametrize("prompts", [200, 40])
def test_a_split_parts_by_prompt(seed: int, prompts: int):
    rows = make_rows(200, prompts)
    held_out = held_out_of(stored(rows, seed).prompts, 0.2)
    keys = [
        {row.prompt_key for row, out in zip(rows, held_out, strict=True) if out == side} for side in (0, 1)
    ]
    assert not keys[0] & keys[1]
    assert 40 <= held_out.sum() < 40 + 200 // prompts


def test_a_split_follows_its_seed_and_not_the_order_of_the_rows():
    rows = make_rows(50, 50)

    def lines(rows: list[Row], seed: int) -> set[int]:
        held_out = held_out_of(stored(rows, seed).prompts, 0.2)
        return {row.line for row, out in zip(rows, held_out, strict=True) if out}

    assert lines(rows, 1) != lines(rows, 2)
    assert lines(rows[::-1], 1) == lines(rows, 1)


def test_a_file_that_says_what_it_holds_out_is_parted_so():
    rows = [
        SourceRow(line, "", row.value, side=side)
        for line, (row, side) in enumerate(
            zip(source_rows(("A?", "1"), ("B?", "2"), ("b?", "3")), ("train", "eval", "train"), strict=True),
            start=1,
        )
    ]
    screened = Screen(Intake(50, lambda: words, 17)).with_split(("all.json", rows), 0.5)
    assert [row.line for row in screened.train] == [1] and [row.line for row in screened.eval] == [2]
    assert set_aside(screened) == [("all.json", 3, "leaks_eval", "asks what line 2 of all.json holds out")]
    with pytest.raises(InvalidInput, match=r"all\.json holds rows to train on and rows to hold out"):
        Screen(Intake(50, lambda: words, 17)).with_eval_file(
            ("all.json", rows), ("eval.jsonl", source_rows(("C?", "1")))
        )


@pytest.mark.parametrize("seed", range(5))
def test_contradictions_are_those_that_a_plain_count_finds(seed: int):
    random = Random(seed)
    prompts = numpy.array([random.randrange(30) for _ in range(100)], "u8")
    answers = numpy.array([random.randrange(2) for _ in range(100)], "u4")
    groups = [numpy.flatnonzero(prompts == prompt).tolist() for prompt in set(prompts.tolist())]
    wanted = sorted(group for group in groups if len(set(answers[group].tolist())) > 1)
    rows, count, first = contradicting(prompts, answers)
    assert (rows, count) == (sum(map(len, wanted)), len(wanted))
    assert [group.tolist() for group in first] == wanted[:20]


def test_the_fingerprint_follows_content_and_side():
    one, two = make_rows(2, 2)
    store = stored([one, two, Row("another file", 77, "", one.conversation, tokens=9)])

    def digest(train: list[int], held_out: list[int]) -> str:
        return fingerprint(Rows(store, numpy.array(train, int)), Rows(store, numpy.array(held_out, int)))

    assert digest([0], [1]) == digest([2], [1])
    assert len({digest([0], [1]), digest([1], [0]), digest([0, 1], [])}) == 3


def test_rows_come_back_as_they_were_added():
    rows = make_rows(20, 5)
    store = stored(rows)
    assert list(Rows(store, numpy.arange(20))) == rows
    assert list(Rows(store, numpy.array([3, 1]))[1:]) == [rows[1]]
    assert all(len(set(keys.tolist())) == count for keys, count in ((store.prompts, 5), (store.contents, 20)))


def test_some_rows_are_of_all_of_them_in_their_order():
    rows = Rows(stored(make_rows(200, 200)), numpy.arange(200))
    some = rows.some(50).indices.tolist()
    assert some == sorted(set(some)) and len(some) == 50
    assert 15 < sum(index >= 100 for index in some) < 35
    assert rows.some(50).indices.tolist() == some
    assert rows.some(200).indices.tolist() == list(range(200))


def random_row(random: Random) -> object:
    """Draw a row that is sound about half the time and flawed in any way otherwise."""
    texts: list[object] = [" ".join(random.choices(WORDS, k=random.randint(1, 3))) for _ in range(2)]
    if random.random() < 0.5:
        texts[random.randrange(2)] = random.choice(["", " \n", None, 5, [], {}, "\udc80", "long " * 60, True])
    fields = random.choice(
        [("instruction", "output"), ("prompt", "completion"), ("q", "a"), ("prompt", "output")]
    )
    row: dict[str, object] = dict(zip(fields, texts, strict=True))
    turns = [{"role": role, "content": text} for role, text in zip(("user", "assistant"), texts, strict=True)]
    random.shuffle(turns)
    return random.choice([row, row, row, {"messages": turns}, [row], None, texts[0], {}])


@pytest.mark.parametrize("seed", range(20))
def test_every_row_is_accepted_or_quarantined_once(seed: int):
    random = Random(seed)
    train, held_out = (
        [
            SourceRow(
                line, "", random_row(random), RowFlaw("not_json", "cut") if random.random() < 0.1 else None
            )
            for line in range(1, random.randint(2, 300))
        ]
        for _ in range(2)
    )
    for screened in (
        screen_two(train, held_out),
        Screen(Intake(50, lambda: words, seed)).with_split(("train.jsonl", train), 0.3),
        Screen(Intake(50, lambda: None, seed)).with_eval_file(
            ("train.jsonl", train), ("eval.jsonl", held_out)
        ),
    ):
        placed = [(row.file, row.line) for row in (*screened.train, *screened.eval, *screened.quarantined)]
        read = [("train.jsonl", row.line) for row in train]
        if len(screened.rows_by_file) == 2:
            read += [("eval.jsonl", row.line) for row in held_out]
        assert sorted(placed) == sorted(read)
        assert screened.rows_in == len(read)
        assert not {r.prompt_key for r in screened.train} & {r.prompt_key for r in screened.eval}
        assert len({row.content for row in screened.train}) == len(screened.train)
