"""The users of a load, inside Locust's own process: `python -m locust -f locustfile.py --plan plan.json`.

Locust's response time of a stream is the time to its headers, so the times of `client.ask` are what is
reported, as events of the types ttft, itl and e2e, and as one line a request in the plan's log.
"""

import itertools
import os
import time
from argparse import ArgumentParser
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any, ClassVar, TextIO

import gevent  # type: ignore[import-untyped]
from locust import User, events, task

from components.conversations import Prompt
from components.errors import TunegateError
from components.loadtest.client import OK, RequestRecord, UserClass, ask, new_session
from components.loadtest.load import LoadPlan

PAUSE_AFTER_FAILURE_S = 1.0  # people do not ask a dead service a thousand times a second


class ChatUser(User):
    """One who asks, reads the whole answer, and asks again."""

    plan: ClassVar[LoadPlan]
    log: ClassVar[TextIO]
    prompts: ClassVar[dict[UserClass, Iterator[Prompt]]]
    numbers: ClassVar[Iterator[int]] = itertools.count()
    began: ClassVar[float | None] = None
    measured: ClassVar[Counter[UserClass]] = Counter()

    def on_start(self) -> None:
        """Take a place: the first ones are the users with long prompts."""
        self.user_class: UserClass = "long" if next(self.numbers) < self.plan.long_users else "normal"
        self.session = new_session()
        self.answered = True
        ChatUser.began = ChatUser.began or time.monotonic()

    def on_stop(self) -> None:
        """Close the connection."""
        self.session.close()

    @classmethod
    def loaded_s(cls) -> float:
        """Return how long the load has been on, seconds."""
        return 0.0 if cls.began is None else time.monotonic() - cls.began

    @classmethod
    def done(cls) -> bool:
        """Return whether the load's time is up, and each kind of users has asked often enough."""
        if cls.loaded_s() < cls.plan.seconds:
            return False
        kinds: list[UserClass] = ["normal"] * (cls.plan.users > cls.plan.long_users)
        kinds += ["long"] * (cls.plan.long_users > 0)
        enough = all(cls.measured[kind] >= cls.plan.fewest_requests for kind in kinds)
        return enough or cls.loaded_s() >= cls.plan.longest_s

    def wait_time(self) -> float:
        """Return the pause before the next question, in seconds."""
        return 0.0 if self.answered else PAUSE_AFTER_FAILURE_S

    @task
    def ask_once(self) -> None:
        """Ask the next prompt of this user's kind and write down what happened."""
        prompt = next(self.prompts[self.user_class])
        warm = self.loaded_s() >= self.plan.warm_up_s
        record = ask(self.session, self.plan.endpoint, prompt, self.user_class)
        self.answered = record.outcome == OK
        self.measured[self.user_class] += warm
        self.log.write(record.model_dump_json() + "\n")
        self._tell_locust(record)

    def _tell_locust(self, record: RequestRecord) -> None:
        failure = None if self.answered else TunegateError(record.outcome)
        times = {"e2e": record.e2e_ms}
        if self.answered:
            times |= {"ttft": record.ttft_ms or 0.0, "itl": record.itl_ms or 0.0}
        for kind, milliseconds in times.items():
            self.environment.events.request.fire(
                request_type=kind,
                name=self.user_class,
                response_time=milliseconds,
                response_length=record.output_tokens,
                exception=failure,
                context={},
            )


@events.init_command_line_parser.add_listener
def add_arguments(parser: ArgumentParser) -> None:
    """Take the plan from the command line."""
    parser.add_argument("--plan", type=Path, required=True, help="JSON file of a LoadPlan")
    parser.add_argument("--owner-pid", type=int, default=0, help="process that this load ends with")


@events.init.add_listener
def prepare(environment: Any, **_: Any) -> None:
    """Read the plan before the first user comes."""
    plan = LoadPlan.model_validate_json(environment.parsed_options.plan.read_text(encoding="utf-8"))
    ChatUser.plan = plan
    ChatUser.log = plan.log.open("a", buffering=1, encoding="utf-8")
    ChatUser.prompts = {
        "normal": itertools.cycle(plan.normal_prompts),
        "long": itertools.cycle(plan.long_prompts),
    }
    gevent.spawn(_end_in_time, environment.runner)
    owner_pid = environment.parsed_options.owner_pid
    if owner_pid:
        gevent.spawn(_end_with, owner_pid)


def _end_in_time(runner: Any) -> None:
    """End the load; Locust's own --run-time counts from before its imports on a busy machine."""
    while not ChatUser.done():
        gevent.sleep(0.02)
    runner.quit()


def _end_with(owner_pid: int) -> None:
    while os.getppid() == owner_pid:
        gevent.sleep(0.5)
    os._exit(1)  # nobody is left to read the results
