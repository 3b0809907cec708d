import errno
import gzip
import hashlib
import subprocess
import sys
from pathlib import Path

import pytest

from components.errors import InvalidInput, TunegateError
from components.storage import atomic_write, content_digest, locked, open_source


def damaged_gzip(content: bytes) -> bytes:
    whole = bytearray(gzip.compress(content))
    whole[len(whole) // 2] ^= 0xFF
    return bytes(whole)


@pytest.mark.parametrize(
    ("name", "content", "words"),
    [
        pytest.param("rows.jsonl", None, "no such file", id="missing"),
        pytest.param("folder", "folder", "is a directory", id="a directory"),
        pytest.param("rows.jsonl.gz", b"not gzip", "could not be read", id="no gzip"),
        pytest.param(
            "rows.jsonl.gz", gzip.compress(b"x" * 9999)[:-9], "could not be read", id="a gzip cut short"
        ),
        pytest.param(
            "rows.jsonl.gz",
            damaged_gzip(bytes(range(256)) * 40),
            "is no valid gzip",
            id="a gzip with damaged data",
        ),
    ],
)
def test_what_cannot_be_read_is_named(tmp_path: Path, name: str, content, words: str):
    path = tmp_path / name
    if content == "folder":
        path.mkdir()
    elif content is not None:
        path.write_bytes(content)
    with pytest.raises(InvalidInput, match=words) as refused:
        content_digest(str(path))
    assert str(path) in str(refused.value)


def test_a_digest_sees_content_and_order_and_not_the_packing(tmp_path: Path):
    one, two, packed = tmp_path / "one", tmp_path / "two", tmp_path / "one.gz"
    one.write_bytes(b"1")
    two.write_bytes(b"2")
    packed.write_bytes(gzip.compress(b"1"))
    digest = hashlib.sha256(hashlib.sha256(b"1").digest()).hexdigest()
    assert content_digest(str(one)) == content_digest(str(packed), "") == f"sha256:{digest}"
    assert content_digest(str(one), str(two)) != content_digest(str(two), str(one))
    with open_source(str(packed)) as file:
        assert file.read() == b"1"


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
