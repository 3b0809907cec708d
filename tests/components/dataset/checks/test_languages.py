"""Languages of a sample, and rows in another one."""

from components.dataset.checks.languages import SAMPLE_ROWS, LanguageSample

ENGLISH = "Where can I find the large bag of dog food that I saw here last week?"
GERMAN = "Wo steht das Regal mit dem Hundefutter, das ich gestern hier gesehen habe?"


def test_shares_and_the_rows_to_look_at():
    sample = LanguageSample()
    for line in range(1, 100):
        sample.add("a.jsonl", line, f"{ENGLISH} {line}")
    sample.add("a.jsonl", 100, GERMAN)
    sample.add("a.jsonl", 101, "Ja.")
    sample.add("a.jsonl", 102, "\ud800\x00")
    found = sample.shares()
    assert str(found) == "en 99 %, de 1 %"
    assert found.rows == 100 and found.outliers == [("a.jsonl", 100, "de")]


def test_the_sample_is_bounded_and_of_all_rows():
    sample = LanguageSample()
    for line in range(4 * SAMPLE_ROWS):
        sample.add("a.jsonl", line, GERMAN if line >= 2 * SAMPLE_ROWS else ENGLISH)
    found = sample.shares()
    assert found.rows == SAMPLE_ROWS
    assert 0.4 < found.shares["de"] < 0.6


def test_texts_too_short_to_tell_are_not_told():
    sample = LanguageSample()
    sample.add("a.jsonl", 1, "translate")
    assert str(sample.shares()) == "" and sample.shares().rows == 0
