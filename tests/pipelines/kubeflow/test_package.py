"""The package that is uploaded, loaded and run by kfp.local: what is uploaded is what was tested."""

from pathlib import Path
from typing import ClassVar

import pytest

from tests.pipelines.test_release import TO_THE_FIRST_GATE, TO_THE_SECOND_GATE, Graph


class Package(Graph):
    starts: ClassVar[list[str]] = ["-m", "tests.pipelines.kubeflow.run_package"]


@pytest.fixture
def package(tmp_path: Path) -> Package:
    return Package(tmp_path)


@pytest.mark.parametrize(
    ("quality", "service", "stages"),
    [
        pytest.param("passed", "passed", [*TO_THE_SECOND_GATE, "promote", "promoted"], id="promoted"),
        pytest.param("passed", "failed", [*TO_THE_SECOND_GATE, "refuse", "refused"], id="service refused"),
    ],
)
def test_branches(package: Package, quality: str, service: str, stages: list[str]):
    ran = package.run(quality, service, image_repository="registry/name")
    assert ran == [*stages, "closed"], package.ended.stdout + package.ended.stderr
    assert package.ended.returncode == 0, package.ended.stderr


def test_nothing_is_trained_where_the_champion_has_seen_the_same(package: Package):
    ran = package.run(champion="unchanged", image_repository="registry/name")
    assert ran == ["dataset", "champion", "closed"], package.ended.stdout + package.ended.stderr


def test_a_refused_release_goes_red_where_that_is_asked_for(package: Package):
    stages = package.run(quality="failed", fail_on_reject=True, image_repository="registry/name")
    assert stages == [*TO_THE_FIRST_GATE, "refuse", "refused", "closed"]
    assert package.ended.returncode != 0
