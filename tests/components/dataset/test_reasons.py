import pytest

from components.dataset.quarantine import Quarantine, Quarantined
from components.dataset.reasons import ROWS_KEPT, reasons
from components.dataset.rows import Kind


def row(kind: Kind, line: int, file: str = "/data/rows.jsonl") -> Quarantined:
    return Quarantined(file, line, kind, f"why {line}", "text")


def set_aside(*rows: Quarantined) -> Quarantine:
    quarantine = Quarantine(None)
    for one in rows:
        quarantine.add(one)
    quarantine.finish()
    return quarantine


def test_reasons_come_most_rows_first_with_the_first_rows_of_each():
    found = reasons(set_aside(row("duplicate", 5), row("not_json", 2), row("duplicate", 3)))
    assert [(reason.kind, reason.count) for reason in found] == [("duplicate", 2), ("not_json", 1)]
    assert [kept.line for kept in found[0].first] == [3, 5]


def test_reasons_of_as_many_rows_come_as_their_first_rows_stand():
    found = reasons(set_aside(row("too_long", 1, "b"), row("duplicate", 9, "a"), row("not_json", 2, "a")))
    assert [reason.kind for reason in found] == ["not_json", "duplicate", "too_long"]


def test_no_row_set_aside_is_no_reason():
    assert reasons(set_aside()) == []


@pytest.mark.parametrize(
    ("rows", "places"),
    [
        pytest.param([row("too_long", 7)], "rows.jsonl, line 7", id="one"),
        pytest.param([row("too_long", 7), row("too_long", 1200)], "rows.jsonl, lines 7, 1200", id="two"),
        pytest.param(
            [row("too_long", 7), row("too_long", 9, "s3://store/more.csv")],
            "rows.jsonl, line 7; more.csv, line 9",
            id="two files",
        ),
        pytest.param(
            [row("too_long", line) for line in range(1, ROWS_KEPT + 4)],
            "rows.jsonl, lines 1, 2, 3, 4, 5, 6, 7, 8 and 3 more",
            id="more than are kept",
        ),
    ],
)
def test_places(rows: list[Quarantined], places: str):
    (reason,) = reasons(set_aside(*rows))
    assert reason.places == places
    assert len(reason.first) <= ROWS_KEPT
