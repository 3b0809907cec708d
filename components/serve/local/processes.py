"""Processes that are found by what they are and ended for good."""

import os
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import psutil


def with_children(pid: int) -> list["psutil.Process"]:
    """Return a process and all that came from it; nothing if it has ended."""
    import psutil

    try:
        process = psutil.Process(pid)
        return [process, *process.children(recursive=True)]
    except psutil.NoSuchProcess:
        return []


def processes_of(session: int, folder: Path) -> list["psutil.Process"]:
    """Return the processes of a session that run in a folder, without the session's leader.

    Both have to agree: after a reboot the number of the session may be somebody else's, and a person
    may have a shell in the folder. Titles and environments don't help, engines overwrite them.
    """
    import psutil

    found = []
    for process in psutil.process_iter():
        try:
            if os.getsid(process.pid) == session and Path(process.cwd()).is_relative_to(folder):
                found.append(process)
        except (psutil.Error, OSError):
            continue  # ended meanwhile, or somebody else's
    return [process for process in found if process.pid not in (session, os.getpid())]


def listener(processes: Sequence["psutil.Process"], port: int) -> "psutil.Process | None":
    """Return the one of some processes that listens on a port."""
    import psutil

    for process in processes:
        try:
            connections = process.net_connections(kind="tcp")
        except psutil.Error:
            continue  # ended meanwhile
        if any(c.status == psutil.CONN_LISTEN and c.laddr.port == port for c in connections):
            return process
    return None


def kill_all(processes: Sequence["psutil.Process"], timeout_s: float) -> None:
    """Kill processes in the given order and wait until they are gone."""
    import psutil

    for process in processes:
        try:
            process.kill()
        except psutil.NoSuchProcess:
            continue  # it went down with its parent
    psutil.wait_procs(processes, timeout=timeout_s)
