import errno
import subprocess
import sys
from pathlib import Path

import pytest

from components.errors import TunegateError
from components.storage import atomic_write, locked


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
