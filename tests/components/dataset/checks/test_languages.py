"""Languages of a sample, and rows in another one."""

from components.dataset.checks.languages import language_shares

ENGLISH = "Where can I find the large bag of dog food that I saw here last week?"
GERMAN = "Wo steht das Regal mit dem Hundefutter, das ich gestern hier gesehen habe?"


def test_shares_and_the_rows_to_look_at():
    rows = [("a.jsonl", line, f"{ENGLISH} {line}") for line in range(1, 100)]
    rows += [("a.jsonl", 100, GERMAN), ("a.jsonl", 101, "Ja."), ("a.jsonl", 102, "\ud800\x00")]
    found = language_shares(rows)
    assert str(found) == "en 99 %, de 1 %"
    assert found.rows == 100 and found.outliers == [("a.jsonl", 100, "de")]


def test_texts_too_short_to_tell_are_not_told():
    found = language_shares([("a.jsonl", 1, "translate")])
    assert str(found) == "" and found.rows == 0
