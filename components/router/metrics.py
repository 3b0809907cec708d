"""What the router counts, for Prometheus."""

from collections.abc import Callable, Iterable, Sequence

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, ProcessCollector
from prometheus_client.core import GaugeMetricFamily
from prometheus_client.registry import Collector

from components.router.routes import NO_ROUTE, OPEN

# How a request ended. Failed: the router had no answer, or the replicas' own was a 5xx. Broken: a stream that
# ended in the middle of its text. Gone: its client did not wait for the end.
ANSWERED, MISTAKEN, FAILED, BROKEN, GONE = "answered", "client_error", "failed", "broken", "client_gone"
OUTCOMES = (ANSWERED, MISTAKEN, FAILED, BROKEN, GONE)
MOVED = ("connect", "broken", "hung", "status")
_SECONDS = (0.005, 0.02, 0.05, 0.1, 0.2, 0.5, 1, 2, 2.5, 5, 10, 30, 60, 120, 300)

ReplicaState = tuple[str, bool, int]  # address, whether it is well, requests on it


class Metrics:
    """The series of one router.

    Args:
        replicas: Tells the replicas as they stand.
    """

    def __init__(self, replicas: Callable[[], Sequence[ReplicaState]]) -> None:
        self.registry = CollectorRegistry()
        own = self.registry
        self.requests = Counter(
            "tunegate_router_requests", "Requests by how they ended", ["route", "outcome"], registry=own
        )
        self.responses = Counter(
            "tunegate_router_responses", "Answers by their status", ["route", "code"], registry=own
        )
        self.moves = Counter(
            "tunegate_router_retries",
            "Requests that were sent on to another replica",
            ["reason"],
            registry=own,
        )
        self.in_flight = Gauge("tunegate_router_in_flight", "Requests that are being answered", registry=own)
        self.connections = Gauge("tunegate_router_connections", "Connections of clients", registry=own)
        self.first_text = Histogram(
            "tunegate_router_first_text_seconds",
            "From the end of a request's headers to its first piece with text",
            ["route"],
            buckets=_SECONDS,
            registry=own,
        )
        self.duration = Histogram(
            "tunegate_router_request_seconds",
            "From the end of a request's headers to the end of its answer",
            ["route"],
            buckets=_SECONDS,
            registry=own,
        )
        # Series that are there from the start: a rate over one that appears with its first failure misses it.
        for route in (*OPEN, NO_ROUTE):
            for outcome in OUTCOMES:
                self.requests.labels(route, outcome)
        for reason in MOVED:
            self.moves.labels(reason)
        self.registry.register(_ReplicaCollector(replicas))
        ProcessCollector(registry=self.registry)

    def ended(self, route: str, status: int, outcome: str, seconds: float) -> None:
        """Count a request that is over."""
        self.requests.labels(route, outcome).inc()
        self.responses.labels(route, str(status)).inc()
        self.duration.labels(route).observe(seconds)


class _ReplicaCollector(Collector):
    def __init__(self, replicas: Callable[[], Sequence[ReplicaState]]) -> None:
        self._replicas = replicas

    def collect(self) -> Iterable[GaugeMetricFamily]:
        """Tell the replicas as they stand now; those that left are not told any more."""
        known = GaugeMetricFamily("tunegate_router_replicas_known", "Replicas that may be asked")
        healthy = GaugeMetricFamily("tunegate_router_replicas_healthy", "Replicas that answered their check")
        each = GaugeMetricFamily(
            "tunegate_router_replica_healthy", "Whether a replica answered its check", labels=["replica"]
        )
        busy = GaugeMetricFamily(
            "tunegate_router_replica_requests", "Requests on a replica", labels=["replica"]
        )
        found = self._replicas()
        known.add_metric([], len(found))
        healthy.add_metric([], sum(is_well for _, is_well, _ in found))
        for address, is_well, requests in found:
            each.add_metric([address], float(is_well))
            busy.add_metric([address], requests)
        return known, healthy, each, busy
