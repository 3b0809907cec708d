from pathlib import Path
from typing import Any

import pytest

from components.checks import Check, Verdict, at_least
from components.errors import DigestMismatch, TunegateError
from components.release.promotion import promote_candidate, refuse_candidate
from components.serve.spec import ServingSpec
from components.tracking import model_registry, runs
from components.tracking.stage import Stage

A = f"sha256:{'a' * 64}"
B = f"sha256:{'b' * 64}"
GOOD = at_least("goodput", 0.95, 0.9, "share", "most were fast")
BAD = at_least("goodput", 0.5, 0.9, "share", "half were slow")
UNSURE = Check(name="gain", value=0.1, limit=0.2, bound="min", unit="share", status="inconclusive", why="few")


def promote(stage: Stage, folder: Path, spec: ServingSpec, verdicts: list[Verdict], digest: str = A) -> None:
    spec.write(folder / "deployment.json")
    paths = []
    for place, verdict in enumerate(verdicts):
        verdict.write(folder / f"verdict-{place}.json")
        paths.append(folder / f"verdict-{place}.json")
    promote_candidate("local", folder / "deployment.json", paths, digest, stage)


def verdict(*checks: Check, stage: str = "service", digest: str = A) -> Verdict:
    return Verdict(stage=stage, checks=checks, adapter_digest=digest)


def aliases() -> tuple[str | None, str | None]:
    """Adapter digests of champion and previous."""
    client = runs.client()
    named = (model_registry.champion(client, "petstore"), model_registry.previous(client, "petstore"))
    return named[0] and named[0].adapter_digest, named[1] and named[1].adapter_digest


def test_traffic_then_alias_then_the_former_champion_is_retired(stage, tmp_path, backend, champion, deploy):
    spec = deploy()
    backend.calls.clear()
    promote(stage, tmp_path, spec, [verdict(GOOD, stage="quality"), verdict(GOOD)])
    assert backend.calls == [f"promote {spec.name}", f"retire {champion.name}"]
    assert backend.champion("petstore") == spec
    assert aliases() == (A, champion.adapter_digest)
    now = model_registry.champion(stage.client, "petstore")
    assert now is not None and ServingSpec.model_validate_json(now.serving_spec) == spec
    assert stage.record.facts == {
        "endpoint": "http://127.0.0.1:8041",
        "champion_version": "2",
        "previous_version": "1",
    }
    assert stage.record.metrics["switch_s"] >= 0


def test_the_first_promotion_has_no_previous_one(stage, tmp_path, backend, deploy):
    spec = deploy()
    promote(stage, tmp_path, spec, [verdict(GOOD)])
    assert backend.champion("petstore") == spec
    assert aliases() == (A, None)
    assert "previous_version" not in stage.record.facts


@pytest.mark.parametrize(
    ("verdicts", "evaluated", "error", "words"),
    [
        pytest.param(
            [verdict(BAD)], A, TunegateError, "service: goodput failed: half were slow", id="failed"
        ),
        pytest.param(
            [verdict(GOOD), verdict(UNSURE, stage="quality")],
            A,
            TunegateError,
            "quality: gain inconclusive: few",
            id="inconclusive",
        ),
        pytest.param([verdict()], A, TunegateError, "no checks were made", id="empty verdict"),
        pytest.param([], A, TunegateError, "no verdict", id="no verdict"),
        pytest.param([verdict(GOOD)], B, DigestMismatch, f"evaluated {B}", id="another one evaluated"),
        pytest.param(
            [verdict(GOOD, digest=B)], A, DigestMismatch, f"judged by service {B}", id="another one judged"
        ),
        pytest.param(
            [verdict(GOOD, digest="")],
            A,
            DigestMismatch,
            "judged by service unknown",
            id="judged without a digest",
        ),
    ],
)
def test_without_proof_nothing_changes(
    stage, tmp_path, backend, champion, deploy, verdicts: Any, evaluated: str, error: Any, words: str
):
    spec = deploy()
    backend.calls.clear()
    with pytest.raises(error, match=words):
        promote(stage, tmp_path, spec, verdicts, evaluated)
    assert backend.calls == []
    assert backend.champion("petstore") == champion
    assert aliases() == (champion.adapter_digest, None)


def test_an_image_that_is_not_registered_is_not_promoted(stage, tmp_path, backend, champion, deploy):
    spec = deploy().model_copy(update={"image": f"oci:/images@{B}"})
    with pytest.raises(TunegateError, match="is not registered"):
        promote(stage, tmp_path, spec, [verdict(GOOD)])
    assert backend.champion("petstore") == champion


@pytest.mark.parametrize("moved", [False, True], ids=["before the alias moved", "after the alias moved"])
@pytest.mark.parametrize(
    "error", [TunegateError("the registry is down"), KeyboardInterrupt()], ids=["error", "interrupted"]
)
def test_if_the_alias_fails_traffic_and_alias_go_back(
    stage, tmp_path, backend, champion, deploy, monkeypatch, moved: bool, error: BaseException
):
    spec, real = deploy(), model_registry.set_champion

    def set_champion(*arguments: Any) -> None:
        if moved:
            real(*arguments)
        raise error

    monkeypatch.setattr(model_registry, "set_champion", set_champion)
    backend.calls.clear()
    with pytest.raises(type(error)):
        promote(stage, tmp_path, spec, [verdict(GOOD)])
    assert backend.calls == [f"promote {spec.name}", f"promote {champion.name}"]
    assert backend.champion("petstore") == champion
    assert aliases() == (champion.adapter_digest, None)


def test_if_traffic_can_not_go_back_both_errors_are_said(
    stage, tmp_path, backend, champion, deploy, monkeypatch
):
    spec = deploy()
    backend.fail[f"promote {champion.name}"] = TunegateError("the router is gone")

    def set_champion(*arguments: Any) -> None:
        raise TunegateError("the registry is down")

    monkeypatch.setattr(model_registry, "set_champion", set_champion)
    with pytest.raises(TunegateError, match=r"the registry is down; .* the router is gone"):
        promote(stage, tmp_path, spec, [verdict(GOOD)])


def test_a_switch_that_fails_leaves_the_champion(stage, tmp_path, backend, champion, deploy):
    spec = deploy()
    backend.fail[f"promote {spec.name}"] = TunegateError("the router did not reload")
    with pytest.raises(TunegateError, match="did not reload"):
        promote(stage, tmp_path, spec, [verdict(GOOD)])
    assert backend.champion("petstore") == champion
    assert aliases() == (champion.adapter_digest, None)


def test_a_former_champion_that_can_not_be_retired_undoes_nothing(stage, tmp_path, backend, champion, deploy):
    spec = deploy()
    backend.fail[f"retire {champion.name}"] = TunegateError("a replica hangs")
    promote(stage, tmp_path, spec, [verdict(GOOD)])
    assert backend.champion("petstore") == spec
    assert champion.name in stage.record.facts["left_behind"]
    assert "a replica hangs" in stage.record.facts["left_behind"]


def test_a_refused_candidate_is_retired_and_the_champion_serves_on(
    stage, tmp_path, backend, champion, deploy, capsys
):
    spec = deploy()
    verdict(BAD, GOOD).write(tmp_path / "verdict.json")
    refuse_candidate("local", tmp_path / "verdict.json", stage)
    assert spec.name not in backend.deployed
    assert backend.champion("petstore") == champion
    assert stage.record.facts["reasons"] == "goodput failed: half were slow"
    assert stage.record.facts["retired"] == spec.name
    assert "[tunegate] test-stage refused: goodput failed: half were slow" in capsys.readouterr().out


def test_a_refusal_before_anything_is_deployed_only_says_why(stage, tmp_path, backend, champion):
    verdict(UNSURE, stage="quality").write(tmp_path / "verdict.json")
    refuse_candidate("local", tmp_path / "verdict.json", stage)
    assert backend.calls == []
    assert stage.record.facts == {"refused_by": "quality", "reasons": "gain inconclusive: few"}
