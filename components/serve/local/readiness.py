"""Watching a deployment come up: who has answered, who keeps dying, who lost their port."""

from pathlib import Path

from components.engine.api_keys import client_key
from components.errors import NotReady
from components.serve import ports, probe
from components.serve.local.configuration import log_path
from components.serve.local.state import Deployment
from components.serve.local.supervisor import ProcessState, Supervisor

DEATHS_TO_GIVE_UP = 2
COMPLETION_TIMEOUT_S = 30


class ReadinessWatch:
    """Asks a deployment's replicas and router until each has answered with the adapter.

    Args:
        deployment: Whom to ask.
        supervisor: What keeps the processes running.
        folder: The deployment's folder, for the logs.
    """

    def __init__(self, deployment: Deployment, supervisor: Supervisor, folder: Path) -> None:
        self._name, self._model = deployment.spec.name, deployment.spec.model_name
        self._supervisor, self._folder = supervisor, folder
        self._key = client_key()
        self._urls = deployment.process_urls()
        self._ports = deployment.process_ports()
        self._answered: set[str] = set()
        self._starts: dict[str, set[int]] = {name: set() for name in self._urls}
        self._states: dict[str, ProcessState] = {}

    def waiting_for(self) -> list[str]:
        """Ask those who have not answered yet and return the names of those who still haven't.

        Replicas that were stopped on purpose are not waited for.

        Raises:
            NotReady: All of it is stopped.
        """
        self._states = self._supervisor.states(self._name)
        wanted = [name for name, process in self._states.items() if process.state != "STOPPED"]
        if not wanted:
            raise NotReady(f"deployment {self._name}: is stopped; scale it up first")
        for name in wanted:
            self._starts[name].add(self._states[name].started_at)
            if name not in self._answered and self._states[name].up and self._answers(self._urls[name]):
                self._answered.add(name)
        return [name for name in wanted if name not in self._answered]

    def _answers(self, url: str) -> bool:
        return probe.lists_adapter(url, self._model, key=self._key) and probe.completes(
            url, self._model, COMPLETION_TIMEOUT_S, self._key
        )

    def lost_a_port(self) -> bool:
        """Return whether a process is down and somebody else listens on one of its ports."""
        return any(
            not process.up and not all(map(ports.is_free, self._ports[name]))
            for name, process in self._states.items()
            if process.state != "STOPPED"
        )

    def refuse_dying(self) -> None:
        """Stop waiting for a process that will not come up.

        Raises:
            NotReady: It has died twice since the watch began or was given up; with the end of its log.
        """
        for name, process in self._states.items():
            deaths = len(self._starts[name]) - process.up
            if process.state == "FATAL" or deaths >= DEATHS_TO_GIVE_UP:
                raise NotReady(
                    f"deployment {self._name}: {name} keeps dying while it starts. "
                    f"The end of its log:\n{self.log_end(name)}"
                )

    def log_end(self, name: str) -> str:
        """Return the last lines that a process wrote."""
        return log_end(log_path(self._folder, name))


def log_end(path: Path, lines: int = 15) -> str:
    """Return the last lines of a log, after any earlier line that names an error."""
    try:
        everything = path.read_text(encoding="utf-8", errors="replace").splitlines()
    except OSError:
        return "(no log)"
    shown = everything[-lines:]
    causes = [line for line in everything[-300:-lines] if "Error:" in line and line not in shown]
    return "\n".join([*dict.fromkeys(causes[-3:]), *shown])
