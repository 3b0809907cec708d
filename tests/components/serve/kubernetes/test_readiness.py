"""How a deployment is waited for, over a fake API server."""

import pytest

from components.serve.kubernetes import readiness
from components.serve.kubernetes.deployments import Deployments
from components.serve.kubernetes.manifests import deployment_manifests
from components.serve.kubernetes.readiness import Readiness
from components.settings import ClusterSettings
from tests.components.serve.kubernetes.fake_cluster import FakeCluster
from tests.components.serve.specs import spec_of

SETTINGS = ClusterSettings(control_image="c", serve_image="s")


class Clock:
    """A time that passes only where somebody sleeps."""

    def __init__(self) -> None:
        self.now = 0.0

    def monotonic(self) -> float:
        return self.now

    def sleep(self, seconds: float) -> None:
        self.now += seconds


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    clock = Clock()
    monkeypatch.setattr(readiness, "time", clock)
    return clock


def test_a_start_is_noticed_at_once_and_looked_into_once_a_second(
    clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    cluster = FakeCluster()
    for manifest in deployment_manifests(spec_of(), SETTINGS, ["engine"]):
        cluster.apply(manifest)
    waiting = Readiness(cluster, Deployments(cluster, 60), 15)  # type: ignore[arg-type]
    monkeypatch.setattr(waiting, "_rolled_out", lambda name: clock.now >= 10.25)
    seen: list[float] = []

    waiting.wait("pet-r1", 60, lambda replicas: seen.append(clock.now))

    assert clock.now == 10.25
    assert seen == list(range(11))
    assert cluster.listed["Event"] == 11
