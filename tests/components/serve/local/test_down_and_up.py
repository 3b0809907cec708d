"""Stopping everything and bringing the champion back, after a shutdown, a crash or a reboot."""

import os
import socket
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import psutil
import pytest

from components.errors import InvalidInput, NotReady, TunegateError
from components.serve.local.backend import LocalBackend
from components.serve.spec import ServingSpec
from tests.components.serve.clients import ask, processes_in
from tests.components.serve.conftest import stand_in

READY_S = 60
MakeSpec = Callable[..., ServingSpec]


@pytest.fixture(scope="module")
def live(backend: LocalBackend, make_spec: MakeSpec) -> str:
    """The live endpoint of a champion."""
    backend.apply(make_spec("pet-one", replicas=1))
    backend.wait_ready("pet-one", READY_S)
    backend.promote("pet-one")
    return backend.live_endpoint("pet")


@pytest.fixture
def down(home: Path, backend: LocalBackend, live: str) -> Iterator[None]:
    """Everything is stopped."""
    backend.shutdown()
    yield
    backend.shutdown()


def test_nothing_promoted_is_said(backend: LocalBackend) -> None:
    with pytest.raises(TunegateError, match="nothing was promoted under this name"):
        backend.restore("unknown", READY_S)


def test_shutdown_leaves_no_process_and_restore_brings_the_champion_back(
    home: Path, backend: LocalBackend, live: str
) -> None:
    assert len(processes_in(str(home))) == 4  # supervisord, a replica, two routers

    backend.shutdown()
    backend.shutdown()

    assert processes_in(str(home)) == []
    assert [replica.state for replica in backend.replicas("pet-one")] == ["stopped"]

    backend.restore("pet", READY_S)
    backend.restore("pet", READY_S)

    assert backend.live_endpoint("pet") == live
    assert "pet-one" in ask(live)


def test_a_live_port_that_somebody_else_took_is_named(backend: LocalBackend, live: str, down: None) -> None:
    port = int(live.rpartition(":")[2])
    with socket.socket() as other:
        other.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        other.bind(("127.0.0.1", port))
        other.listen()
        with pytest.raises(InvalidInput, match=f"port {port} is in use by process {os.getpid()}"):
            backend.restore("pet", READY_S)


def test_traffic_that_is_taken_away_goes_to_nobody_until_it_is_sent_somewhere(
    backend: LocalBackend, live: str, down: None
) -> None:
    backend.restore("pet", READY_S)

    backend.withdraw("pet")
    backend.withdraw("pet")
    backend.withdraw("unknown")

    assert backend.champion("pet") is None
    with pytest.raises(OSError):
        ask(live)
    backend.promote("pet-one")
    assert backend.live_endpoint("pet") == live
    assert "pet-one" in ask(live)


@pytest.fixture
def orphans(home: Path, backend: LocalBackend, live: str, down: None) -> list[psutil.Process]:
    """What serves goes on serving, but its supervisord was killed."""
    backend.restore("pet", READY_S)
    return kill_supervisord(home)


def kill_supervisord(home: Path) -> list[psutil.Process]:
    """Kill it and return what it has left running."""
    supervisord = psutil.Process(int((home / "serve/supervisord.pid").read_text()))
    left = supervisord.children()
    supervisord.kill()
    psutil.wait_procs([supervisord], timeout=10)
    return left


def test_a_killed_supervisord_leaves_nothing_that_restore_trips_over(
    home: Path, backend: LocalBackend, live: str, orphans: list[psutil.Process]
) -> None:
    backend.restore("pet", READY_S)

    assert not any(orphan.is_running() and orphan.status() != "zombie" for orphan in orphans)
    assert len(processes_in(str(home))) == 4
    assert "pet-one" in ask(live)


def test_what_a_killed_supervisord_has_left_is_told_as_what_it_is(
    home: Path, backend: LocalBackend, live: str, orphans: list[psutil.Process], make_spec: MakeSpec
) -> None:
    assert [replica.state for replica in backend.replicas("pet-one")] == ["ready"]

    backend.check("pet", make_spec("pet-two").base_model)  # a look ends nothing
    with pytest.raises(NotReady, match="its supervisord was killed; apply it again"):
        backend.promote("pet-one")
    assert "pet-one" in ask(live)

    assert backend.kill_replica("pet-one") == "pet-one-0"
    assert [replica.state for replica in backend.replicas("pet-one")] == ["stopped"]
    with pytest.raises(OSError):
        ask(live)


def test_what_a_killed_supervisord_has_left_is_scaled_to_nothing(
    home: Path, backend: LocalBackend, orphans: list[psutil.Process]
) -> None:
    backend.scale("pet-one", 0)

    assert [replica.state for replica in backend.replicas("pet-one")] == ["stopped"]
    assert processes_in(str(home / "serve/deployments")) == []


def test_retiring_ends_no_other_deployment_that_a_killed_supervisord_has_left(
    home: Path, backend: LocalBackend, live: str, down: None, make_spec: MakeSpec
) -> None:
    backend.restore("pet", READY_S)
    backend.apply(make_spec("pet-two", replicas=1))
    backend.wait_ready("pet-two", READY_S)
    kill_supervisord(home)

    backend.retire("pet-two")

    assert processes_in(str(home / "serve/deployments/pet-two")) == []
    assert "pet-one" in ask(live)


def test_a_reboot_leaves_a_stale_socket_and_process_id(
    home: Path, backend: LocalBackend, live: str, down: None
) -> None:
    with socket.socket(socket.AF_UNIX) as stale:
        stale.bind(str(home / "serve/supervisor.sock"))
    (home / "serve/supervisord.pid").write_text("999999")

    backend.restore("pet", READY_S)

    assert "pet-one" in ask(live)


def test_servers_outlive_whoever_started_them_and_hold_nothing_of_theirs(
    home: Path, backend: LocalBackend, live: str, down: None, tmp_path: Path
) -> None:
    """The pipe would never end for the parent, nor the lock be free, if a server had inherited it."""
    script = (
        "import fcntl, sys\n"
        "from components.serve.local.backend import LocalBackend\n"
        "from tests.components.serve.conftest import stand_in\n"
        "lock = open(sys.argv[1], 'w'); fcntl.flock(lock, fcntl.LOCK_EX)\n"
        "LocalBackend(stand_in()).restore('pet', 60); print('restored')"
    )
    started = subprocess.run(
        [sys.executable, "-c", script, str(tmp_path / "lock")],
        capture_output=True,
        text=True,
        timeout=100,
        start_new_session=True,
        cwd=Path(__file__).parents[4],
    )

    assert started.stdout == "restored\n", started.stderr
    supervisord = int((home / "serve/supervisord.pid").read_text())
    assert os.getsid(supervisord) == supervisord
    held = {
        file.path for pid in [supervisord, *psutil.Process(supervisord).children()] for file in _files(pid)
    }
    assert str(tmp_path / "lock") not in held
    assert "pet-one" in ask(live)


def _files(process: int | psutil.Process) -> list:
    return psutil.Process(process if isinstance(process, int) else process.pid).open_files()


def test_two_state_directories_do_not_collide(
    home: Path,
    backend: LocalBackend,
    live: str,
    down: None,
    make_spec: MakeSpec,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    backend.restore("pet", READY_S)
    monkeypatch.setenv("TUNEGATE_HOME", str(tmp_path / ("long-name-" * 8)))
    other = LocalBackend(stand_in())
    try:
        other.apply(make_spec("pet-one", replicas=1))
        other.wait_ready("pet-one", READY_S)
        other.promote("pet-one")

        assert other.live_endpoint("pet") != live
        assert ask(other.live_endpoint("pet")) != ask(live)
    finally:
        other.shutdown()
    assert "pet-one" in ask(live)
