import re
import shutil
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

LOCAL = Path("containers/local")


def canonical(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name).lower()


def pins(kind: str) -> dict[str, str]:
    lines = (LOCAL / f"requirements-{kind}.txt").read_text().splitlines()
    split = [re.fullmatch(r"([A-Za-z0-9._-]+)==([^ ;@]+)( ;.*)?", line) for line in lines]
    assert all(split), [line for line, found in zip(lines, split, strict=True) if not found]
    return {canonical(found[1]): found[2] for found in split if found}


@pytest.mark.parametrize("kind", ["cpu", "gpu"])
def test_every_direct_dependency_is_pinned_as_it_is_asked_for(kind: str):
    project = tomllib.loads(Path("pyproject.toml").read_text())["project"]
    extras = project["optional-dependencies"]
    pinned = pins(kind)
    for asked in [*project["dependencies"], *extras[kind], *extras["dev"]]:
        name, version = re.fullmatch(r"([A-Za-z0-9._-]+)(?:\[[^]]*])?(?:==(.+)|>=.+)?", asked).groups()
        assert canonical(name) in pinned, f"{name}: run make lock"
        assert version in (None, pinned[canonical(name)]), f"{asked}: run make lock"


def test_torch_has_no_local_build_label():
    # The package index has no such build: a machine without the file could not install it.
    assert {pins(kind)["torch"] for kind in ("cpu", "gpu")} == {"2.13.0"}
    assert not [name for name in pins("cpu") if name.startswith("nvidia-")]


@pytest.mark.parametrize("image", ["serve", "train"])
def test_the_base_of_gpu_images_has_the_cuda_of_their_wheels(image: str):
    folder = Path("containers") / image
    base = re.search(r"^ARG BASE_IMAGE=\S+/cuda:([0-9.]+)-base-", (folder / "Dockerfile").read_text(), re.M)
    wheels = re.search(r"^cuda-toolkit==([0-9.]+)$", (folder / "requirements-gpu.txt").read_text(), re.M)
    assert base is not None and wheels is not None
    assert wheels[1].startswith(base[1] + "."), "name the base of that version in both Dockerfiles"


def test_images_are_installed_with_the_uv_of_the_set_up():
    (wanted,) = re.findall(r'^UV = "(uv==[0-9.]+)"$', (LOCAL / "install.py").read_text(), re.M)
    for image in ("control", "mlflow", "serve", "train"):
        text = Path("containers", image, "Dockerfile").read_text()
        assert re.findall(r"uv==[0-9.]+", text) == [wanted], image


def test_serve_and_train_begin_with_the_same_layers():
    def shared_lines(image: str) -> str:
        """Return what both do, from the first instruction down to the base models' weights."""
        text = Path("containers", image, "Dockerfile").read_text()
        return re.search(r"^ARG BASE_IMAGE=.*?^ENV TUNEGATE_MODELS=.*?\n\n", text, re.M | re.S)[0]

    assert shared_lines("serve") == shared_lines("train")


@pytest.mark.parametrize("image", ["serve", "train"])
def test_what_makes_the_weights_of_an_image_has_all_that_it_imports(image: str, tmp_path: Path):
    text = Path("containers", image, "Dockerfile").read_text().replace("\\\n", "")
    for line in re.findall(r"^COPY (.* /tmp/weights/\S+)$", text, re.M):
        *sources, target = line.split()
        into = tmp_path / Path(target).relative_to("/tmp/weights")
        for source in map(Path, sources):
            if source.is_dir():
                shutil.copytree(source, into)
            else:
                into.mkdir(parents=True, exist_ok=True)
                shutil.copy(source, into)
    (ran,) = re.findall(r'python -c \s*"(from components\.models import [^;]*);', text)
    environment = {"PYTHONPATH": str(tmp_path), "PATH": ""}
    subprocess.run([sys.executable, "-c", ran], env=environment, cwd=tmp_path, check=True)
