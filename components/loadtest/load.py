"""A load: Locust in a process of its own, started, followed and ended."""

import os
import subprocess
import sys
import time
from pathlib import Path

import psutil
from pydantic import BaseModel, ConfigDict

from components.conversations import Prompt
from components.engine.api_keys import KEY_VARIABLE, client_key
from components.errors import TunegateError
from components.loadtest.client import ChatEndpoint, RequestRecord

LOCUSTFILE = Path(__file__).with_name("locustfile.py")
STRETCH, PATIENCE_S = 4, 120
START_TIMEOUT_S = 60  # Locust's imports alone take seconds on a busy machine


class LoadPlan(BaseModel):
    """What Locust's users do; handed to it as a JSON file.

    Attributes:
        endpoint: Whom they ask.
        normal_prompts: What normal users ask, one after another, again from the start at the end.
        long_prompts: The same for users with long prompts.
        users: How many ask at the same time, each waiting for an answer before asking again.
        long_users: How many of them send long prompts.
        seconds: How long new requests are started; requests in flight are waited for.
        warm_up_s: The first part of it, which does not count.
        fewest_requests: What each kind of users has to have asked after the warm-up; a load on a slow
            machine goes on for it, up to `longest_s`.
        log: A JSONL file of `RequestRecord`, a line a request, written as each ends.
    """

    model_config = ConfigDict(frozen=True)

    endpoint: ChatEndpoint
    normal_prompts: list[Prompt]
    long_prompts: list[Prompt]
    users: int
    long_users: int
    seconds: float
    warm_up_s: float = 0.0
    fewest_requests: int = 0
    log: Path

    @property
    def longest_s(self) -> float:
        """How long a load goes on at most for its fewest requests, seconds: a short one may need minutes."""
        return max(STRETCH * self.seconds, PATIENCE_S)


class Load:
    """A Locust process that runs for a set time, and never longer than its owner.

    Its patches recurse without end where `ssl` was imported before: it never runs inside this process.

    Args:
        plan: What the users do.
        folder: Where the plan and Locust's own output are kept.
    """

    def __init__(self, plan: LoadPlan, folder: Path) -> None:
        self.plan, self.folder = plan, folder
        self.records: list[RequestRecord] = []
        self.client_cpu_share = 0.0
        self._read_to = 0
        longest_s = START_TIMEOUT_S + plan.longest_s + 2 * plan.endpoint.timeout_s
        self._hard_stop = time.monotonic() + longest_s
        self._output = folder / f"{plan.log.stem}.locust.txt"
        self._process = self._start()
        self._usage = psutil.Process(self._process.pid)
        self._cpu_mark: tuple[float, float] | None = None

    def _start(self) -> subprocess.Popen[bytes]:
        plan_path = self.folder / f"{self.plan.log.stem}.plan.json"
        plan_path.write_text(self.plan.model_dump_json(), encoding="utf-8")
        command = [sys.executable, "-m", "locust", "--locustfile", str(LOCUSTFILE), "--plan", str(plan_path)]
        command += [
            "--owner-pid",
            str(os.getpid()),
            "--headless",
            "--users",
            str(self.plan.users),
            "--spawn-rate",
            str(self.plan.users),
        ]
        command += ["--stop-timeout", f"{2 * self.plan.endpoint.timeout_s:g}"]
        command += ["--exit-code-on-error", "0", "--only-summary", "--loglevel", "WARNING"]
        # The user's own Locust settings would change what is measured: variables, and files in the cwd.
        environment = {key: value for key, value in os.environ.items() if not key.startswith("LOCUST_")}
        source = str(LOCUSTFILE.parents[2])
        environment["PYTHONPATH"] = os.pathsep.join(filter(None, [source, os.environ.get("PYTHONPATH")]))
        # By itself it would look for the settings in its own working directory.
        environment[KEY_VARIABLE] = client_key()
        with self._output.open("wb") as output:
            return subprocess.Popen(
                command,
                cwd=self.folder,
                env=environment,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
            )

    def end(self) -> None:
        """End it at once if it is still going on; asked politely, Locust would wait for its requests."""
        self._process.kill()
        self._process.wait()

    @property
    def started_at(self) -> float | None:
        """When the first request was sent, seconds since the epoch; None before one has ended."""
        return min((record.started_at for record in self.records), default=None)

    def finished(self) -> bool:
        """Read what has been measured meanwhile and return whether the load is over.

        Raises:
            TunegateError: Locust failed, or did not end in its time; with the end of its output.
        """
        code = self._process.poll()
        self._read_log()
        if code is None:
            self._note_cpu()
            if time.monotonic() > self._hard_stop:
                raise TunegateError(f"the load did not end in its time; {self._last_words()}")
            return False
        if code != 0:
            raise TunegateError(f"locust ended with code {code}; {self._last_words()}")
        return True

    def _read_log(self) -> None:
        if not self.plan.log.exists():
            return
        with self.plan.log.open("rb") as file:
            file.seek(self._read_to)
            for line in file:
                if not line.endswith(b"\n"):  # half a line: read again when the rest is there
                    break
                self.records.append(RequestRecord.model_validate_json(line))
                self._read_to += len(line)

    def _note_cpu(self) -> None:
        """Follow the client's use of one core since its first request; near 1 it measures itself."""
        try:
            times = self._usage.cpu_times()
        except psutil.Error:  # it ended just now
            return
        used, now = times.user + times.system, time.monotonic()
        if self._cpu_mark is None:
            self._cpu_mark = (used, now) if self.records else None
        elif now > self._cpu_mark[1]:
            self.client_cpu_share = (used - self._cpu_mark[0]) / (now - self._cpu_mark[1])

    def _last_words(self) -> str:
        text = self._output.read_text(encoding="utf-8", errors="replace").strip()
        return f"the end of its output:\n{text[-2000:]}"
