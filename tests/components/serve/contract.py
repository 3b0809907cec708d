"""What every back end does alike; a module of tests that has `backend` and `make_spec` imports these."""

from collections.abc import Callable

import pytest

from components.errors import InvalidInput, NotReady, TunegateError
from components.serve.backend import Backend
from components.serve.lease import Intent, LeaseTaken
from components.serve.spec import ServingSpec
from tests.components.serve.clients import Asked, ask, continuous_requests

READY_S = 120
MakeSpec = Callable[..., ServingSpec]


@pytest.fixture(scope="module", name="champion")
def promoted(backend: Backend, make_spec: MakeSpec) -> ServingSpec:
    """A deployment that takes the live traffic."""
    spec = make_spec("pet-old")
    backend.apply(spec)
    backend.wait_ready(spec.name, READY_S)
    backend.promote(spec.name)
    return spec


def test_a_champion_answers_at_both_endpoints(backend: Backend, champion: ServingSpec) -> None:
    assert backend.champion("pet") == champion
    assert champion in backend.deployments()
    assert [replica.state for replica in backend.replicas(champion.name)] == ["ready", "ready"]
    for url in (backend.endpoint(champion.name), backend.live_endpoint("pet")):
        assert "pet-old" in ask(url)


def test_another_spec_under_the_same_name_is_refused(
    backend: Backend, champion: ServingSpec, make_spec: MakeSpec
) -> None:
    with pytest.raises(TunegateError, match="another spec; retire it first"):
        backend.apply(make_spec(champion.name, replicas=1))


def test_the_champion_is_not_retired(backend: Backend, champion: ServingSpec) -> None:
    with pytest.raises(TunegateError, match="takes the live traffic of pet; promote another one first"):
        backend.retire(champion.name)

    assert "pet-old" in ask(backend.live_endpoint("pet"))


@pytest.mark.parametrize("replicas", [-1, 3])
def test_a_number_of_replicas_that_is_not_laid_out_is_refused(
    backend: Backend, champion: ServingSpec, replicas: int
) -> None:
    with pytest.raises(InvalidInput, match=f"got {replicas}, wanted 0 to 2"):
        backend.scale(champion.name, replicas)


def test_an_unknown_deployment_is_named(backend: Backend, champion: ServingSpec) -> None:
    with pytest.raises(TunegateError, match=r"'pet-unknown': there is no such one; deployed here: .*pet-old"):
        backend.endpoint("pet-unknown")


def test_one_at_a_time_moves_the_traffic_of_a_model(backend: Backend) -> None:
    with backend.lease("leased", "release r1 (here)", print) as lease:
        lease.require_held()
        with (
            pytest.raises(LeaseTaken, match=r"is being moved by release r1 \(here\) since 20"),
            backend.lease("leased", "release r2", print, wait_s=0),
        ):
            pass
        with backend.lease("another", "release r2", print, wait_s=0):
            pass
        lease.require_held()
    with backend.lease("leased", "release r2", print, wait_s=0):
        pass


def test_what_is_intended_outlives_whoever_intends_it(backend: Backend, make_spec: MakeSpec) -> None:
    spec = make_spec("leased-r1", model_name="leased")
    intent = Intent(
        kind="promotion", model_name="leased", by="r1", began_at=1.5, to_deployment=spec.name, to_spec=spec
    )
    assert backend.unfinished("leased") is None
    with backend.lease("leased", "release r1", print) as lease:
        lease.intend(intent)
        going_on = backend.unfinished("leased")
    left = backend.unfinished("leased")
    with backend.lease("leased", "release r2", print) as lease:
        assert lease.intent() == intent
        lease.intend(None)

    assert going_on and going_on.holder.startswith("release r1 since 20")
    assert left and (left.intent, left.holder) == (intent, "")
    assert backend.unfinished("leased") is None


def switch_and_switch_back(backend: Backend, slow: Backend, champion: ServingSpec, new: ServingSpec) -> Asked:
    """Promote and retire a deployment of slow replicas while clients ask; return what they got."""
    live = backend.live_endpoint("pet")
    slow.apply(new)
    slow.wait_ready(new.name, READY_S)
    with continuous_requests(live, (champion.name, new.name)) as asked:
        asked.wait_for(champion.name, 10)
        backend.promote(new.name)
        asked.wait_for(new.name, 10)
        assert backend.champion("pet") == new
        backend.promote(champion.name)
        backend.retire(new.name)  # while it still works on streams
        asked.wait_for(champion.name, 10)

    assert asked.failures == []
    assert backend.live_endpoint("pet") == live
    return asked


def refuse_while_stopped(backend: Backend, name: str) -> None:
    """Hold what a deployment says that is stopped, then start one of its two replicas."""
    with pytest.raises(NotReady, match="is stopped; scale it up first"):
        backend.wait_ready(name, READY_S)
    with pytest.raises(TunegateError, match="no replica is ready"):
        backend.kill_replica(name)

    backend.scale(name, 1)
    backend.wait_ready(name, READY_S)
    assert [replica.state for replica in backend.replicas(name)] == ["ready", "stopped"]
