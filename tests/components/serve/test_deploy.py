"""The deploy stage over stand-in replicas."""

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from components.errors import DigestMismatch, NotReady
from components.oci.adapter_images import PushedImage
from components.serve import deploy
from components.serve.deploy import DeployConfig, deploy_candidate
from components.serve.local.backend import LocalBackend
from components.tracking.stage import Stage
from tests.components.serve.clients import ask
from tests.components.serve.conftest import stand_in

BackendOf = Callable[..., LocalBackend]


@pytest.fixture
def backend_of(state: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[BackendOf]:
    """Serve with stand-ins that are started with some flags."""

    def use(*flags: str) -> LocalBackend:
        backend = LocalBackend(stand_in(*flags))
        monkeypatch.setattr(deploy, "serving_backend", lambda target: backend)
        return backend

    yield use
    LocalBackend().shutdown()


@pytest.fixture
def image_file(image: PushedImage, tmp_path: Path) -> Path:
    path = tmp_path / "image.json"
    path.write_text(image.model_dump_json())
    return path


@pytest.fixture
def config(base: Path) -> DeployConfig:
    return DeployConfig(
        base_model=str(base),
        model_name="pet",
        serving_target="local",
        replicas=1,
        max_model_len=256,
        tool_call_parser="hermes",
        ready_timeout_s=60,
    )


def test_the_candidate_of_each_release_stands_beside_the_others(
    backend_of: BackendOf,
    config: DeployConfig,
    image_file: Path,
    image: PushedImage,
    stage: Stage,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    backend = backend_of()

    first = deploy_candidate(config, image_file, stage)
    facts, metrics = dict(stage.record.facts), dict(stage.record.metrics)
    monkeypatch.setenv("RELEASE_ID", "next-release")
    second = deploy_candidate(config, image_file, stage)

    assert (first.name, second.name) == ("pet-test-release", "pet-next-release")
    assert (first.image, first.adapter_digest) == (image.reference, image.adapter_digest)
    assert first.tool_call_parser == "hermes"
    assert first.lora_r == 6  # the largest of the adapter's ranks
    assert facts == {"deployment": first.name, "endpoint": backend.endpoint(first.name)}
    assert metrics["ready_s"] > 0
    for spec in (first, second):
        assert spec.name in ask(backend.endpoint(spec.name))


def test_a_candidate_that_does_not_come_up_is_taken_down(
    backend_of: BackendOf, config: DeployConfig, image_file: Path, stage: Stage, state: Path
) -> None:
    backend = backend_of("--die")

    with pytest.raises(NotReady, match="engine core failed to start"):
        deploy_candidate(config, image_file, stage)

    assert backend.deployments() == []
    assert list((state / "serve/deployments").iterdir()) == []


def test_an_image_of_another_adapter_is_refused(
    backend_of: BackendOf, config: DeployConfig, image: PushedImage, image_file: Path, stage: Stage
) -> None:
    backend = backend_of()
    other = image.model_copy(update={"adapter_digest": "sha256:" + "1" * 64})
    image_file.write_text(other.model_dump_json())

    with pytest.raises(DigestMismatch, match="sha256:1111"):
        deploy_candidate(config, image_file, stage)

    assert backend.deployments() == []
