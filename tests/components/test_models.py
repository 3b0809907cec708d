import shutil
from pathlib import Path

import pytest

from components.errors import InvalidInput
from components.models import IMAGE_PACKAGES, check_base_model, is_in_images, prepare_base_model


@pytest.mark.parametrize(
    ("reference", "words"),
    [
        pytest.param(
            "pypi:no-such-package", ["'no-such-package' is not installed", "pip install"], id="package"
        ),
        pytest.param("pypi:pytest", ["holds no .gguf file"], id="a package without a model"),
        pytest.param("./nowhere", ["is no model that is here", "hub id"], id="a path that is not there"),
        pytest.param("gpt", ["is no model that is here"], id="neither a path nor a hub id"),
        pytest.param("nobody/nothing", ["is not on this machine", "the hub did not give it"], id="hub id"),
    ],
)
def test_a_model_that_is_not_there(
    state: Path, monkeypatch: pytest.MonkeyPatch, reference: str, words: list[str]
):
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    for ask in (check_base_model, prepare_base_model):
        with pytest.raises(InvalidInput) as refused:
            ask(reference)
        assert all(word in str(refused.value) for word in [reference, *words])


def test_an_incomplete_directory_names_everything_it_lacks(state: Path, tmp_path: Path):
    (tmp_path / "model").mkdir()
    with pytest.raises(InvalidInput) as refused:
        check_base_model(str(tmp_path / "model"))
    assert len(refused.value.problems) == 3


def test_a_directory_is_known_by_its_content(state: Path, tmp_path: Path, tiny_model: Path):
    check_base_model(str(tiny_model))
    first = prepare_base_model(str(tiny_model))
    assert (first.path, first.name) == (tiny_model, str(tiny_model))
    assert prepare_base_model(str(tiny_model)).revision == first.revision
    other = tmp_path / "other"
    other.mkdir()
    for file in tiny_model.iterdir():
        (other / file.name).write_bytes(file.read_bytes())
    assert prepare_base_model(str(other)).revision == first.revision
    (other / "config.json").write_text((other / "config.json").read_text() + " ")
    assert prepare_base_model(str(other)).revision != first.revision


def test_a_package_whose_weights_are_there_is_taken_as_it_is(
    state: Path, tmp_path: Path, tiny_model: Path, monkeypatch: pytest.MonkeyPatch
):
    package, models = tmp_path / "a_package", tmp_path / "models"
    package.mkdir()
    (package / "__init__.py").touch()
    (package / "tiny.gguf").write_bytes(b"is not even opened")
    shutil.copytree(tiny_model, models / "tiny")
    monkeypatch.syspath_prepend(str(tmp_path))
    monkeypatch.setenv("TUNEGATE_MODELS", str(models))
    found = prepare_base_model("pypi:a-package")
    assert (found.name, found.path) == ("pypi:a-package", models / "tiny")
    assert [path.name for path in models.iterdir()] == ["tiny"]  # in an image nothing can be written there


@pytest.mark.parametrize("image", ["train", "serve"])
def test_our_images_have_the_packages_that_pods_are_said_to_have(image: str):
    wanted = Path("containers", image, "requirements.in").read_text().splitlines()
    assert {name.removeprefix("pypi:") for name in IMAGE_PACKAGES} <= set(wanted)
    assert all(map(is_in_images, IMAGE_PACKAGES))
