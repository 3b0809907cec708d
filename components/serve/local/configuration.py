"""What supervisord is told: its own section, and those of the processes that it keeps running."""

import hashlib
import os
import shlex
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from components.errors import TunegateError

STOP_WAIT_S = 10
_SOCKET = "supervisor.sock"
_SOCKET_BYTES = len(_SOCKET) + 17  # supervisord adds its process id meanwhile
_SOCKET_PATH_BYTES = 107  # the system's limit

_CONFIG = """\
[unix_http_server]
file={socket}
chmod=0700

[supervisord]
directory={folder}
logfile={folder}/supervisord.log
logfile_maxbytes=1MB
logfile_backups=1
pidfile={folder}/supervisord.pid
strip_ansi=true
{user}
[rpcinterface:supervisor]
supervisor.rpcinterface_factory=supervisor.rpcinterface:make_main_rpcinterface

[include]
files={folder}/conf.d/*.conf
"""

_PROGRAM = """\
[program:{name}]
command={command}
directory={directory}
autostart=false
autorestart=true
startsecs=3
startretries=3
stopwaitsecs={stop_wait_s}
stopasgroup=true
killasgroup=true
redirect_stderr=true
stdout_logfile={log}
stdout_logfile_maxbytes=5MB
stdout_logfile_backups=1
"""


@dataclass(frozen=True)
class Program:
    """One process to be kept running."""

    name: str
    command: Sequence[str]
    environment: Mapping[str, str] = field(default_factory=dict)


def daemon_section(folder: Path, socket: Path) -> str:
    """Return the configuration of supervisord itself.

    Args:
        folder: Where its configuration, process id and log stand.
        socket: Where it answers.
    """
    user = "user=root\n" if os.geteuid() == 0 else ""
    return _CONFIG.format(socket=_escaped(socket), folder=_escaped(folder), user=user)


def group_sections(group: str, folder: Path, programs: Sequence[Program]) -> str:
    """Return the configuration of a group of processes, which run and log in a folder."""
    names = ",".join(program.name for program in programs)
    sections = [f"[group:{group}]\nprograms={names}\n"]
    for program in programs:
        # supervisord's own way to write an environment can't hold every value.
        environment = [f"{key}={value}" for key, value in program.environment.items()]
        sections.append(
            _PROGRAM.format(
                name=program.name,
                command=_escaped(shlex.join(["/usr/bin/env", *environment, *program.command])),
                directory=_escaped(folder),
                log=_escaped(log_path(folder, program.name)),
                stop_wait_s=STOP_WAIT_S,
            )
        )
    return "\n".join(sections)


def log_path(folder: Path, name: str) -> Path:
    """Return the log file of a process that runs in a folder."""
    return folder / "logs" / f"{name}.log"


def socket_path(folder: Path) -> Path:
    """Return the path of the socket at which the supervisord of a folder answers."""
    return short_folder(folder, _SOCKET_BYTES) / _SOCKET


def short_folder(folder: Path, name_bytes: int) -> Path:
    """Return where sockets may have names of so many bytes: the folder, else one of its own in /tmp.

    Never in TMPDIR: whoever has another one would find no supervisord, and sweep away what it runs.
    """
    if len(os.fsencode(folder)) + len("/") + name_bytes <= _SOCKET_PATH_BYTES:
        return folder
    mark = hashlib.sha256(os.fsencode(folder)).hexdigest()[:12]
    return Path("/tmp") / f"tunegate-{os.geteuid()}-{mark}"


def make_private(folder: Path) -> None:
    """Make a folder that nobody else can look into.

    Raises:
        TunegateError: Somebody else has made it.
    """
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    if folder.stat().st_uid != os.geteuid():
        raise TunegateError(
            f"{folder}: belongs to somebody else; a shorter state directory needs no place outside it: "
            "name one with TUNEGATE_HOME"
        )


def _escaped(value: object) -> str:
    return str(value).replace("%", "%%")
