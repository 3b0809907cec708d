"""Degraded modes: a scenario is a list of events, each of which does one thing to a running service.

The form follows NVIDIA Dynamo's fault-tolerance tests: events here, checks with budgets in `gate`.
"""

import math
import time
from abc import ABC, abstractmethod
from dataclasses import dataclass

from components.conversations import Prompt
from components.errors import NotReady
from components.loadtest.client import OK, ChatEndpoint, ask, new_session
from components.loadtest.load import Load
from components.loadtest.run import Run

PROBE_TIMEOUT_S = 20.0


class Event(ABC):
    """One thing that is done to a service, or waited for."""

    @abstractmethod
    def happen(self, run: Run) -> None:
        """Do it.

        Raises:
            TunegateError: It could not be done; the scenario ends here.
        """


@dataclass(frozen=True)
class StartLoad(Event):
    """Let the users begin; the load ends by itself when its time is up."""

    def happen(self, run: Run) -> None:
        """Start Locust and wait for its first request to end."""
        run.load = Load(run.plan, run.folder)
        run.wait(lambda: run.load_is_over() or run.loaded_s() > 0, math.inf, "starting the load")
        run.note("load_started", "load started", run.load.started_at)


@dataclass(frozen=True)
class KillReplica(Event):
    """Kill a replica when a share of the measured load has passed."""

    after_share: float

    def happen(self, run: Run) -> None:
        """Wait for the moment and kill."""
        moment = run.config.warm_up_s + self.after_share * run.config.scenario_duration_s
        run.wait(lambda: run.load_is_over() or run.loaded_s() >= moment, math.inf, "before the kill")
        at = time.time()
        name = run.backend.kill_replica(run.spec.name)
        run.note("replica_killed", f"{name} killed", at)


@dataclass(frozen=True)
class WaitForRecovery(Event):
    """Wait after a kill until all replicas are ready again, whether the load is still on or not."""

    def happen(self, run: Run) -> None:
        """Measure the time since the kill."""
        killed_at = run.result.timeline[-1].at
        was_down = False

        def recovered() -> bool:
            # A back end may notice a crash late: "ready" counts only after it was not.
            nonlocal was_down
            ready = run.all_ready()
            was_down = was_down or not ready
            return was_down and ready

        if run.wait(recovered, run.config.recovery_patience_s, "waiting for the killed replica"):
            run.result.recovery_s = run.note("replicas_ready", "ready again") - killed_at
        else:
            run.result.gave_up_after_s = run.note("gave_up", "still not ready") - killed_at


@dataclass(frozen=True)
class StopLoad(Event):
    """Wait until the load's time is up and its last requests have ended."""

    def happen(self, run: Run) -> None:
        """Note the end, and how busy the load client was."""
        run.wait(run.load_is_over, math.inf, "under load")
        if run.load:
            run.result.client_cpu_share = run.load.client_cpu_share
            last = max((record.ended_at for record in run.load.records), default=None)
            run.note("load_ended", "load ended", last)


@dataclass(frozen=True)
class StopAll(Event):
    """Stop every replica."""

    def happen(self, run: Run) -> None:
        """Wait until none is left."""

        def stopped() -> bool:
            replicas = run.backend.replicas(run.spec.name)
            return all(replica.state in ("stopped", "failed") for replica in replicas)

        run.note("stop_asked", "stopping")
        run.backend.scale(run.spec.name, 0)
        if not run.wait(stopped, run.config.cold_start_patience_s, "stopping all replicas"):
            raise NotReady(f"the replicas of {run.spec.name} did not stop")
        run.note("all_stopped", "all stopped")


@dataclass(frozen=True)
class StartAll(Event):
    """Start every replica, ask until the first complete answer comes, and wait for the last replica."""

    prompt: Prompt

    def happen(self, run: Run) -> None:
        """Measure both times since the start."""
        started = run.note("start_asked", "starting")
        run.backend.scale(run.spec.name, run.spec.replicas)
        session, patience_s = new_session(), run.config.cold_start_patience_s

        def answered() -> bool:
            endpoint = ChatEndpoint(
                base_url=run.backend.endpoint(run.spec.name),
                model_name=run.spec.model_name,
                max_tokens=1,
                timeout_s=PROBE_TIMEOUT_S,
            )
            return ask(session, endpoint, self.prompt).outcome == OK

        if not run.wait(answered, patience_s, "waiting for the first answer"):
            run.result.gave_up_after_s = run.note("gave_up", "no answer") - started
            return
        run.result.cold_start_s = run.note("first_answer", "first answer") - started
        if run.wait(run.all_ready, patience_s, "waiting for every replica"):
            run.result.all_ready_s = run.note("replicas_ready", "all ready") - started


@dataclass(frozen=True)
class Scenario:
    """A degraded mode.

    Attributes:
        name: In results and metrics.
        title: For people.
        events: What happens, in order.
        long_prompts: Whether some users send long prompts.
    """

    name: str
    title: str
    events: tuple[Event, ...]
    long_prompts: bool = False


def scenarios(prompt: Prompt) -> list[Scenario]:
    """Return the scenarios of a release; `prompt` is asked in the cold start."""
    killed = (StartLoad(), KillReplica(after_share=1 / 3), WaitForRecovery(), StopLoad())
    return [
        Scenario("steady", "steady load", (StartLoad(), StopLoad())),
        Scenario("long_prompts", "long prompts mixed in", (StartLoad(), StopLoad()), long_prompts=True),
        Scenario("replica_killed", "replica killed", killed),
        Scenario("cold_start", "cold start", (StopAll(), StartAll(prompt))),
    ]
