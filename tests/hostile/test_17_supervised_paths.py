"""Folders whose names mean something to supervisord, to its splitting of commands or to its patterns."""

import json
import os
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from components.errors import InvalidInput
from components.serve.local.configuration import (
    CONFIG,
    Program,
    daemon_section,
    group_sections,
    socket_path,
    write_scripts,
)
from components.serve.local.supervisor import Supervisor
from components.settings import load_settings
from components.tracking.runs import tracking_uri

HOSTILE = {
    "plain": "plain",
    "comment": "a #b",
    "other comment": "a ;b",
    "comment after a tab": "a\t# b",
    "percent": "100%",
    "expansion": "%(ENV_HOME)s",
    "expansion of its own": "%(here)s %(program_name)s",
    "escaped percent": "%%",
    "newline": "a\nautostart=true",
    "section": "a\n[program:evil]\ncommand=/bin/false",
    "carriage return": "a\r\n[supervisord]\r\nlogfile=elsewhere",
    "space": "my models",
    "quotes": 'it\'s "quoted"',
    "one quote": "it's",
    "backslash": "a\\",
    "brackets": "[ab]",
    "star": "*",
    "question": "?",
    "tilde": "~root",
    "equals": "a=b",
    "comma": "a,b",
    "dollar": "$HOME $(id) `id`",
    "no utf-8": os.fsdecode(b"caf\xe9"),
    "syslog": "syslog",
    "none": "none",
    "trailing space": "a ",
}
each_path = pytest.mark.parametrize("name", HOSTILE.values(), ids=HOSTILE.keys())


def programs_of(folder: Path) -> list[Program]:
    """Return processes that say what they were given, with values from the folder's name."""
    tell = "import json, os, sys; print(json.dumps([sys.argv[1:], os.environ.get('PLACE'), os.getcwd()]))"
    return [
        Program(
            "pet-0", [sys.executable, "-c", tell, str(folder), f"{folder.name} x"], {"PLACE": str(folder)}
        )
    ]


def as_read(folder: Path) -> dict[str, Any]:
    """Return what supervisord's own parser makes of the configuration, relative to the folder."""
    from supervisor.options import ServerOptions

    options = ServerOptions()
    options.realize(["-c", CONFIG])
    (server,) = options.configroot.supervisord.server_configs
    return {
        "files": [os.path.relpath(path, folder) for path in (options.logfile, options.pidfile)],
        "socket": Path(server["file"]),
        "groups": [
            (group.name, process.name, process.command, process.directory, process.stdout_logfile)
            for group in options.process_group_configs
            for process in group.process_configs
        ],
        "autostart": [p.autostart for g in options.process_group_configs for p in g.process_configs],
        "warnings": options.parse_warnings + options.parse_criticals,
    }


@each_path
def test_what_supervisord_reads_does_not_depend_on_the_name_of_its_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    folder = tmp_path / name / "serve"
    own = folder / "deployments" / "pet"
    (own / "logs").mkdir(parents=True)
    programs = programs_of(folder)
    sections = [
        daemon_section(folder, socket_path(folder)),
        group_sections("pet", Path("deployments/pet"), programs),
    ]
    (folder / CONFIG).write_text("\n".join(sections), encoding="ascii")  # nothing of the name is in it
    write_scripts(own, programs)
    monkeypatch.chdir(folder)

    assert as_read(folder) == {
        "files": ["supervisord.log", "supervisord.pid"],
        "socket": socket_path(folder),
        "groups": [
            ("pet", "pet-0", "/bin/sh start-pet-0.sh", "deployments/pet", "deployments/pet/logs/pet-0.log")
        ],
        "autostart": [False],
        "warnings": [],
    }


@pytest.fixture
def supervisor(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Supervisor]:
    found = Supervisor(tmp_path / request.param / "serve")
    yield found
    found.shutdown()
    assert not socket_path(found.folder).parent.exists()  # nothing is left in /tmp


@pytest.mark.parametrize(
    "supervisor",
    ["a #b ;c 100% %(ENV_HOME)s", "it's [ab]*", "two\nlines\n[program:evil]\ncommand=/bin/false"],
    indirect=True,
    ids=["comments", "patterns", "lines"],
)
def test_a_process_starts_as_it_was_asked_to_and_nothing_else_does(supervisor: Supervisor) -> None:
    own = supervisor.folder / "deployments" / "pet"
    supervisor.start()
    supervisor.add("pet", own, programs_of(supervisor.folder))
    assert supervisor.groups() == {"pet"}
    assert list(supervisor.states("pet")) == ["pet-0"]

    supervisor._call("startProcess", "pet:pet-0", False)
    log = own / "logs" / "pet-0.log"
    while not (told := log.read_text() if log.exists() else "").endswith("\n"):
        assert supervisor.states("pet")["pet-0"].state != "FATAL"

    folder = str(supervisor.folder)
    assert json.loads(told.splitlines()[0]) == [[folder, "serve x"], folder, str(own)]
    supervisor.remove("pet", own)
    assert supervisor.groups() == set()


@pytest.mark.parametrize("name", ["pet]\n[program:evil", "pet,evil", "pet:0", "../pet", "pet %(here)s", ""])
def test_a_name_that_would_be_read_as_something_else_is_refused(name: str) -> None:
    with pytest.raises(InvalidInput, match="wanted small letters, digits, dots and dashes"):
        group_sections("pet", Path("deployments/pet"), [Program(name, ["true"])])
    with pytest.raises(InvalidInput, match="wanted small letters"):
        group_sections(name, Path("deployments/pet"), [Program("pet-0", ["true"])])


@pytest.mark.parametrize("name", ["a?b", "a%20b", "a\nb", "a\x1b[2Jb", "a\tb"], ids=ascii)
def test_a_state_directory_that_not_everything_could_read_is_refused_before_anything_starts(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    monkeypatch.setenv("TUNEGATE_HOME", str(tmp_path / name))

    with pytest.raises(
        InvalidInput, match=r"(?s)TUNEGATE_HOME: .*wanted a path without \?, line breaks"
    ) as told:
        load_settings()
    assert name not in str(told.value) or name.isprintable()  # nothing of it reaches a terminal as it is


@pytest.mark.parametrize("name", ["a #b", "a ;b", "100%", "it's [ab]*"])
def test_records_stand_in_the_state_directory_whatever_its_name(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    from sqlalchemy.engine import make_url

    monkeypatch.setenv("TUNEGATE_HOME", str(tmp_path / name))
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)

    assert make_url(tracking_uri()).database == str(tmp_path / name / "mlflow.db")
