"""Examples come back from record batches as they went in, and long rows are left out whole."""

from array import array

import pytest

from components.templates.example import Example
from components.templates.examples import Examples, record_batch


def example(length: int, *learned: tuple[int, int]) -> Example:
    return Example(array("i", range(length)), learned)


SHORT, LONG, TWICE = example(3, (1, 3)), example(9, (2, 9)), example(7, (2, 4), (5, 7))
ROWS = [[(SHORT,), (), (LONG, SHORT)], [], [(TWICE,), (SHORT, TWICE)]]


def made(max_length: int | None = None) -> Examples:
    return Examples([record_batch(rows) for rows in ROWS], max_length)


def test_they_come_back_as_they_went_in():
    examples = made()
    assert list(examples) == [SHORT, LONG, SHORT, TWICE, SHORT, TWICE]
    assert examples[-1] == TWICE and examples[1:3] == [LONG, SHORT]
    assert examples.lengths.tolist() == [3, 9, 3, 7, 3, 7]
    assert examples.learned_tokens == sum(each.learned_count for each in examples)


@pytest.mark.parametrize(
    ("max_length", "kept", "left_out"),
    [
        pytest.param(9, [SHORT, LONG, SHORT, TWICE, SHORT, TWICE], 1, id="nothing-to-be-learned"),
        pytest.param(8, [SHORT, TWICE, SHORT, TWICE], 2, id="one-of-its-examples-is-too-long"),
        pytest.param(3, [SHORT], 4, id="most"),
        pytest.param(2, [], 5, id="all"),
    ],
)
def test_a_row_is_left_out_whole(max_length: int, kept: list[Example], left_out: int):
    examples = made(max_length)
    assert (list(examples), examples.left_out, examples.rows) == (kept, left_out, 5)
    assert examples.learned_tokens == sum(each.learned_count for each in kept)
    assert examples.shortest == 3


@pytest.mark.parametrize("batches", [pytest.param([], id="no-batch"), pytest.param([[]], id="no-row")])
def test_there_may_be_none(batches: list[list[tuple[Example, ...]]]):
    examples = Examples([record_batch(rows) for rows in batches], 5)
    assert (len(examples), examples.rows, examples.left_out, examples.shortest) == (0, 0, 0, None)


def test_there_is_none_behind_the_last():
    with pytest.raises(IndexError):
        made()[6]
