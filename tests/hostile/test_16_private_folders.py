"""Somebody else on the machine was there first: with a folder of ours, a link, or a socket that answers."""

import os
import socket
import stat
import tempfile
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from components.engine.private_folder import NotPrivate, make_private, refuse_readable
from components.engine.scratch import FOLDER_VARIABLE, scratch_folder
from components.errors import InvalidInput
from components.serve.local.backend import LocalBackend
from components.serve.local.configuration import socket_path
from components.serve.local.state import StateFile
from components.serve.local.supervisor import Supervisor
from components.settings import home, make_home
from pipelines.lock import exclusive

Prepare = Callable[[Path], None]


def opened(mode: int) -> Prepare:
    def prepare(folder: Path) -> None:
        folder.mkdir()
        folder.chmod(mode)

    return prepare


def linked(folder: Path) -> None:
    elsewhere = folder.with_name("elsewhere")
    elsewhere.mkdir(mode=0o700)
    folder.symlink_to(elsewhere)


def of_somebody_else(folder: Path) -> None:
    folder.mkdir(mode=0o700)
    if os.geteuid() != 0:
        pytest.skip("only root can give a folder away")
    os.chown(folder, 12345, -1)


HOSTILE = {
    "everybody may write": (opened(0o777), "is open to others"),
    "everybody may write and delete what is theirs": (opened(0o1777), "is open to others"),
    "everybody may look": (opened(0o755), "is open to others"),
    "the group may look": (opened(0o750), "is open to others"),
    "others may pass": (opened(0o711), "is open to others"),
    "a link to a folder of ours": (linked, "is a link, wanted a folder"),
    "a link to nowhere": (lambda folder: folder.symlink_to("nowhere"), "is a link, wanted a folder"),
    "a file": (Path.touch, "is a file, wanted a folder"),
    "of somebody else": (of_somebody_else, "belongs to somebody else"),
}
each_trap = pytest.mark.parametrize(("prepare", "words"), HOSTILE.values(), ids=HOSTILE.keys())


@each_trap
def test_a_folder_that_is_not_ours_alone_is_refused_and_left_as_it_is(
    tmp_path: Path, prepare: Prepare, words: str
) -> None:
    folder = tmp_path / "tunegate-1000-abc"
    prepare(folder)
    before = folder.lstat()

    with pytest.raises(
        NotPrivate, match=rf"tunegate-1000-abc: {words}.*; nothing in it was used.*TUNEGATE_H"
    ):
        make_private(folder)

    assert folder.lstat() == before


def test_a_folder_of_ours_is_used_in_a_volume_of_a_pod(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The kubelet lets everybody write to it; in it is what an engine that was killed has left."""
    volume = tmp_path / "tmp"
    volume.mkdir()
    volume.chmod(0o2777)
    monkeypatch.setattr(tempfile, "tempdir", str(volume))
    monkeypatch.delenv("TORCHINDUCTOR_CACHE_DIR", raising=False)
    monkeypatch.setenv(FOLDER_VARIABLE, str(volume / "engine"))
    make_private(volume / "engine")
    (volume / "engine" / "vllm_dist_1").touch()

    with scratch_folder() as folder:
        assert list(folder.iterdir()) == []


def test_a_folder_of_ours_is_made_for_us_alone_whatever_the_umask(tmp_path: Path) -> None:
    before = os.umask(0)
    try:
        make_private(tmp_path / "a" / "own")
        make_private(tmp_path / "a" / "own")
    finally:
        os.umask(before)

    assert stat.S_IMODE((tmp_path / "a" / "own").stat().st_mode) == 0o700


@pytest.fixture
def far(tmp_path: Path) -> Iterator[Path]:
    """A state directory whose sockets have to stand in /tmp; what stands there is taken away again."""
    folder = tmp_path / ("a-long-name-" * 8) / "serve"
    place = socket_path(folder).parent
    assert place.parent == Path("/tmp") and not place.exists()
    yield folder
    if place.is_symlink() or place.is_file():
        place.unlink()
    elif place.exists():
        (place / "supervisor.sock").unlink(missing_ok=True)
        place.rmdir()


@pytest.mark.parametrize("mode", [0o777, 0o755], ids=oct)
def test_a_socket_in_a_folder_that_others_can_change_is_not_even_asked(far: Path, mode: int) -> None:
    place = socket_path(far).parent
    place.mkdir()
    place.chmod(mode)
    heard: list[object] = []
    with socket.socket(socket.AF_UNIX) as trap:
        trap.bind(str(place / "supervisor.sock"))
        trap.listen()
        listener = threading.Thread(target=lambda: _hear(trap, heard), daemon=True)
        listener.start()

        for use in (Supervisor(far).running, Supervisor(far).start, Supervisor(far).groups):
            with pytest.raises(NotPrivate, match="is open to others"):
                use()

        trap.shutdown(socket.SHUT_RDWR)
        listener.join(10)
    assert heard == []
    assert not (far / "supervisord.pid").exists()


def _hear(trap: socket.socket, heard: list[object]) -> None:
    try:
        heard.append(trap.accept())
    except OSError:
        return


@each_trap
def test_an_engine_does_not_empty_or_use_a_folder_that_is_not_ours(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, prepare: Prepare, words: str
) -> None:
    folder = tmp_path / "engine"
    prepare(folder)
    monkeypatch.setenv(FOLDER_VARIABLE, str(folder))

    with pytest.raises(NotPrivate, match=words), scratch_folder():
        pass

    assert folder.is_symlink() or folder.exists()


@each_trap
def test_kernels_that_somebody_else_could_have_put_there_are_not_run(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, prepare: Prepare, words: str
) -> None:
    monkeypatch.delenv("TORCHINDUCTOR_CACHE_DIR", raising=False)
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    prepare(tmp_path / f"tunegate-kernels-{os.geteuid()}")
    before = dict(os.environ)

    with pytest.raises(NotPrivate, match=words), scratch_folder():
        pass

    assert dict(os.environ) == before
    assert not list(tmp_path.glob("tunegate-[!k]*"))  # the engine's own folder is not left behind


def keys(folder: Path, *modes: int) -> Path:
    """Return a folder of keys with these modes: the folder above it, its own, the key's."""
    (folder / "a" / "keys").mkdir(parents=True)
    (folder / "a" / "keys" / "ann").write_text("secret")
    for path, mode in zip(
        (folder / "a", folder / "a" / "keys", folder / "a" / "keys" / "ann"), modes, strict=True
    ):
        path.chmod(mode)
    return folder / "a" / "keys"


@pytest.mark.parametrize(
    ("modes", "refused"),
    [
        ((0o755, 0o755, 0o644), True),
        ((0o711, 0o711, 0o604), True),  # whoever knows the name
        ((0o755, 0o755, 0o640), False),
        ((0o755, 0o750, 0o644), False),
        ((0o700, 0o755, 0o644), False),
    ],
    ids=lambda value: " ".join(map(oct, value)) if isinstance(value, tuple) else "",
)
def test_keys_that_everybody_here_can_read_let_nobody_in(modes: tuple[int, ...], refused: bool) -> None:
    with tempfile.TemporaryDirectory(prefix="keys-", dir="/tmp") as place:
        Path(place).chmod(0o755)  # as pytest's own folders are not
        directory = keys(Path(place), *modes)
        if not refused:
            refuse_readable(directory)
            return
        with pytest.raises(
            InvalidInput, match=r"ann: can be read by everybody on this machine; chmod o= /tmp/"
        ):
            refuse_readable(directory)


def change_state() -> None:
    with StateFile(home() / "serve").changing():
        pass


def hold_state_directory() -> None:
    with exclusive("tunegate run"):
        change_state()


def hold_lease() -> None:
    with LocalBackend().lease("pet", "tunegate up", print):
        pass


@pytest.mark.parametrize("first", [make_home, change_state, hold_state_directory, hold_lease])
def test_the_folders_of_a_machine_are_made_for_us_alone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, first: Callable[[], object]
) -> None:
    monkeypatch.setenv("TUNEGATE_HOME", str(tmp_path / "state"))
    before = os.umask(0)
    try:
        first()
        change_state()
    finally:
        os.umask(before)

    assert [stat.S_IMODE(path.stat().st_mode) for path in (home(), home() / "serve")] == [0o700, 0o700]
