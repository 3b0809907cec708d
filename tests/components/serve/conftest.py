"""A local back end over stand-in replicas, and an adapter image to serve."""

import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from components.engine.config import EngineConfig
from components.oci.adapter_images import PushedImage, push_adapter
from components.serve.local.backend import LocalBackend
from components.serve.local.deployments import ServerCommand
from components.serve.spec import ServingSpec
from tests.components.serve.specs import spec_of

REPLICA_SERVER = Path(__file__).with_name("replica_server.py")


def stand_in(*flags: str) -> ServerCommand:
    """Return what starts the stand-in; it answers with the name of its deployment."""

    def command(config: EngineConfig, host: str, port: int) -> list[str]:
        deployment = config.adapter_path.parent.name
        options = ["--base", "base", "--adapter", config.model_name, "--answer", deployment, *flags]
        return [sys.executable, str(REPLICA_SERVER), "--port", str(port), *options]

    return command


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A state directory that the tests of a module share."""
    home = tmp_path_factory.mktemp("home")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("TUNEGATE_HOME", str(home))
        patch.setenv("RELEASE_ID", "r1")
        yield home


@pytest.fixture(scope="module")
def base(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A directory that looks like a model; the stand-in doesn't load it."""
    path = tmp_path_factory.mktemp("base")
    for name in ("tokenizer_config.json", "model.safetensors"):
        (path / name).write_text("{}")
    (path / "config.json").write_text('{"model_type": "llama"}')
    return path


@pytest.fixture(scope="module")
def image(home: Path, tmp_path_factory: pytest.TempPathFactory) -> PushedImage:
    """An adapter image in the state directory's layout."""
    adapter = tmp_path_factory.mktemp("adapter")
    (adapter / "adapter_config.json").write_text('{"r": 4, "rank_pattern": {"q_proj": 6}}')
    (adapter / "adapter_model.safetensors").write_bytes(b"weights")
    return push_adapter(adapter, "", {}, "pet")


@pytest.fixture(scope="module")
def make_spec(base: Path, image: PushedImage) -> Callable[..., ServingSpec]:
    """Make a spec of the image under a name."""

    def make(name: str, **changes: object) -> ServingSpec:
        values = {
            "base_model": str(base),
            "image": image.reference,
            "adapter_digest": image.adapter_digest,
            "lora_r": 4,
            "max_model_len": 256,
        }
        return spec_of(name, **(values | changes))

    return make


@pytest.fixture(scope="module")
def backend(home: Path) -> Iterator[LocalBackend]:
    """The back end of the module's state directory; everything it started is ended."""
    backend = LocalBackend(stand_in())
    yield backend
    backend.shutdown()
