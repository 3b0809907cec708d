"""Rows as tokens come back by their numbers, in the order that is asked for."""

from array import array
from random import Random

import numpy
import pytest

from components.dataset.encoded_rows import EncodedRows
from components.templates.example import Example
from components.templates.examples import Examples

COUNT = 40


@pytest.fixture
def encoded() -> EncodedRows:
    encoded, number = EncodedRows(), 0
    for size in (1, 0, 25, 14):
        encoded.add([(Example(array("i", [row, 1, 2]), ((1, 3),)),) for row in range(number, number + size)])
        number += size
    return encoded


@pytest.mark.parametrize(
    "wanted",
    [
        pytest.param([], id="none"),
        pytest.param(range(COUNT), id="all"),
        pytest.param(range(1, COUNT, 3), id="some"),
        pytest.param(Random(1).sample(range(COUNT), 20), id="in-any-order"),
    ],
)
def test_rows_come_back_in_the_order_that_is_asked_for(encoded: EncodedRows, wanted: list[int]):
    found = Examples([*encoded.batches(numpy.array(wanted, "u4"))])
    assert [example.tokens[0] for example in found] == list(wanted)
