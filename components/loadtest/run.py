"""One scenario that is going on: the service, the load on it, and what has been seen."""

import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

from components.loadtest.client import OK
from components.loadtest.config import StressConfig
from components.loadtest.load import Load, LoadPlan
from components.loadtest.results import EventKind, ScenarioResult, TimelineEvent, percentiles
from components.serve.backend import Backend
from components.serve.spec import ServingSpec

POLL_S = 0.25
SAY_EVERY_S = 5.0


@dataclass
class Run:
    """What the events of a scenario share.

    Attributes:
        backend: Where the service runs.
        spec: The service.
        config: Times and budgets.
        plan: What the users do when the load starts.
        folder: For the load's files.
        say: Prints one line of progress.
        result: What has been seen so far.
        load: The load that is on, or was last.
    """

    backend: Backend
    spec: ServingSpec
    config: StressConfig
    plan: LoadPlan
    folder: Path
    say: Callable[[str], None]
    result: ScenarioResult
    load: Load | None = None
    _said_at: float = field(default=0.0, init=False)

    def note(self, kind: EventKind, text: str, at: float | None = None) -> float:
        """Note on the time line that something happened, now or at `at`; return when."""
        event = TimelineEvent(at=time.time() if at is None else at, kind=kind, text=text)
        self.result.timeline.append(event)
        return event.at

    def wait(self, until: Callable[[], bool], timeout_s: float, what: str) -> bool:
        """Wait for something, follow the load meanwhile, and return whether it came.

        Raises:
            TunegateError: The load client failed.
        """
        started = time.monotonic()
        while not until():
            waited = time.monotonic() - started
            if waited > timeout_s:
                return False
            self.load_is_over()
            self._report(what, waited)
            time.sleep(POLL_S)
        return True

    def load_is_over(self) -> bool:
        """Read what the load measured meanwhile; true without a load."""
        return self.load is None or self.load.finished()

    def loaded_s(self) -> float:
        """Return how long the load has been on, seconds; 0 before its first request has ended."""
        started = self.load.started_at if self.load else None
        return 0.0 if started is None else time.time() - started

    def ready_replicas(self) -> int:
        """Return how many replicas are ready."""
        return sum(replica.state == "ready" for replica in self.backend.replicas(self.spec.name))

    def all_ready(self) -> bool:
        """Return whether the service has all its replicas."""
        return self.ready_replicas() >= self.spec.replicas

    def _report(self, what: str, waited_s: float) -> None:
        """Say every few seconds what is going on and what has been measured."""
        if time.monotonic() - self._said_at < SAY_EVERY_S:
            return
        self._said_at = time.monotonic()
        line = f"{self.result.title}: {what} ({waited_s:.0f} s)"
        if self.load and not self.load_is_over():
            left = self.config.load_s - self.loaded_s()
            line += f", {left:.0f} s left" if left > 0 else ", the last requests"
            answered = [record for record in self.load.records if record.outcome == OK]
            ttft = percentiles([record.ttft_ms for record in answered if record.ttft_ms is not None])
            line += f", {len(self.load.records)} requests"
            line += f", {len(self.load.records) - len(answered)} failed"
            line += f", TTFT p50 {ttft.p50:.0f} ms" if ttft else ""
        self.say(line)
