"""The components' own bodies, run in this process as KFP would run them."""

from pathlib import Path

import pytest
from kfp import dsl

from components import tracking
from components.checks import Verdict, at_least
from components.errors import DigestMismatch
from components.release.closing import outcome
from components.release.component import close_release, promote, refuse

DIGEST = f"sha256:{'a' * 64}"


def artifact(folder: Path, name: str, **metadata: str) -> dsl.Artifact:
    made = dsl.Artifact(uri=str(folder / name), metadata=metadata)
    made.path = str(folder / name)
    return made


def verdict(folder: Path, stage: str, value: float) -> dsl.Artifact:
    made = artifact(folder, stage)
    judged = Verdict(
        stage=stage, adapter_digest=DIGEST, checks=(at_least("gain", value, 0.5, "share", "it gained"),)
    )
    judged.write(Path(made.path))
    with tracking.stage(f"{stage}-gate", {}) as running:
        running.verdict(judged)
    return made


def close(folder: Path) -> str:
    card = artifact(folder, "card")
    close_release.python_func(serving_target="local", model_name="petstore", card=card)
    return Path(card.path).read_text()


def test_promote_and_close(state, tmp_path, backend, deploy):
    spec = deploy()
    spec.write(tmp_path / "deployment")
    promote.python_func(
        deployment=artifact(tmp_path, "deployment"),
        scores=artifact(tmp_path, "scores", adapter_digest=DIGEST),
        quality_verdict=verdict(tmp_path, "quality", 0.9),
        service_verdict=verdict(tmp_path, "service", 0.8),
        serving_target="local",
        page=artifact(tmp_path, "page"),
    )
    assert backend.champion("petstore") == spec
    assert "All 2 checks passed" in close(tmp_path)
    assert outcome("test-release") == "promoted"


def test_a_promotion_of_another_adapter_fails_and_the_candidate_is_retired(
    state, tmp_path, backend, champion, deploy
):
    spec = deploy()
    spec.write(tmp_path / "deployment")
    with pytest.raises(DigestMismatch):
        promote.python_func(
            deployment=artifact(tmp_path, "deployment"),
            scores=artifact(tmp_path, "scores", adapter_digest=f"sha256:{'b' * 64}"),
            quality_verdict=verdict(tmp_path, "quality", 0.9),
            service_verdict=verdict(tmp_path, "service", 0.8),
            serving_target="local",
            page=artifact(tmp_path, "page"),
        )
    card = close(tmp_path)
    assert "promote failed" in card and "not one adapter throughout" in card
    assert list(backend.deployed) == [champion.name]
    assert outcome("test-release") == "failed"


def test_refuse_and_close(state, tmp_path, backend, champion, deploy):
    deploy()
    refuse.python_func(
        verdict=verdict(tmp_path, "service", 0.1),
        serving_target="local",
        fail_on_reject=False,
        page=artifact(tmp_path, "page"),
    )
    assert "Refused at the service gate: of 1 check, 1 failed." in close(tmp_path)
    assert list(backend.deployed) == [champion.name]
    assert outcome("test-release") == "refused"
