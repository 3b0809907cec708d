"""Every promise has inputs of an enemy's that hold it."""

import re
from pathlib import Path

PROMISES = range(1, 22)


def test_every_number_has_a_file() -> None:
    numbers = {int(path.name[5:7]) for path in Path("tests/hostile").glob("test_[0-9][0-9]_*.py")}
    assert numbers - {0} == set(PROMISES)


def test_what_security_says_names_numbers_that_there_are() -> None:
    bracketed = re.findall(r"\[([0-9, ]+)\]", Path("SECURITY.md").read_text())
    named = {int(number) for numbers in bracketed for number in numbers.split(", ")}
    assert named <= set(PROMISES)
    assert named >= set(PROMISES) - {11, 14}  # those are about clear words and about waiting
