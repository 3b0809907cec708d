from typing import Any

import pytest

from components.errors import DigestMismatch, NotReady, TunegateError
from components.release.rollback import roll_back
from components.tracking import model_registry, runs


@pytest.fixture
def second(backend, champion, deploy):
    """The champion of a second release; the first one's is retired."""
    spec = deploy("second", "b")
    client = runs.client()
    backend.promote(spec.name)
    model_registry.set_champion(
        client,
        "petstore",
        model_registry.version_of(client, "petstore", spec.image).version,
        spec.model_dump_json(),
        "local",
    )
    backend.retire(champion.name)
    backend.calls.clear()
    return spec


def versions() -> tuple[str, str]:
    client = runs.client()
    return model_registry.champion(client, "petstore").version, model_registry.previous(
        client, "petstore"
    ).version


def test_the_previous_champion_serves_again(backend, champion, second):
    said: list[str] = []
    done = roll_back("petstore", 60, said.append)
    assert backend.calls == [
        f"apply {champion.name}",
        f"wait_ready {champion.name}",
        f"promote {champion.name}",
        f"retire {second.name}",
    ]
    assert backend.champion("petstore") == champion
    assert versions() == ("1", "2")
    assert (done.from_version, done.to_version, done.endpoint) == ("2", "1", "http://127.0.0.1:8041")
    assert any(champion.image in line for line in said)
    assert said.count("1 of 2 replicas are ready") == 1
    assert "version 1 of petstore serves at http://127.0.0.1:8041/v1" in said[-1]


def test_a_second_roll_back_undoes_the_first(backend, champion, second):
    roll_back("petstore", 60, lambda line: None)
    roll_back("petstore", 60, lambda line: None)
    assert backend.champion("petstore") == second
    assert versions() == ("2", "1")


@pytest.mark.parametrize("step", ["apply", "wait_ready", "promote"])
def test_a_deployment_that_fails_leaves_the_champion(backend, champion, second, step: str):
    backend.fail[f"{step} {champion.name}"] = NotReady("a replica keeps dying")
    with pytest.raises(NotReady, match="keeps dying"):
        roll_back("petstore", 60, lambda line: None)
    assert backend.champion("petstore") == second
    assert list(backend.deployed) == [second.name]
    assert versions() == ("2", "1")


def test_an_alias_that_does_not_move_gives_the_traffic_back(backend, champion, second, monkeypatch):
    def refuse(*arguments: Any) -> None:
        raise TunegateError("the registry is down")

    monkeypatch.setattr(model_registry, "set_champion", refuse)
    with pytest.raises(TunegateError, match="the registry is down"):
        roll_back("petstore", 60, lambda line: None)
    assert backend.champion("petstore") == second
    assert list(backend.deployed) == [second.name]
    assert versions() == ("2", "1")


def test_after_everything_was_stopped_it_still_works(backend, champion, second):
    backend.deployed.clear()
    backend.live.clear()
    roll_back("petstore", 60, lambda line: None)
    assert backend.champion("petstore") == champion


def test_without_a_previous_champion_it_says_so(backend, champion):
    with pytest.raises(TunegateError, match="version 1 is its only champion so far"):
        roll_back("petstore", 60, lambda line: None)
    with pytest.raises(TunegateError, match="it has no champion"):
        roll_back("another", 60, lambda line: None)
    assert backend.calls == []


def test_a_spec_of_another_adapter_is_not_served(backend, champion, second):
    client = runs.client()
    client.set_model_version_tag(
        "petstore",
        "1",
        model_registry.SERVING_SPEC_TAG,
        second.model_copy(update={"name": "x"}).model_dump_json(),
    )
    with pytest.raises(DigestMismatch, match="is registered"):
        roll_back("petstore", 60, lambda line: None)
    assert backend.calls == []


def test_a_champion_that_was_never_served_by_a_release_is_refused(backend, champion, second):
    runs.client().delete_model_version_tag("petstore", "1", model_registry.SERVING_SPEC_TAG)
    with pytest.raises(TunegateError, match="does not say how it was served"):
        roll_back("petstore", 60, lambda line: None)
