"""The components' own bodies, run in this process as KFP would run them."""

from pathlib import Path

import pytest
from kfp import dsl

from components.checks import Verdict, at_least
from components.dataset.component import validate_dataset
from components.dataset.validate import DatasetConfig
from components.errors import DigestMismatch
from components.release.component import close_release, promote, refuse
from components.release.ending import outcome
from components.tracking import records, runs
from components.tracking.stage import open_stage

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
    with open_stage(f"{stage}-gate", {}) as running:
        running.verdict(judged)
    return made


def close(folder: Path) -> str:
    card = artifact(folder, "card")
    close_release.python_func(serving_target="local", model_name="petstore", card=card)
    return Path(card.path).read_text()


def test_credentials_in_the_address_of_a_dataset_are_not_recorded(
    state, tmp_path, backend, monkeypatch: pytest.MonkeyPatch
):
    read: list[DatasetConfig] = []

    def validate(config: DatasetConfig, *_: object) -> str:
        read.append(config)
        return "sha256:rows"

    monkeypatch.setattr("components.dataset.validate.validate", validate)
    defaults = {name: field.default for name, field in DatasetConfig.model_fields.items()}
    given = {
        "dataset": "https://me:hunter2@host/rows.jsonl?sig=s3cr3t",
        "eval_dataset": "https://host/eval.jsonl?sig=s3cr3t",
        "base_model": "org/name",
        "dataset_digest": "sha256:rows",
    }
    outputs = {
        name: artifact(tmp_path, name) for name in ("train_set", "eval_set", "train_tokens", "report", "page")
    }
    metrics = dsl.Metrics(uri=str(tmp_path / "metrics"), metadata={})
    validate_dataset.python_func(**{**defaults, **given}, **outputs, metrics=metrics)
    assert read[0].dataset == given["dataset"] and read[0].eval_dataset == given["eval_dataset"]
    client = runs.client()
    parent = runs.find_parent_run(client, "test-release")
    (recorded,) = records.recorded_stages(client, "test-release")
    params = client.get_run(outputs["train_set"].metadata[runs.RUN_KEY]).data.params
    assert parent and params["dataset"] == recorded.record.params["dataset"] == "https://host/rows.jsonl"
    assert params["eval_dataset"] == "https://host/eval.jsonl"
    card = close(tmp_path)
    assert "https://host/rows.jsonl" in card
    assert "hunter2" not in card and "s3cr3t" not in card


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
