"""The count of fields that were not used stays small, whatever the names are."""

from components.dataset.forms.not_used import MOST_NAMES, NAME_CHARACTERS, OTHERS, NotUsed


def test_rows_are_counted_by_field_most_first():
    counted = NotUsed()
    counted.note(["id", "id", "tag"])
    counted.note(["tag"])
    assert list(counted.rows.items()) == [("tag", 2), ("id", 1)]


def test_a_million_names_are_a_hundred_and_the_others():
    counted = NotUsed()
    for number in range(MOST_NAMES + 20):
        counted.note([f"field {number}"])
    counted.note([f"new {number}" for number in range(5)])
    assert len(counted.rows) == MOST_NAMES + 1
    assert list(counted.rows.items())[-1] == (OTHERS, 21)


def test_a_long_name_is_cut_and_made_printable():
    counted = NotUsed()
    counted.note(["\x1b[31m" + "x" * 10_000_000, "\ud800"])
    assert all(len(name) <= NAME_CHARACTERS and name.isprintable() for name in counted.rows)
