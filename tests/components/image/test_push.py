import json
from pathlib import Path

import pytest

from components.errors import DigestMismatch, InvalidInput
from components.image import push as push_module
from components.image.push import ImageConfig, push
from components.oci.adapter_images import PushedImage, pull_adapter
from components.oci.adapters import ADAPTER_FILES, adapter_digest
from components.tracking import model_registry
from components.tracking.stage import Stage


@pytest.fixture
def adapter(tmp_path: Path) -> Path:
    folder = tmp_path / "adapter"
    folder.mkdir()
    for name in ADAPTER_FILES:
        (folder / name).write_bytes(name.encode() * 100)
    return folder


@pytest.fixture
def config(adapter: Path, tiny_model: Path, state: Path) -> ImageConfig:
    return ImageConfig(
        base_model=str(tiny_model),
        base_revision="sha256:base",
        model_name="tuned",
        image_repository="",
        evaluated_digest=adapter_digest(adapter),
        dataset_fingerprint="sha256:data",
        evaluation_run="run-7",
    )


def leftovers(state: Path) -> list[str]:
    return [path.name for path in state.glob(".*")]


def test_the_evaluated_adapter_is_pushed_read_back_and_registered(
    config: ImageConfig, adapter: Path, state: Path, stage: Stage, capsys: pytest.CaptureFixture[str]
) -> None:
    pushed = push(config, adapter, stage)

    pull_adapter(pushed.reference, config.evaluated_digest, state / "out")
    found = model_registry.version_of(stage.client, "tuned", pushed.reference)
    assert found is not None
    assert (found.image, found.adapter_digest) == (pushed.reference, config.evaluated_digest)
    assert (found.base_model, found.run_id) == (config.base_model, stage.run_id)
    assert stage.client.get_model_version_by_alias("tuned", "candidate").version == 1
    assert stage.record.facts == {
        "image": pushed.reference,
        "image_digest": pushed.manifest_digest,
        "adapter_digest": config.evaluated_digest,
        "model_version": "1",
    }
    assert stage.record.metrics == {"image_bytes": pushed.size_bytes}
    said = capsys.readouterr().out
    assert f"read back and verified: {pushed.manifest_digest}" in said
    assert "registered as tuned version 1, candidate" in said
    assert leftovers(state) == []


def test_the_image_says_where_it_comes_from(
    config: ImageConfig, adapter: Path, state: Path, stage: Stage, tiny_model: Path
) -> None:
    digest = push(config, adapter, stage).manifest_digest.removeprefix("sha256:")
    manifest = json.loads((state / "images" / "blobs" / "sha256" / digest).read_bytes())
    assert manifest["annotations"] == {
        "org.opencontainers.image.title": "tuned",
        "org.opencontainers.image.description": f"LoRA adapter of {tiny_model}",
        "sh.kaito.model.name": str(tiny_model),
        "ai.tunegate.base-model": str(tiny_model),
        "ai.tunegate.base-model-revision": "sha256:base",
        "ai.tunegate.dataset-fingerprint": "sha256:data",
        "ai.tunegate.evaluation-run": "run-7",
        "ai.tunegate.adapter-digest": config.evaluated_digest,
    }


def test_pushing_again_changes_nothing(config: ImageConfig, adapter: Path, stage: Stage) -> None:
    assert push(config, adapter, stage) == push(config, adapter, stage)
    assert len(stage.client.search_model_versions("name = 'tuned'")) == 1


def test_an_adapter_that_was_not_evaluated_is_not_pushed(
    config: ImageConfig, adapter: Path, state: Path, stage: Stage
) -> None:
    (adapter / ADAPTER_FILES[1]).write_bytes(b"retrained since")
    with pytest.raises(
        DigestMismatch, match=f"but {config.evaluated_digest} was evaluated; nothing was pushed"
    ):
        push(config, adapter, stage)
    assert not (state / "images").exists()
    assert model_registry.version_of(stage.client, "tuned", f"x@{config.evaluated_digest}") is None


def test_an_image_that_does_not_come_back_whole_is_not_registered(
    config: ImageConfig,
    adapter: Path,
    state: Path,
    stage: Stage,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    honest = push_module.push_adapter

    def careless(*arguments: object) -> PushedImage:
        pushed = honest(*arguments)  # type: ignore[arg-type]
        for blob in (state / "images" / "blobs" / "sha256").iterdir():
            blob.write_bytes(blob.read_bytes()[:-1])
        return pushed

    monkeypatch.setattr(push_module, "push_adapter", careless)
    with pytest.raises(DigestMismatch, match=r"its manifest: got .* the image is damaged"):
        push(config, adapter, stage)
    assert stage.client.search_registered_models() == []
    assert leftovers(state) == []


def test_a_name_that_is_no_repository_is_refused(config: ImageConfig, adapter: Path, stage: Stage) -> None:
    with pytest.raises(InvalidInput, match=r"image repository 'adapters'(?s:.*)wanted host\[:port\]/name"):
        push(config.model_copy(update={"image_repository": "adapters"}), adapter, stage)
