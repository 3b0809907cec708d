"""Each image has the packages that its stages import, wherever below them they are imported."""

import ast
import re
import sys
from collections.abc import Iterator
from importlib.metadata import packages_distributions
from pathlib import Path

import pytest

from pipelines.kubeflow.pods import TRAIN_STAGES

# Imported on one machine alone: its supervisor, and what makes weights of a packaged base model.
NOT_ON_A_CLUSTER = {"control": {"gguf", "supervisor", "torch"}, "train": set[str]()}


def imports(path: Path) -> Iterator[str]:
    """Yield every module that a file imports, but for types alone."""
    tree = ast.parse(path.read_text(encoding="utf-8"))
    for_types = {
        id(inner)
        for node in ast.walk(tree)
        if isinstance(node, ast.If) and "TYPE_CHECKING" in ast.dump(node.test)
        for child in node.body
        for inner in ast.walk(child)
    }
    for node in ast.walk(tree):
        if id(node) in for_types:
            continue
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module:
            yield from (node.module, *(f"{node.module}.{alias.name}" for alias in node.names))


def packages_below(shell: Path) -> set[str]:
    """Return the packages that a shell imports, or anything of ours that it leads to."""
    seen, waiting, found = set[Path](), [shell], set[str]()
    while waiting:
        path = waiting.pop()
        if path in seen:
            continue
        seen.add(path)
        for name in imports(path):
            top = name.partition(".")[0]
            if top in ("components", "pipelines"):
                place = Path(*name.split("."))
                waiting += filter(Path.is_file, (place.with_suffix(".py"), place / "__init__.py"))
            elif top not in sys.stdlib_module_names:
                found.add(top)
    return found


def canonical(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name).lower()


def stages(shell: Path) -> set[str]:
    return {node.name for node in ast.parse(shell.read_text()).body if isinstance(node, ast.FunctionDef)}


SHELLS = sorted(Path("components").glob("*/component.py"))
PLACES = [
    (image, shell)
    for shell in SHELLS
    for image in ("train", "control")
    if any((stage in TRAIN_STAGES) == (image == "train") for stage in stages(shell))
    # The gate stands in evaluate's room, and asks no model.
    if (image, shell.parent.name) != ("control", "evaluate")
]


@pytest.mark.parametrize(
    ("image", "shell"), PLACES, ids=[f"{shell.parent.name} in {image}" for image, shell in PLACES]
)
def test_an_image_pins_what_its_stages_import(image: str, shell: Path):
    distributions = packages_distributions()
    for pins in Path("containers", image).glob("requirements*.txt"):
        pinned = {
            canonical(line.partition("==")[0]) for line in pins.read_text().splitlines() if "==" in line
        }
        missing = {
            package
            for package in packages_below(shell) - NOT_ON_A_CLUSTER[image]
            if pinned.isdisjoint(map(canonical, [package, *distributions.get(package, ())]))
        }
        assert not missing, pins


def test_every_shell_is_looked_at():
    assert {shell for _, shell in PLACES} == set(SHELLS) and len(SHELLS) == 7
