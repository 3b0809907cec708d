"""Rows that are set aside: in order, counted, and without what nobody may see."""

from collections.abc import Sequence

import pytest

from components.dataset import quarantine as module
from components.dataset.checks.spans import Found
from components.dataset.quarantine import Quarantine, Quarantined
from components.dataset.rows import Kind

PLACES = [("b.jsonl", 2), ("a.jsonl", 10), ("c.jsonl", 1), ("a.jsonl", 9), ("b.jsonl", 1)]


def row(file: str, line: int, kind: Kind = "not_json", text: str = "x") -> Quarantined:
    return Quarantined(file, line, kind, f"is no JSON: {text}", text)


@pytest.mark.parametrize("at_once", [1, 2, 100])
def test_rows_come_in_the_order_of_files_and_lines(at_once: int, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(module, "SEARCHED_AT_ONCE", at_once)
    quarantine = Quarantine(None)
    for file, line in PLACES:
        quarantine.add(row(file, line))
    quarantine.finish()
    assert [(found.file, found.line) for found in quarantine] == sorted(PLACES)
    assert [(found.file, found.line) for found in quarantine.first(2)] == sorted(PLACES)[:2]
    assert len(quarantine) == 5 and quarantine.by_kind() == {"not_json": 5}
    assert quarantine.counts["b.jsonl", "not_json"] == 2


def test_of_a_row_that_holds_what_nobody_may_see_nothing_is_shown():
    def search(texts: Sequence[str]) -> Sequence[Found]:
        return [("secret: token",) if "hidden" in text else () for text in texts]

    quarantine = Quarantine(search)
    quarantine.add(row("a", 1, text="open"))
    quarantine.add(row("a", 2, text="y" * 1000 + "hidden"))
    quarantine.add(row("a", 3, kind="duplicate", text="hidden"))
    quarantine.finish()
    shown, withheld, silent = quarantine
    assert (shown.excerpt, shown.reason) == ("open", "is no JSON: open")
    assert (withheld.excerpt, withheld.reason) == (
        "[withheld: it holds secret]",
        "not json; the rest is withheld",
    )
    assert silent.reason == "is no JSON: hidden"  # of this kind, a reason quotes nothing; here it is made up


def test_other_texts_are_searched_with_the_rows():
    searched: list[list[str]] = []

    def search(texts: Sequence[str]) -> Sequence[Found]:
        searched.append([*texts])
        return [("email",) if "@" in text else () for text in texts]

    quarantine = Quarantine(search)
    quarantine.add(row("a", 1, text="a@b"))
    assert quarantine.finish(["name", "c@d"]) == [(), ("email",)]
    assert searched == [["a@b", "is no JSON: a@b", "name", "c@d"]]
    assert [found.excerpt for found in quarantine] == ["[withheld: it holds email]"]
    assert quarantine.finish(["e@f"]) == [("email",)] and len(quarantine) == 1


def test_nothing_set_aside():
    quarantine = Quarantine(None)
    assert quarantine.finish(["a@b"]) == [()]
    assert list(quarantine) == [] and not len(quarantine) and not quarantine.by_kind()
