import errno
import subprocess
import sys
from pathlib import Path

import pytest

from components.errors import TunegateError
from components.storage import _HELD, Taken, _lock, atomic_write, holder_of, holding, locked


def test_a_write_that_fails_leaves_the_old_file_and_nothing_else(tmp_path: Path):
    path = tmp_path / "file"
    path.write_bytes(b"old")
    with pytest.raises(ZeroDivisionError), atomic_write(path) as file:
        file.write(b"new")
        raise ZeroDivisionError
    told = pytest.raises(TunegateError, match=r"No space left.*nothing was kept.*Free some space")
    with told, atomic_write(path) as file:
        raise OSError(errno.ENOSPC, "No space left on device")
    assert path.read_bytes() == b"old"
    assert list(tmp_path.iterdir()) == [path]
    with atomic_write(path) as file:
        file.write(b"new")
    assert path.read_bytes() == b"new"


def test_a_lock_waits_for_the_process_that_holds_it(tmp_path: Path):
    code = (
        "import sys; from pathlib import Path; from components.storage import locked\n"
        "with locked(Path(sys.argv[1])): print('held', flush=True); sys.stdin.read()"
    )
    holder = subprocess.Popen(
        [sys.executable, "-c", code, str(tmp_path / "lock")],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    assert holder.stdout and holder.stdout.readline() == "held\n"
    probe = "import fcntl, sys; fcntl.flock(open(sys.argv[1], 'w'), fcntl.LOCK_EX | fcntl.LOCK_NB)"
    taken = subprocess.run([sys.executable, "-c", probe, str(tmp_path / "lock")], capture_output=True)
    assert b"BlockingIOError" in taken.stderr
    holder.communicate()
    with locked(tmp_path / "lock"):
        pass


def test_a_file_is_held_by_one_at_a_time_and_says_by_whom_until_it_is_let_go(tmp_path: Path):
    path = tmp_path / "folder" / "lock"
    assert holder_of(path) == ""
    with holding(path, "the first one, whose name is long"):
        with pytest.raises(Taken, match="is held by the first one") as taken, holding(path, "the second"):
            pass
        assert taken.value.by == holder_of(path) == "the first one, whose name is long"
    assert holder_of(path) == ""
    with holding(path, "the second"):
        assert holder_of(path) == "the second"
        assert path.read_text() == "the second"


def test_who_has_just_taken_a_file_is_not_taken_for_the_one_before(tmp_path: Path):
    path = tmp_path / "lock"
    with holding(path, "the one before"):
        pass
    with path.open("a+") as file:
        _lock(file, _HELD)  # and has not come to say who it is
        assert holder_of(path) == ""
        with pytest.raises(Taken, match="is held by another command"), holding(path, "a third"):
            pass
