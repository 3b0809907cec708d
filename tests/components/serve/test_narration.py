from types import SimpleNamespace

import pytest

from components.serve import narration
from components.serve.backend import Replica, ReplicaState


def replicas(*states: ReplicaState) -> list[Replica]:
    return [Replica(f"pet-{number}", state, "") for number, state in enumerate(states)]


def test_changes_are_said_at_once_and_the_rest_now_and_then(monkeypatch: pytest.MonkeyPatch) -> None:
    clock = SimpleNamespace(now=0.0)
    monkeypatch.setattr(narration, "time", SimpleNamespace(monotonic=lambda: clock.now))
    said: list[str] = []
    narrate = narration.narrator(said.append)

    for now, states in (
        (0.0, ("starting", "starting")),
        (1.0, ("starting", "starting")),
        (2.0, ("ready", "failed")),
        (16.9, ("ready", "failed")),
        (17.0, ("ready", "failed")),
        (18.0, ("ready", "ready")),
    ):
        clock.now = now
        narrate(replicas(*states))

    assert said == [
        "0 of 2 replicas are ready",
        "1 of 2 replicas are ready, pet-1 failed after 2 s",
        "1 of 2 replicas are ready, pet-1 failed after 17 s",
        "2 of 2 replicas are ready after 18 s",
    ]
