"""The local back end: real supervisord, real routers, replicas that are stand-ins."""

import os
import re
import signal
from pathlib import Path

import pytest

from components.errors import DigestMismatch, InvalidInput, NotReady
from components.serve.local.backend import LocalBackend
from components.serve.local.supervisor import Supervisor
from components.serve.spec import ServingSpec
from tests.components.serve.clients import ask, continuous_requests, processes_in
from tests.components.serve.conftest import stand_in
from tests.components.serve.contract import (  # noqa: F401  # tests and a fixture that pytest finds here
    MakeSpec,
    promoted,
    refuse_while_stopped,
    switch_and_switch_back,
    test_a_champion_answers_at_both_endpoints,
    test_a_number_of_replicas_that_is_not_laid_out_is_refused,
    test_an_unknown_deployment_is_named,
    test_another_spec_under_the_same_name_is_refused,
    test_one_at_a_time_moves_the_traffic_of_a_model,
    test_the_champion_is_not_retired,
    test_what_is_intended_outlives_whoever_intends_it,
)

READY_S = 60


def process_ids(home: Path, name: str) -> dict[str, int]:
    return {n: p.pid for n, p in Supervisor(home / "serve").states(name).items()}


def test_requests_are_spread_over_the_replicas(backend: LocalBackend, champion: ServingSpec) -> None:
    answers = {ask(backend.live_endpoint("pet")) for _ in range(4)}

    assert len(answers) == 2  # the stand-in answers with its process id


def test_a_second_apply_changes_nothing(home: Path, backend: LocalBackend, champion: ServingSpec) -> None:
    before = process_ids(home, champion.name)

    backend.apply(champion)

    assert process_ids(home, champion.name) == before
    assert len(before) == 3


def test_a_killed_replica_comes_back_and_few_requests_notice(
    home: Path, backend: LocalBackend, champion: ServingSpec
) -> None:
    before = process_ids(home, champion.name)
    with continuous_requests(backend.live_endpoint("pet"), (champion.name,), clients=4) as asked:
        asked.wait_for(champion.name, 20)
        killed = backend.kill_replica(champion.name)
        backend.wait_ready(champion.name, READY_S)
        asked.wait_for(champion.name, 20)

    after = process_ids(home, champion.name)
    assert [name for name in before if before[name] != after[name]] == [killed]
    # Only a stream that the killed replica had begun can't be asked again by the router.
    assert len(asked.failures) <= 2, asked.failures


def test_a_replica_that_hangs_is_out_of_rotation_and_no_request_fails(
    home: Path, backend: LocalBackend, champion: ServingSpec
) -> None:
    hung = process_ids(home, champion.name)[f"{champion.name}-0"]
    with continuous_requests(backend.live_endpoint("pet"), (champion.name,), clients=4) as asked:
        asked.wait_for(champion.name, 20)
        os.kill(hung, signal.SIGSTOP)
        try:
            asked.wait_for(champion.name, 200)  # those of the other one; some move to it after two checks
        finally:
            os.kill(hung, signal.SIGCONT)
        asked.wait_for(champion.name, 20)

    # A stream that had begun on it waits for it to go on.
    assert asked.failures == []
    backend.wait_ready(champion.name, READY_S)


def test_traffic_is_switched_and_switched_back_without_a_failed_request(
    backend: LocalBackend, champion: ServingSpec, make_spec: MakeSpec
) -> None:
    slow = LocalBackend(stand_in("--answer-s", "0.1"))

    switch_and_switch_back(backend, slow, champion, make_spec("pet-new"))


def test_what_is_not_ready_is_not_promoted(
    backend: LocalBackend, champion: ServingSpec, make_spec: MakeSpec
) -> None:
    spec = make_spec("pet-shy", replicas=1)
    LocalBackend(stand_in("--hide-adapter")).apply(spec)

    with pytest.raises(NotReady, match=r"not ready within 1 s, still waiting for pet-shy-0"):
        backend.wait_ready(spec.name, 1)
    with pytest.raises(NotReady, match=r"can't take live traffic: pet-shy-0 is starting"):
        backend.promote(spec.name)

    assert backend.champion("pet") == champion
    backend.retire(spec.name)


def test_a_replica_that_dies_at_once_is_given_up_with_its_log(
    backend: LocalBackend, champion: ServingSpec, make_spec: MakeSpec
) -> None:
    spec = make_spec("pet-dying", replicas=1)
    LocalBackend(stand_in("--die")).apply(spec)

    with pytest.raises(NotReady, match="pet-dying-0 keeps dying") as refused:
        backend.wait_ready(spec.name, 10_000)

    assert "RuntimeError: engine core failed to start" in str(refused.value)
    backend.retire(spec.name)


def test_a_port_that_somebody_else_took_meanwhile_is_given_up(
    backend: LocalBackend, champion: ServingSpec, make_spec: MakeSpec, monkeypatch: pytest.MonkeyPatch
) -> None:
    import socket

    from components.serve.local import deployments

    spec = make_spec("pet-moved", replicas=1)
    found = iter([])
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        other.listen()
        taken = other.getsockname()[1]
        original = deployments.ports.free_port

        def faster_neighbour(promised: set[int], wish: int | None = None) -> int:
            return next(found, None) or original(promised, wish)

        found = iter([0, 0, taken])  # the router's two, then the replica's
        monkeypatch.setattr(deployments.ports, "free_port", faster_neighbour)
        with monkeypatch.context() as patch:
            patch.setattr(deployments.ports, "is_free", lambda port: True)
            backend.apply(spec)

        backend.wait_ready(spec.name, READY_S)

    assert backend.replicas(spec.name)[0].url != f"http://127.0.0.1:{taken}"
    assert "pet-moved" in ask(backend.endpoint(spec.name))
    backend.retire(spec.name)


def test_scaled_to_nothing_and_back(
    home: Path, backend: LocalBackend, champion: ServingSpec, make_spec: MakeSpec
) -> None:
    spec = make_spec("pet-cold")
    backend.apply(spec)
    backend.wait_ready(spec.name, READY_S)

    backend.scale(spec.name, 0)

    assert processes_in(str(home / "serve/deployments/pet-cold")) == []
    assert [replica.state for replica in backend.replicas(spec.name)] == ["stopped", "stopped"]

    refuse_while_stopped(backend, spec.name)

    assert "pet-cold" in ask(backend.endpoint(spec.name))
    backend.retire(spec.name)


def test_retiring_leaves_no_process_and_no_file(
    home: Path, backend: LocalBackend, champion: ServingSpec, make_spec: MakeSpec
) -> None:
    spec = make_spec("pet-gone", replicas=1)
    backend.apply(spec)
    backend.wait_ready(spec.name, READY_S)
    folder = home / "serve/deployments/pet-gone"
    assert len(processes_in(str(folder))) == 2
    start = (folder / "start-pet-gone-0.sh").read_text()
    scratch = Path(re.findall(r"TUNEGATE_ENGINE_TMP=(\S+)/0 ", start)[0])
    assert scratch.stat().st_mode & 0o777 == 0o700
    (scratch / "0").mkdir()
    (scratch / "0" / "vllm_dist_1").touch()  # of an engine that was killed

    backend.retire(spec.name)
    backend.retire(spec.name)  # one that is not there is no error

    assert processes_in(str(folder)) == []
    assert not scratch.exists()
    assert [str(path) for path in home.rglob("*pet-gone*")] == []
    assert spec not in backend.deployments()


@pytest.mark.parametrize(
    ("changes", "error", "words"),
    [
        pytest.param(
            {"image": "oci:nowhere@sha256:" + "0" * 64}, InvalidInput, "nowhere", id="no such image"
        ),
        pytest.param(
            {"adapter_digest": "sha256:" + "1" * 64}, DigestMismatch, "sha256:1111", id="another adapter"
        ),
        pytest.param(
            {"base_model": "./nowhere"}, InvalidInput, "base_model './nowhere'", id="no such base model"
        ),
    ],
)
def test_what_can_not_be_served_leaves_nothing(
    home: Path,
    backend: LocalBackend,
    champion: ServingSpec,
    make_spec: MakeSpec,
    changes: dict[str, str],
    error: type[Exception],
    words: str,
) -> None:
    with pytest.raises(error, match=words):
        backend.apply(make_spec("pet-bad", **changes))

    assert [str(path) for path in home.rglob("*pet-bad*")] == []
    assert [spec.name for spec in backend.deployments()] == [champion.name]
