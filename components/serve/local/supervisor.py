"""The supervisord of a state directory: it keeps replicas and routers running after we have ended."""

import contextlib
import http.client
import os
import subprocess
import sys
import time
import xmlrpc.client
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any
from xml.parsers.expat import ExpatError

from components.engine.private_folder import NotPrivate, check_private, make_private
from components.errors import TunegateError
from components.serve.local.configuration import (
    CONFIG,
    STOP_WAIT_S,
    Program,
    daemon_section,
    group_sections,
    log_path,
    socket_path,
    write_scripts,
)
from components.serve.local.processes import kill_all, processes_of, with_children
from components.storage import atomic_write

# Of one task of one release, which a server outlives; and the key of whoever started it.
_NOT_INHERITED = ("RELEASE_ID", "TUNEGATE_STAGE_SOURCE", "TUNEGATE_API_KEY")

if TYPE_CHECKING:
    import psutil


@dataclass(frozen=True)
class ProcessState:
    """What supervisord says of one process; `state` is its own word: RUNNING, BACKOFF, FATAL ..."""

    name: str
    state: str
    pid: int
    started_at: int

    @property
    def up(self) -> bool:
        """Whether there is a process just now."""
        return self.state in ("STARTING", "RUNNING")

    @property
    def kept_up(self) -> bool:
        """Whether supervisord runs it or is about to start it again."""
        return self.up or self.state == "BACKOFF"


class Supervisor:
    """Starts, asks and ends one supervisord.

    Processes come in groups, one a deployment or live router, each with a folder of its own in which
    its processes run and log.

    Args:
        folder: Where its configuration, process id and log stand.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._pid_file = folder / "supervisord.pid"
        self._socket = socket_path(folder)

    def running(self) -> bool:
        """Return whether it answers.

        Raises:
            NotPrivate: Somebody else could answer in its place.
        """
        try:
            self._call("getPID")
        except NotPrivate:
            raise
        except TunegateError:
            return False
        return True

    def start(self) -> None:
        """Start it unless it runs; none of its former processes is left over or started again."""
        if self.running():
            return
        self._end_stragglers(self.folder)
        configs = self.folder / "conf.d"
        configs.mkdir(parents=True, exist_ok=True)
        for leftover in configs.glob("*.conf"):
            leftover.unlink()
        make_private(self._socket.parent)
        self._write_config()
        environment = {k: v for k, v in os.environ.items() if k not in _NOT_INHERITED}
        # A session of its own: Ctrl-C in the terminal and the end of the task don't reach it. Pipes,
        # locks and the terminal are not handed on: whoever waits for their end would wait for ever.
        started = subprocess.run(
            [sys.executable, "-m", "supervisor.supervisord", "-c", CONFIG],
            cwd=self.folder,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            start_new_session=True,
            env=environment,
            timeout=60,
        )
        if started.returncode != 0:
            raise TunegateError(f"supervisord did not start: {(started.stderr or started.stdout).strip()}")
        _wait(self.running, 15, "supervisord does not answer")

    def orphans(self, folder: Path) -> list["psutil.Process"]:
        """Return what a supervisord that was killed has left running in a folder.

        Nobody starts it again when it dies; the next supervisord ends it.
        """
        return [] if self.running() else self._stragglers(folder)

    def groups(self) -> set[str]:
        """Return the names of the groups it knows; none when it does not run."""
        if not self.running():
            return set()
        return {info["group"] for info in self._call("getAllProcessInfo")}

    def add(self, group: str, folder: Path, programs: Sequence[Program]) -> None:
        """Make a group of processes, which run and log in a folder of ours; none is started yet."""
        log_path(folder, "").parent.mkdir(parents=True, exist_ok=True)
        write_scripts(folder, programs)
        inside = folder.relative_to(self.folder)
        _write(self._group_file(group), group_sections(group, inside, programs))
        self._write_config()
        self._call("reloadConfig")
        self._call("addProcessGroup", group)

    def remove(self, group: str, folder: Path) -> None:
        """Stop a group and forget it; nothing that ran in its folder is left."""
        if group in self.groups():
            self._call("stopProcessGroup", group)
            self._call("removeProcessGroup", group)
        self._group_file(group).unlink(missing_ok=True)
        if self.running():
            self._write_config()
            self._call("reloadConfig")
        self._end_stragglers(folder)

    def states(self, group: str) -> dict[str, ProcessState]:
        """Return the state of each process of a group by name; none for a group that is not there."""
        if not self.running():
            return {}
        return {
            info["name"]: ProcessState(info["name"], info["statename"], info["pid"], info["start"])
            for info in self._call("getAllProcessInfo")
            if info["group"] == group
        }

    def start_process(self, group: str, name: str) -> None:
        """Start a process that is stopped or was given up."""
        if not self.states(group)[name].kept_up:
            self._call("startProcess", f"{group}:{name}", False)

    def stop_process(self, group: str, name: str) -> None:
        """Stop a process and keep it stopped."""
        if self.states(group)[name].kept_up:
            self._call("stopProcess", f"{group}:{name}", True)

    def kill_process(self, group: str, name: str) -> None:
        """Kill a process and all its children at once; it is started again as after a crash."""
        pid = self.states(group)[name].pid
        if not pid:
            raise TunegateError(f"{name}: is not running")
        kill_all(with_children(pid), timeout_s=STOP_WAIT_S)

    def shutdown(self) -> None:
        """Stop every process and supervisord itself; return when none of them is left."""
        if self.running():
            pid = self._call("getPID")
            self._call("shutdown")
            _wait(lambda: not with_children(pid), 3 * STOP_WAIT_S, "supervisord does not end")
        self._end_stragglers(self.folder)
        self._pid_file.unlink(missing_ok=True)
        self._socket.unlink(missing_ok=True)
        with contextlib.suppress(OSError):  # not there, or not ours
            self._socket.parent.rmdir()

    def _group_file(self, group: str) -> Path:
        return self.folder / "conf.d" / f"{group}.conf"

    def _write_config(self) -> None:
        """Put everything into one file: supervisord would take the folder's name for a pattern of files."""
        groups = sorted((self.folder / "conf.d").glob("*.conf"))
        sections = [daemon_section(self.folder, self._socket), *(path.read_text("utf-8") for path in groups)]
        _write(self.folder / CONFIG, "\n".join(sections))

    def _end_stragglers(self, folder: Path) -> None:
        """End what our supervisord once started in a folder and lost: children of a killed process."""
        kill_all(self._stragglers(folder), timeout_s=STOP_WAIT_S)

    def _stragglers(self, folder: Path) -> list["psutil.Process"]:
        try:
            session = int(self._pid_file.read_text(encoding="ascii"))
        except (OSError, ValueError):
            return []
        return processes_of(session, folder)

    def _call(self, method: str, *arguments: Any) -> Any:
        from supervisor.xmlrpc import SupervisorTransport

        try:
            check_private(self._socket.parent)
        except FileNotFoundError as error:
            raise TunegateError("supervisord does not answer: it has not been started") from error
        transport = SupervisorTransport(None, None, f"unix://{self._socket}")
        try:
            with xmlrpc.client.ServerProxy("http://127.0.0.1", transport=transport) as server:
                return getattr(server.supervisor, method)(*arguments)
        except xmlrpc.client.Fault as error:
            raise TunegateError(f"supervisord: {method}{arguments}: {error.faultString}") from error
        except (OSError, http.client.HTTPException, xmlrpc.client.Error, ExpatError) as error:
            raise TunegateError(f"supervisord does not answer: {error}") from error
        finally:
            transport.close()


def _write(path: Path, text: str) -> None:
    """Write what supervisord reads: a part of a group's section would keep every other group from it."""
    with atomic_write(path) as file:
        file.write(text.encode())


def _wait(condition: Callable[[], bool], timeout_s: float, otherwise: str) -> None:
    deadline = time.monotonic() + timeout_s
    while not condition():
        if time.monotonic() > deadline:
            raise TunegateError(f"{otherwise} within {timeout_s:.0f} s")
        time.sleep(0.05)
