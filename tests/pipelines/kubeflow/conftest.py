"""A back end to talk to, and an environment that leads to it."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from pipelines.kubeflow import address, compile, schedule, submit
from pipelines.kubeflow.settings import CompileSettings
from tests.pipelines.kubeflow.back_end import BackEnd, running_back_end


@pytest.fixture(autouse=True)
def outside_of_any_cluster(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Make the tests the same in a pod."""
    monkeypatch.setattr(address, "ACCOUNT_FOLDER", tmp_path / "no-account")


@pytest.fixture(scope="session")
def packages() -> dict[bool, str]:
    """Both packages, compiled once a session."""
    return {cached: compile.package_text(CompileSettings(), cached) for cached in (False, True)}


@pytest.fixture
def back_end(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, packages: dict[bool, str]) -> Iterator[BackEnd]:
    """A back end that the environment leads to; the test fails if a request broke the contract."""
    for module in (submit, schedule):
        monkeypatch.setattr(
            module, "package_text", lambda settings, cache_dataset=False: packages[cache_dataset]
        )
    monkeypatch.setattr(address, "BACKOFF_S", 0)
    monkeypatch.setenv("TUNEGATE_HOME", str(tmp_path / "state"))
    monkeypatch.setenv("TUNEGATE_PRIVATE_DATASETS", '["127.0.0.0/8"]')  # the back end's rows
    with running_back_end() as running:
        monkeypatch.setenv("TUNEGATE_KUBEFLOW_HOST", running.host)
        yield running
    assert running.violations == []
