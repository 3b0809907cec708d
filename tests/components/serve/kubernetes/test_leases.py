"""One Lease a model name: who has it, who waits, who takes it over, and who is told that it is lost."""

import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from types import SimpleNamespace
from typing import Any

import pytest

from components.errors import InvalidInput, TunegateError
from components.serve.kubernetes import leases as module
from components.serve.kubernetes.cluster import Outdated
from components.serve.kubernetes.leases import DURATION_S, KubernetesLease, KubernetesLeases, lease_name
from components.serve.lease import Intent, LeaseLost, LeaseTaken
from tests.components.serve.kubernetes.fake_cluster import FakeCluster

INTENT = Intent(kind="promotion", model_name="pet", by="release r1", began_at=1.0, to_deployment="pet-r1")
KEY = ("Lease", lease_name("pet"))


class Clock:
    """Time that passes only while somebody sleeps; then something may happen.

    Attributes:
        slept_s: How long it was slept altogether.
        meanwhile: What happens each time.
    """

    def __init__(self) -> None:
        self.slept_s, self.meanwhile = 0.0, lambda: None

    def monotonic(self) -> float:
        return self.slept_s

    def sleep(self, seconds: float) -> None:
        self.slept_s += seconds
        self.meanwhile()


@pytest.fixture
def cluster() -> FakeCluster:
    return FakeCluster()


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    clock = Clock()
    monkeypatch.setattr(module, "time", clock)
    return clock


@pytest.fixture
def leases(cluster: FakeCluster) -> KubernetesLeases:
    return KubernetesLeases(cluster)  # type: ignore[arg-type]  # it is the fake one


@pytest.fixture
def gone(cluster: FakeCluster, leases: KubernetesLeases) -> Iterator[KubernetesLease]:
    """The lease of a holder that has written an intent and was killed, or sleeps for long."""
    found = leases._acquire("pet", "release r1 (process 7 on pod)", print, 0)
    lease = KubernetesLease(cluster, found)  # type: ignore[arg-type]
    lease.intend(INTENT)
    yield lease


def spec(cluster: FakeCluster) -> dict[str, Any]:
    found: dict[str, Any] = cluster.objects[KEY]["spec"]
    return found


def test_a_lease_tells_who_holds_it_and_is_free_afterwards(
    cluster: FakeCluster, leases: KubernetesLeases
) -> None:
    with leases.hold("pet", "release r1", print, 0) as lease:
        lease.require_held()
        held = spec(cluster)
        labels = cluster.objects[KEY]["metadata"]["labels"]

    assert held["holderIdentity"].startswith("release r1#")
    assert (held["leaseDurationSeconds"], held["leaseTransitions"]) == (DURATION_S, 1)
    assert held["acquireTime"] <= held["renewTime"]
    assert labels["tunegate.io/model"] == "pet"
    assert "holderIdentity" not in spec(cluster)
    with leases.hold("pet", "release r2", print, 0):
        assert spec(cluster)["leaseTransitions"] == 2


def test_the_second_waits_and_says_for_whom(
    cluster: FakeCluster, leases: KubernetesLeases, clock: Clock
) -> None:
    said: list[str] = []
    with leases.hold("pet", "release r1", print, 0) as lease:
        clock.meanwhile = lease.require_held  # it lives, for much longer than a lease lasts
        with (
            pytest.raises(LeaseTaken, match=r"moved by release r1 since 20\S+Z, which was waited for 200 s"),
            leases.hold("pet", "release r2", said.append, 200),
        ):
            pass
        assert spec(cluster)["holderIdentity"].startswith("release r1#")
        with leases.hold("dog", "release r3", print, 0):  # another name is not waited for
            pass

    assert said == [
        f"waiting for release r1 since {spec(cluster)['acquireTime']}, which moves the traffic of pet"
    ]


@pytest.mark.parametrize("off_h", [-5, 0, 5], ids=["slow clock", "right clock", "fast clock"])
def test_one_that_is_not_renewed_is_taken_over_by_the_clock_of_whoever_waits(
    cluster: FakeCluster, leases: KubernetesLeases, clock: Clock, gone: KubernetesLease, off_h: int
) -> None:
    theirs = datetime.now(UTC) + timedelta(hours=off_h)
    spec(cluster)["renewTime"] = theirs.strftime("%Y-%m-%dT%H:%M:%S.%fZ")

    with leases.hold("pet", "release r2", print, 200) as lease:
        assert DURATION_S <= clock.slept_s <= DURATION_S + 2 * module.POLL_S
        assert lease.intent() == INTENT
        assert spec(cluster)["holderIdentity"].startswith("release r2#")


def test_who_has_lost_a_lease_writes_and_moves_nothing_more(
    cluster: FakeCluster, leases: KubernetesLeases, clock: Clock, gone: KubernetesLease
) -> None:
    with leases.hold("pet", "release r2", print, 200) as lease:
        lease.intend(None)
        for attempt in (gone.require_held, lambda: gone.intend(INTENT), gone.let_go):
            with pytest.raises(LeaseLost, match=r"lost to release r2 since \S+: nothing more is moved"):
                attempt()
        assert lease.intent() is None
        lease.require_held()
    with pytest.raises(LeaseLost, match="lost to release r2"):  # also when that has let it go
        gone.require_held()


def test_one_that_was_lost_and_let_go_of_is_lost(
    cluster: FakeCluster, leases: KubernetesLeases, clock: Clock, gone: KubernetesLease
) -> None:
    with leases.hold("pet", "release r2", print, 200):
        pass
    with pytest.raises(LeaseLost, match="lost to somebody who has let it go already"):
        gone.require_held()
    del cluster.objects[KEY]
    with pytest.raises(LeaseLost):
        gone.require_held()


def test_an_answer_that_was_lost_and_a_persons_annotation_lose_no_lease(
    cluster: FakeCluster, leases: KubernetesLeases, monkeypatch: pytest.MonkeyPatch
) -> None:
    real, lost = cluster.replace, iter([True])

    def replace(manifest: dict[str, Any]) -> dict[str, Any]:
        written = real(manifest)
        if next(lost, False):
            raise Outdated("the write was asked for twice")
        return written

    with leases.hold("pet", "release r1", print, 0) as lease:
        by_hand = {"note": "hands off", module.INTENT: "{"}
        cluster.objects[KEY]["metadata"] |= {"annotations": by_hand, "resourceVersion": "77"}
        monkeypatch.setattr(cluster, "replace", replace)
        lease.intend(INTENT)
        lease.require_held()

        assert lease.intent() == INTENT
        assert cluster.objects[KEY]["metadata"]["annotations"]["note"] == "hands off"
        lease.intend(None)
        assert cluster.objects[KEY]["metadata"]["annotations"] == {"note": "hands off"}


def test_a_lost_answer_to_the_first_write_is_no_other_holder(
    cluster: FakeCluster, leases: KubernetesLeases, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = cluster.create

    def create(manifest: dict[str, Any]) -> dict[str, Any]:
        real(manifest)
        raise Outdated("the write was asked for twice")

    monkeypatch.setattr(cluster, "create", create)
    with leases.hold("pet", "release r1", print, 0) as lease:
        lease.require_held()


def test_of_many_that_are_quick_one_has_it_at_a_time(
    cluster: FakeCluster, leases: KubernetesLeases, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "POLL_S", 0)
    inside, most, turns = threading.Semaphore(1), [0], 4

    def work(name: str) -> None:
        for _ in range(turns):
            with leases.hold("pet", name, lambda text: None, 60) as lease:
                assert inside.acquire(blocking=False), "two at a time"
                lease.require_held()
                most[0] += 1
                inside.release()

    with ThreadPoolExecutor(4) as threads:
        for done in [threads.submit(work, f"release r{number}") for number in range(4)]:
            done.result()

    assert most[0] == 4 * turns
    assert spec(cluster)["leaseTransitions"] == 4 * turns


def test_a_holder_renews_it_and_goes_on_when_the_api_server_is_away_for_a_while(
    cluster: FakeCluster, gone: KubernetesLease, monkeypatch: pytest.MonkeyPatch
) -> None:
    waited: list[float] = []
    real, answers = cluster.replace, iter([TunegateError("the API server does not answer"), None, None])

    def replace(manifest: dict[str, Any]) -> dict[str, Any]:
        if error := next(answers):
            raise error
        return real(manifest)

    def wait(seconds: float) -> bool:
        waited.append(seconds)
        return len(waited) > 3

    before = cluster.writes
    monkeypatch.setattr(cluster, "replace", replace)
    gone.renew(SimpleNamespace(wait=wait))  # type: ignore[arg-type]  # an event

    assert cluster.writes == before + 2
    assert waited == [DURATION_S / 3] * 4
    assert gone.intent() == INTENT


def test_a_renewal_that_comes_between_takes_no_intent_away(
    cluster: FakeCluster, gone: KubernetesLease, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It waits until the intent is written, so it may not write the one that stood before."""
    real, is_written, is_waiting = cluster.replace, threading.Event(), threading.Event()

    class Turns:
        def __init__(self) -> None:
            self.lock, self.came = threading.Lock(), 0

        def __enter__(self) -> None:
            self.came += 1
            if self.came == 2:
                is_waiting.set()
            self.lock.acquire()

        def __exit__(self, *_: object) -> None:
            self.lock.release()

    def replace(manifest: dict[str, Any]) -> dict[str, Any]:
        assert is_written.wait(30)
        return real(manifest)

    gone.intend(None)
    monkeypatch.setattr(gone, "_writes", Turns())
    monkeypatch.setattr(cluster, "replace", replace)
    with ThreadPoolExecutor(2) as threads:
        done = [threads.submit(gone.intend, INTENT), threads.submit(gone.require_held)]
        assert is_waiting.wait(30)
        is_written.set()
        for one in done:
            one.result()

    assert gone.intent() == INTENT


def test_who_looks_sees_what_stands_and_who_is_at_it(
    cluster: FakeCluster, leases: KubernetesLeases, gone: KubernetesLease
) -> None:
    writes = cluster.writes
    going_on = leases.unfinished("pet")
    spec(cluster)["renewTime"] = "2020-01-01T00:00:00.000000Z"
    left = leases.unfinished("pet")

    assert going_on and going_on.intent == INTENT
    assert going_on.holder.startswith("release r1 (process 7 on pod) since 20")
    assert left and (left.intent, left.holder) == (INTENT, "")
    assert leases.unfinished("dog") is None
    assert cluster.writes == writes


def test_an_intent_outlives_whoever_let_go_of_the_lease(
    cluster: FakeCluster, leases: KubernetesLeases
) -> None:
    with leases.hold("pet", "release r1", print, 0) as lease:
        lease.intend(INTENT)
    left = leases.unfinished("pet")

    assert left and (left.intent, left.holder) == (INTENT, "")


@pytest.mark.parametrize(
    ("written", "words"),
    [
        ("{", "EOF while parsing"),
        ("{}", "kind: Field required"),
        (
            INTENT.model_copy(update={"model_name": "dog"}).model_dump_json(),
            "model_name: got 'dog', wanted 'pet'",
        ),
    ],
    ids=["damaged", "empty", "of another"],
)
def test_an_annotation_that_is_no_intent_of_this_model_is_named(
    cluster: FakeCluster, leases: KubernetesLeases, written: str, words: str
) -> None:
    with leases.hold("pet", "release r1", print, 0):
        pass
    cluster.objects[KEY]["metadata"]["annotations"] = {module.INTENT: written}
    where = "annotation tunegate.io/intent of Lease tunegate-pet"

    with pytest.raises(InvalidInput, match=rf"{where}(?s:.*){words}.*delete this, and run again"):
        leases.unfinished("pet")
    with (
        pytest.raises(InvalidInput, match=rf"{where}(?s:.*){words}"),
        leases.hold("pet", "release r2", print, 0),
    ):
        pass


def test_a_lease_of_somebody_else_is_left_alone(cluster: FakeCluster, leases: KubernetesLeases) -> None:
    cluster.create({"kind": "Lease", "metadata": {"name": lease_name("pet")}, "spec": {}})

    with (
        pytest.raises(InvalidInput, match=r"lease of pet(?s:.*)Lease tunegate-pet: belongs to somebody else"),
        leases.hold("pet", "release r1", print, 0),
    ):
        pass
