"""Work that a process of its own does, or this one where it has what that takes."""

import os
import sys
import time

import pytest

from components.dataset.beside import Beside
from components.errors import TunegateError

NOT_HERE = "this"  # it prints a poem, too, which is no answer


@pytest.fixture(autouse=True)
def not_here(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delitem(sys.modules, NOT_HERE, raising=False)


def test_another_process_answers_in_order_and_is_gone_afterwards():
    with Beside(NOT_HERE) as beside:
        process = beside.call(os.getpid)
        answers = [beside.call(sorted, [number, 3], reverse=True) for number in range(5)]
        assert [answer.result() for answer in answers] == [[3, 0], [3, 1], [3, 2], [3, 3], [4, 3]]
    assert process.result() != os.getpid() and NOT_HERE not in sys.modules
    with pytest.raises(ProcessLookupError):
        os.kill(process.result(), 0)


def test_a_process_that_has_the_modules_does_it_itself():
    with Beside("os", "sys") as beside:
        assert beside.call(os.getpid).result() == os.getpid()
        with pytest.raises(ValueError, match="invalid literal"):
            beside.call(int, "x").result()


def test_what_is_raised_is_told_and_the_next_is_answered():
    with Beside(NOT_HERE) as beside:
        with pytest.raises(ValueError, match="invalid literal"):
            beside.call(int, "x").result()
        assert beside.call(int, "4").result() == 4


@pytest.mark.parametrize("module", [NOT_HERE, "no_such_module"])
def test_a_process_that_ends_is_told(module: str):
    with Beside(module) as beside:
        first, second = beside.call(os._exit, 1), beside.call(abs, -1)
        for answer, name in ((first, "_exit"), (second, "abs")):
            with pytest.raises(TunegateError, match=f"^{name}: the process that does it ended with status 1"):
                answer.result()


def test_nobody_waits_for_what_is_not_asked_for_any_more():
    with Beside(NOT_HERE) as beside:
        beside.call(time.sleep, 3600)
