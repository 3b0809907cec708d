"""What supervisord is told: its own section, and those of the processes that it keeps running.

Its parser cuts values at ` #` and ` ;`, puts in others for `%(...)s`, splits commands as a shell does and
takes the names of files for patterns; not all of that can be quoted. So nothing that a person names stands in
what it reads: it runs in its folder, every path is relative to that, and each process is started by a script
of its own. The one exception is a socket in /tmp, whose folder has a name of ours.
"""

import hashlib
import os
import re
import shlex
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from components.errors import InvalidInput
from components.storage import atomic_write

STOP_WAIT_S = 10
CONFIG = "supervisord.conf"
_NAME = re.compile(r"[a-z0-9][a-z0-9.-]*")
_SOCKET = "supervisor.sock"
_SOCKET_BYTES = len(_SOCKET) + 17  # supervisord adds its process id meanwhile
_SOCKET_PATH_BYTES = 107  # the system's limit

# No `directory`: it stays in the one that it was started in.
_DAEMON = """\
[unix_http_server]
file={socket}
chmod=0700

[supervisord]
logfile=supervisord.log
logfile_maxbytes=1MB
logfile_backups=1
pidfile=supervisord.pid
umask=077
strip_ansi=true
{user}
[rpcinterface:supervisor]
supervisor.rpcinterface_factory=supervisor.rpcinterface:make_main_rpcinterface
"""

_PROGRAM = """\
[program:{name}]
command=/bin/sh {script}
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
    """One process to be kept running.

    Attributes:
        name: Of letters, digits, dots and dashes, as the names of deployments are.
        command: What is run; any text.
        environment: What it has besides supervisord's; any text.
    """

    name: str
    command: Sequence[str]
    environment: Mapping[str, str] = field(default_factory=dict)


def daemon_section(folder: Path, socket: Path) -> str:
    """Return the configuration of supervisord itself.

    Args:
        folder: Where it runs, and its configuration, process id and log stand.
        socket: Where it answers: in that folder, or in `/tmp`.
    """
    user = "user=root\n" if os.geteuid() == 0 else ""
    inside = socket.is_relative_to(folder)
    return _DAEMON.format(socket=socket.relative_to(folder) if inside else socket, user=user)


def group_sections(group: str, inside: Path, programs: Iterable[Program]) -> str:
    """Return the configuration of a group of processes.

    Args:
        group: Its name.
        inside: Where its processes run and log: relative to supervisord's folder, of names of ours.
        programs: The processes.

    Raises:
        InvalidInput: A name that would be read as something else.
    """
    programs = list(programs)
    odd = [name for name in (group, *(program.name for program in programs)) if not _NAME.fullmatch(name)]
    if odd:
        problems = [f"got {name!r}, wanted small letters, digits, dots and dashes" for name in odd]
        raise InvalidInput("names of processes", problems)
    names = ",".join(program.name for program in programs)
    sections = [f"[group:{group}]\nprograms={names}\n"]
    sections += [
        _PROGRAM.format(
            name=program.name,
            script=_script_name(program.name),
            directory=inside,
            log=log_path(inside, program.name),
            stop_wait_s=STOP_WAIT_S,
        )
        for program in programs
    ]
    return "\n".join(sections)


def write_scripts(folder: Path, programs: Iterable[Program]) -> None:
    """Write what starts each process of a group, into the folder that it runs in."""
    for program in programs:
        environment = [f"{key}={value}" for key, value in program.environment.items()]
        line = shlex.join(["/usr/bin/env", *environment, *program.command])
        with atomic_write(folder / _script_name(program.name)) as file:
            file.write(os.fsencode(f"exec {line}\n"))


def log_path(folder: Path, name: str) -> Path:
    """Return the log file of a process that runs in a folder."""
    return folder / "logs" / f"{name}.log"


def socket_path(folder: Path) -> Path:
    """Return the path of the socket at which the supervisord of a folder answers."""
    return short_folder(folder / "run", _SOCKET_BYTES) / _SOCKET


def short_folder(folder: Path, name_bytes: int) -> Path:
    """Return where sockets may have names of so many bytes: the folder, else one of its own in /tmp.

    Never in TMPDIR: whoever has another one would find no supervisord, and sweep away what it runs.
    """
    if len(os.fsencode(folder)) + len("/") + name_bytes <= _SOCKET_PATH_BYTES:
        return folder
    mark = hashlib.sha256(os.fsencode(folder)).hexdigest()[:12]
    return Path("/tmp") / f"tunegate-{os.geteuid()}-{mark}"


def _script_name(name: str) -> str:
    return f"start-{name}.sh"
