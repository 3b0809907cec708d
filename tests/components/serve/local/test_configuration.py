import socket
from pathlib import Path

import pytest

from components.serve.local.configuration import short_folder, socket_path


def test_a_socket_path_that_is_too_long_moves_to_where_every_session_finds_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    deep = Path("/" + "deep/" * 30)
    found = socket_path(deep)
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    monkeypatch.setattr("tempfile.tempdir", None)  # as in a new process

    assert socket_path(Path("/short")) == Path("/short/run/supervisor.sock")
    assert len(str(found)) < 90
    assert socket_path(deep) == found
    assert socket_path(deep) != socket_path(deep / "er")


@pytest.mark.parametrize(("spare", "stays"), [(0, True), (-1, False)], ids=["just fits", "one too long"])
def test_a_folder_is_as_long_as_its_sockets_allow(spare: int, stays: bool) -> None:
    folder = Path("/" + "x" * (107 - 36 - 2 - spare))

    found = short_folder(folder, 36)

    assert (found == folder) == stays
    with socket.socket(socket.AF_UNIX) as longest, pytest.raises(FileNotFoundError):
        longest.bind(f"{found}/none/{'y' * 31}")  # no "path too long"
