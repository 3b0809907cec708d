"""Whoever only looks at a state directory, `tunegate status --watch` say, refuses nobody who wants it."""

import os
import re
import subprocess
import sys
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import pytest

from pipelines.local import running_release
from pipelines.lock import Busy, exclusive, holder

TURNS = 500
LOOKER = """
import sys
from pipelines.lock import holder
print("looking", flush=True)
seen = set()
while not sys.stdin.closed and not select.select([sys.stdin], [], [], 0)[0]:
    for _ in range(200):
        seen.add(holder())
print(*sorted(seen), sep="\\n")
"""
HOLDER = """
import sys
from pipelines.lock import exclusive
with exclusive("release r1"):
    print("held", flush=True)
    sys.stdin.read()
"""


@contextmanager
def process(script: str) -> Iterator["subprocess.Popen[str]"]:
    """Run a script until its standard input is closed; it has said its first line."""
    command = [sys.executable, "-c", f"import select\n{script}"]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as started:
        try:
            assert started.stdout and started.stdout.readline()
            yield started
        finally:
            started.kill()


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("TUNEGATE_HOME", str(tmp_path))
    return tmp_path


def test_those_who_look_all_the_time_refuse_no_release(home: Path) -> None:
    with ExitStack() as stack:
        looking = [stack.enter_context(process(LOOKER)) for _ in range(3)]
        for turn in range(TURNS):
            with exclusive(f"release {turn}"):
                pass
        seen = {line for one in looking for line in one.communicate()[0].splitlines() if line}

    assert all(re.fullmatch(rf"release \d+ \(process {os.getpid()}\)", text) for text in seen), seen


def test_who_looks_sees_who_holds_it_and_nobody_when_it_is_free(home: Path) -> None:
    assert holder() == ""
    with process(HOLDER) as other:
        assert holder() == f"release r1 (process {other.pid})"
        assert running_release() == "r1"
        with pytest.raises(Busy, match=rf"is in use by release r1 \(process {other.pid}\): wait for it"):
            exclusive("tunegate up").__enter__()
        other.kill()
        other.wait()
        assert "r1" in (home / "lock").read_text()
        assert (holder(), running_release()) == ("", "")
    with exclusive("tunegate up"):
        assert holder() == f"tunegate up (process {os.getpid()})"
    assert holder() == ""


def test_looking_makes_nothing(home: Path) -> None:
    holder()

    assert not (home / "lock").exists()
