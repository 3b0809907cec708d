"""Texts and numbers of many rows at once."""

import pyarrow
import pytest

from components.dataset.arrays import text_column


@pytest.mark.parametrize("texts", [[], [""], ["a", "", "bc\n", "é\x00漢 x"]])
def test_a_column_is_what_arrow_makes_of_the_texts(texts: list[str]):
    column = text_column(texts)
    column.validate(full=True)
    assert column.equals(pyarrow.array(texts, type=pyarrow.large_string()))


def test_half_a_character_becomes_a_question_mark():
    assert text_column(["a\ud800b", "c"]).to_pylist() == ["a?b", "c"]
