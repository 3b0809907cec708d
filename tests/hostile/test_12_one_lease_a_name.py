"""Whoever moves the traffic of a model holds its lease: two at once end with traffic and alias on one."""

import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest

from components.checks import Verdict, at_least
from components.release import closing, leftovers, promotion, rollback, settling
from components.release.closing import close
from components.release.ending import outcome
from components.release.leftovers import retire_left
from components.release.promotion import promote_candidate, refuse_candidate
from components.release.rollback import roll_back
from components.serve.lease import LeaseLost, LeaseTaken
from components.serve.local.leases import LocalLeases
from components.serve.spec import ServingSpec
from components.tracking import model_registry, runs, stage
from components.tracking.stage import open_stage
from pipelines import serving
from tests.components.release.candidates import deploy_candidate
from tests.components.serve.memory_backend import MemoryBackend
from tests.hostile.memory_mlflow import MemoryMlflow

GOOD = at_least("goodput", 0.95, 0.9, "share", "most were fast")
BAD = at_least("goodput", 0.5, 0.9, "share", "half were slow")


PROCESS = threading.local()  # each thread is a process with a release of its own


class MeetingBackend(MemoryBackend):
    """A back end where of two that promote at the same time the last to switch is the first to go on.

    Attributes:
        meeting: Where they would meet; with one lease a name nobody comes while somebody waits.
        is_over: Set when one of them has ended.
    """

    def __init__(self) -> None:
        super().__init__()
        self.meeting: threading.Barrier | None = None
        self.is_over = threading.Event()

    def promote(self, name: str) -> None:
        super().promote(name)
        if self.meeting is not None:
            with suppress(threading.BrokenBarrierError):
                self.meeting.wait()
                if self.champion("pet") != self.deployed[name]:
                    self.is_over.wait(30)


@pytest.fixture
def backend(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[MeetingBackend]:
    memory, client = MeetingBackend(), MemoryMlflow()
    monkeypatch.setenv("TUNEGATE_HOME", str(tmp_path / "home"))
    monkeypatch.setattr(runs, "client", lambda: client)
    monkeypatch.setattr(stage, "client", lambda: client)
    for module in (runs, stage):
        monkeypatch.setattr(module, "release_id", lambda: PROCESS.release)
    for module in (closing, leftovers, promotion, rollback, settling, serving):
        monkeypatch.setattr(module, "serving_backend", lambda target: memory)
    yield memory


def deploy(backend: MemoryBackend, release: str, seed: str) -> ServingSpec:
    return deploy_candidate(backend, "pet", release, seed)


def promote(spec: ServingSpec, release: str, folder: Path) -> None:
    folder = folder / release
    verdict = Verdict(stage="service", checks=(GOOD,), adapter_digest=spec.adapter_digest)
    verdict.write(folder / "verdict.json")
    spec.write(folder / "deployment.json")

    def run() -> None:
        PROCESS.release = release
        with open_stage("promote", {}) as running:
            paths = [folder / "verdict.json"]
            promote_candidate("local", folder / "deployment.json", paths, spec.adapter_digest, running)

    with ThreadPoolExecutor(1) as process:
        process.submit(run).result()


def champion_digest() -> str:
    found = model_registry.champion(runs.client(), "pet")
    assert found
    return found.adapter_digest


def assert_agreed(backend: MemoryBackend) -> str:
    """Return the digest that traffic and alias agree on; nothing else is there."""
    live = backend.champion("pet")
    assert live and live.adapter_digest == champion_digest()
    assert list(backend.deployed) == [live.name]
    assert backend.unfinished("pet") is None
    return live.adapter_digest


def at_once(*calls: Callable[[], Any]) -> None:
    with ThreadPoolExecutor(len(calls)) as threads:
        for done in [threads.submit(call) for call in calls]:
            done.result()


def test_of_two_promotions_at_once_traffic_and_alias_are_those_of_one(
    backend: MeetingBackend, tmp_path: Path
) -> None:
    """Without a lease both would switch before either moves the alias."""
    one, other = deploy(backend, "r1", "a"), deploy(backend, "r2", "b")
    backend.meeting = threading.Barrier(2, timeout=0.5)

    def run(spec: ServingSpec, release: str) -> None:
        promote(spec, release, tmp_path)
        backend.is_over.set()

    at_once(lambda: run(one, "r1"), lambda: run(other, "r2"))

    last = assert_agreed(backend)
    previous = model_registry.previous(runs.client(), "pet")
    assert previous and {last, previous.adapter_digest} == {one.adapter_digest, other.adapter_digest}


@pytest.mark.parametrize("turn", range(5))
def test_many_that_promote_retire_and_roll_back_at_once_agree(
    backend: MeetingBackend, tmp_path: Path, turn: int
) -> None:
    for release, seed in (("r1", "a"), ("r2", "b")):
        promote(deploy(backend, release, seed), release, tmp_path)
    three, four = deploy(backend, "r3", "c"), deploy(backend, "r4", "d")
    deploy(backend, "r5", "e")

    at_once(
        lambda: promote(three, "r3", tmp_path),
        lambda: roll_back("pet", 60, print),
        lambda: promote(four, "r4", tmp_path),
        lambda: refuse(backend, "r5", tmp_path),
    )

    assert_agreed(backend)


def refuse(backend: MemoryBackend, release: str, folder: Path) -> None:
    PROCESS.release = release
    verdict = Verdict(stage="service", checks=(BAD,), adapter_digest=f"sha256:{'e' * 64}")
    verdict.write(folder / "refused.json")
    with open_stage("refuse", {}) as running:
        refuse_candidate("local", folder / "refused.json", running)


def test_the_second_waits_and_says_for_whom(tmp_path: Path) -> None:
    leases, said = LocalLeases(tmp_path), list[str]()
    is_waiting = threading.Event()

    def say(text: str) -> None:
        said.append(text)
        is_waiting.set()

    with ThreadPoolExecutor(1) as thread:
        with leases.hold("pet", "release r1 (process 7 on node)", said.append, 0):
            second = thread.submit(lambda: leases.hold("pet", "release r2", say, 60).__enter__())
            assert is_waiting.wait(30)
            assert not second.done()
            with leases.hold("dog", "release r3", said.append, 0):  # another name is not waited for
                pass
        second.result()

    assert len(said) == 1
    assert said[0].startswith("waiting for release r1 (process 7 on node) since 20")
    assert said[0].endswith(", which moves the traffic of pet")


HELD = r"the traffic of pet is being moved by release r1 since 20.* waited for 0 s: nothing was changed; run"


def test_whoever_may_not_wait_longer_is_told_who_holds_it(tmp_path: Path) -> None:
    leases = LocalLeases(tmp_path)

    with (
        leases.hold("pet", "release r1", print, 0),
        pytest.raises(LeaseTaken, match=HELD),
        leases.hold("pet", "release r2", print, 0),
    ):
        pass


COMMANDS = [
    pytest.param(lambda b, f: promote(b.deployed["pet-r3"], "r3", f), id="promotion"),
    pytest.param(lambda b, f: roll_back("pet", 60, print), id="roll-back"),
    pytest.param(lambda b, f: refuse(b, "r5", f), id="retirement"),
    pytest.param(lambda b, f: serving.serve_again("pet", 60, print), id="up"),
    pytest.param(lambda b, f: serving.stop_model("pet", print), id="down"),
]


@pytest.mark.parametrize("command", COMMANDS)
def test_nothing_moves_while_somebody_else_holds_the_lease(
    backend: MeetingBackend, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, command: Any
) -> None:
    for release, seed in (("r1", "a"), ("r2", "b")):
        promote(deploy(backend, release, seed), release, tmp_path)
    deploy(backend, "r3", "c")
    deploy(backend, "r5", "e")
    lease = backend.lease

    def impatient(model_name: str, holder: str, say: Any, wait_s: float = 0) -> Any:
        return lease(model_name, holder, say, 0)

    monkeypatch.setattr(backend, "lease", impatient)
    with backend.lease("pet", "release r1", print):
        backend.calls.clear()
        before = dict(backend.deployed), dict(backend.live), champion_digest()
        with pytest.raises(LeaseTaken, match="is being moved by release r1 since"):
            command(backend, tmp_path)

        assert backend.calls == []
        assert (backend.deployed, backend.live, champion_digest()) == before


@pytest.mark.parametrize("clean_up", ["close", "next run"])
def test_a_clean_up_retires_nothing_of_a_model_that_somebody_moves(
    backend: MeetingBackend, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, clean_up: str
) -> None:
    promote(deploy(backend, "r1", "a"), "r1", tmp_path)
    deploy(backend, "r3", "c")
    lease = backend.lease
    monkeypatch.setattr(backend, "lease", lambda name, who, say, wait_s=0: lease(name, who, say, 0))
    with backend.lease("pet", "release r1", print):
        backend.calls.clear()
        if clean_up == "close":
            PROCESS.release = "r3"
            close("local", "pet", tmp_path / "card.html")
        else:
            retire_left("local", ["r3"], print)

        assert backend.calls == []
    if clean_up == "close":
        assert "is being moved by release r1 since" in (tmp_path / "card.html").read_text()


def test_who_has_lost_the_lease_moves_no_alias(
    backend: MeetingBackend, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Paused between traffic and alias for so long that somebody else has taken over."""
    promote(deploy(backend, "r1", "a"), "r1", tmp_path)
    paused, quick = deploy(backend, "r2", "b"), deploy(backend, "r3", "c")
    real, folder = backend.promote, tmp_path / "home" / "leases"

    def pause(name: str) -> None:
        real(name)
        if name == paused.name and not (folder / "pet.lost").exists():
            (folder / "pet.lock").rename(folder / "pet.lost")  # as if it had expired
            promote(quick, "r3", tmp_path)

    monkeypatch.setattr(backend, "promote", pause)
    with pytest.raises(LeaseLost, match="nothing more is moved"):
        promote(paused, "r2", tmp_path)

    assert assert_agreed(backend) == quick.adapter_digest


def test_a_promotion_that_was_complete_when_the_lease_was_lost_has_not_failed(
    backend: MeetingBackend, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    promote(deploy(backend, "r1", "a"), "r1", tmp_path)
    paused, quick = deploy(backend, "r2", "b"), deploy(backend, "r3", "c")
    real, folder = stage.Stage.keep, tmp_path / "home" / "leases"

    def pause(running: stage.Stage) -> None:
        real(running)
        if PROCESS.release == "r2":
            (folder / "pet.lock").rename(folder / "pet.lost")  # as if it had expired
            promote(quick, "r3", tmp_path)

    monkeypatch.setattr(stage.Stage, "keep", pause)
    promote(paused, "r2", tmp_path)

    assert assert_agreed(backend) == quick.adapter_digest
    assert outcome("r2") == outcome("r3") == "promoted"


def test_a_lock_of_a_state_directory_that_was_taken_away_is_lost(tmp_path: Path) -> None:
    leases = LocalLeases(tmp_path / "leases")
    with leases.hold("pet", "release r1", print, 0) as lease:
        lease.require_held()
        (tmp_path / "leases").rename(tmp_path / "elsewhere")
        with pytest.raises(LeaseLost, match=r"pet\.lock was taken away while it was held"):
            lease.require_held()
