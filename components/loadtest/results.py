"""What a stress run found, and how requests become statistics."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from pydantic import BaseModel, Field

from components.loadtest.client import OK, RequestRecord, UserClass

FEWEST_REQUESTS = 10  # of each kind of users in each scenario: fewer say too little to pass

EventKind = Literal[
    "load_started",
    "load_ended",
    "replica_killed",
    "replicas_ready",
    "stop_asked",
    "all_stopped",
    "start_asked",
    "first_answer",
    "gave_up",
]


class TimelineEvent(BaseModel):
    """Something that happened in a scenario, at seconds since the epoch."""

    at: float
    kind: EventKind
    text: str


class Percentiles(BaseModel):
    """Percentiles of answered requests, milliseconds."""

    p50: float
    p95: float
    p99: float


class LoadStats(BaseModel):
    """Statistics of one kind of users; a failed request never enters a latency.

    Attributes:
        requests: Requests measured: all after the warm-up, and those that failed in it.
        ok: Answered to the end.
        failures: The others by outcome.
        ttft_ms: Time to first token.
        itl_ms: Times between tokens, of all answers together.
        e2e_ms: Time to the last byte.
        requests_per_s: Answers that ended while the load was on, a second.
        output_tokens_per_s: Their tokens, a second.
        goodput: Share of all requests that were answered within the objective; None without requests.
        prompt_tokens: Median length of the prompts, as the server counted them.
    """

    requests: int
    ok: int
    failures: dict[str, int]
    ttft_ms: Percentiles | None
    itl_ms: Percentiles | None
    e2e_ms: Percentiles | None
    requests_per_s: float
    output_tokens_per_s: float
    goodput: float | None
    prompt_tokens: float | None

    @property
    def failed_share(self) -> float | None:
        """Share of all requests that were not answered; None without requests."""
        return (self.requests - self.ok) / self.requests if self.requests else None


class ScenarioResult(BaseModel):
    """What happened in one scenario.

    Attributes:
        name: The scenario.
        title: Its name for people.
        users: Statistics of everyone and of each kind of users; empty if there was no load.
        timeline: What happened when.
        client_cpu_share: Share of one core that the load client used; near 1 it was the bottleneck.
        recovery_s: From the kill until every replica was ready again; None if that was not seen.
        cold_start_s: From starting until the first complete answer; None if that was not seen.
        all_ready_s: From starting until every replica was ready; None if that was not seen.
        gave_up_after_s: How long was waited for what was not seen.
        problem: Why the scenario could not be carried through.
    """

    name: str
    title: str
    users: dict[Literal["all", "normal", "long"], LoadStats] = Field(default_factory=dict)
    timeline: list[TimelineEvent] = Field(default_factory=list)
    client_cpu_share: float | None = None
    recovery_s: float | None = None
    cold_start_s: float | None = None
    all_ready_s: float | None = None
    gave_up_after_s: float | None = None
    problem: str = ""


class StressResults(BaseModel):
    """All scenarios of one adapter.

    Attributes:
        adapter_digest: The adapter that was served.
        slo_ttft_ms: The objective that goodput is held against: time to first token.
        slo_itl_ms: The objective: mean time between the tokens of an answer.
        scenarios: In the order in which they ran.
        replicas: Replicas deployed.
        replicas_ready: Replicas ready when all was over.
    """

    adapter_digest: str
    slo_ttft_ms: float
    slo_itl_ms: float
    scenarios: list[ScenarioResult] = Field(default_factory=list)
    replicas: int
    replicas_ready: int = 0

    def scenario(self, name: str) -> ScenarioResult | None:
        """Return one scenario, None if it did not run."""
        return next((scenario for scenario in self.scenarios if scenario.name == name), None)

    def write(self, path: Path) -> None:
        """Write the results as JSON."""
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(self.model_dump_json(indent=2), encoding="utf-8")

    @classmethod
    def read(cls, path: Path) -> "StressResults":
        """Read results that `write` wrote."""
        return cls.model_validate_json(path.read_text(encoding="utf-8"))


@dataclass(frozen=True)
class Objective:
    """A service-level objective: one answer is good within both."""

    ttft_ms: float
    itl_ms: float

    def met_by(self, record: RequestRecord) -> bool:
        """Return whether a request was answered, and in time."""
        if record.outcome != OK or record.ttft_ms is None or record.ttft_ms > self.ttft_ms:
            return False
        return record.itl_ms is None or record.itl_ms <= self.itl_ms


def summarise(
    records: Sequence[RequestRecord], objective: Objective, warm_up_s: float, duration_s: float
) -> dict[Literal["all", "normal", "long"], LoadStats]:
    """Sum up a load.

    Args:
        records: All its requests, warm-up included.
        objective: What goodput means.
        warm_up_s: Answers to requests of the first seconds are left out; failures never are.
        duration_s: Length of the load after the warm-up; it may have gone on for longer.

    Returns:
        Statistics of everyone, and of each kind of users that asked.
    """
    if not records:
        return {}
    begin = min(record.started_at for record in records) + warm_up_s
    end = max(begin + duration_s, *(record.started_at for record in records))
    users: dict[Literal["all", "normal", "long"], LoadStats] = {"all": _stats(records, objective, begin, end)}
    classes: tuple[UserClass, ...] = ("normal", "long")
    for user_class in classes:
        own = [record for record in records if record.user_class == user_class]
        if own:
            users[user_class] = _stats(own, objective, begin, end)
    return users


def _stats(records: Sequence[RequestRecord], objective: Objective, begin: float, end: float) -> LoadStats:
    measured = [record for record in records if record.started_at >= begin or record.outcome != OK]
    answered = [record for record in measured if record.outcome == OK]
    # What ended inside the window, whenever it began: counting by start would drop or double the edges.
    ended = [r for r in records if r.outcome == OK and begin <= r.ended_at <= end]
    prompt_tokens = [float(r.prompt_tokens) for r in answered if r.prompt_tokens is not None]
    return LoadStats(
        requests=len(measured),
        ok=len(answered),
        failures=dict(Counter(r.outcome for r in measured if r.outcome != OK)),
        ttft_ms=percentiles([r.ttft_ms for r in answered if r.ttft_ms is not None]),
        itl_ms=percentiles([gap for r in answered for gap in r.gaps_ms]),
        e2e_ms=percentiles([r.e2e_ms for r in answered]),
        requests_per_s=len(ended) / (end - begin),
        output_tokens_per_s=sum(r.output_tokens for r in ended) / (end - begin),
        goodput=sum(map(objective.met_by, measured)) / len(measured) if measured else None,
        prompt_tokens=_median(prompt_tokens),
    )


def percentiles(values: Sequence[float]) -> Percentiles | None:
    """Return percentiles, linear between the two nearest values; None of no values."""
    if not values:
        return None
    import numpy as np

    p50, p95, p99 = (float(value) for value in np.percentile(values, (50, 95, 99)))
    return Percentiles(p50=p50, p95=p95, p99=p99)


def _median(values: Sequence[float]) -> float | None:
    found = percentiles(values)
    return found.p50 if found else None
