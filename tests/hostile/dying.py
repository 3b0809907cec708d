"""A model on a back end in memory, and a process that dies while it moves its traffic."""

import itertools
import os
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pytest

from components.checks import Verdict, at_least
from components.release.closing import close
from components.release.promotion import promote_candidate
from components.release.traffic import STEPS
from components.serve.lease import IntentKind
from components.serve.local.leases import LocalLease
from components.serve.spec import ServingSpec
from components.tracking import model_registry, runs
from components.tracking.stage import open_stage
from tests.components.release.candidates import deploy_candidate
from tests.components.serve.memory_backend import MemoryBackend

GOOD = at_least("goodput", 0.95, 0.9, "share", "most were fast")


class Killed(BaseException):
    """The end of a process, which nothing of it survives."""


class Death:
    """Kills at a step of a table, or at a call of the registry; what is dead moves nothing any more.

    Args:
        monkeypatch: Of the test.
    """

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self._patch, self.struck = monkeypatch, False

    def at(self, kind: IntentKind, step: str, when: str) -> None:
        def fatal(do: Callable[[Any], None]) -> Callable[[Any], None]:
            def run(move: Any) -> None:
                if when == "after":
                    do(move)
                self.strike()

            return run

        wrapped = [replace(s, do=fatal(s.do)) if s.name == step else s for s in STEPS[kind]]
        self._patch.setitem(STEPS, kind, tuple(wrapped))

    def at_call(self, client: Any, number: int) -> None:
        """Kill after so many changes of the registry."""
        names = ("set_model_version_tag", "set_registered_model_alias", "delete_registered_model_alias")
        self._at_call_of(client, names, number)

    def at_backend_call(self, backend: MemoryBackend, number: int) -> None:
        """Kill after so many calls that change the back end."""
        self._at_call_of(backend, ("promote", "retire", "withdraw"), number)

    def _at_call_of(self, called: Any, names: tuple[str, ...], number: int) -> None:
        done = itertools.count(1)

        def counted(real: Callable[..., None]) -> Callable[..., None]:
            def run(*arguments: Any) -> None:
                real(*arguments)
                if next(done) == number:
                    self.strike()

            return run

        for name in names:
            self._patch.setattr(called, name, counted(getattr(called, name)))

    def strike(self) -> None:
        self.struck = True

        def dead(lease: LocalLease) -> None:
            raise Killed

        self._patch.setattr(LocalLease, "require_held", dead)
        raise Killed

    def over(self) -> None:
        """Let whoever comes next live."""
        assert self.struck
        self.struck = False
        self._patch.undo()


@dataclass
class Model:
    """A model name of its own on a back end in memory."""

    name: str
    backend: MemoryBackend
    folder: Path

    def deploy(self, release: str, seed: str) -> ServingSpec:
        return deploy_candidate(self.backend, self.name, release, seed)

    def promote(self, release: str, spec: ServingSpec, stages: list[Any]) -> None:
        """Run the stage of a release; a process that is killed has not left it."""
        os.environ["RELEASE_ID"] = release
        verdict = Verdict(stage="service", checks=(GOOD,), adapter_digest=spec.adapter_digest)
        verdict.write(self.folder / "verdict.json")
        spec.write(self.folder / "deployment.json")
        stages.append(open_stage("promote", {}))
        running = stages[-1].__enter__()
        paths = [self.folder / "verdict.json"]
        promote_candidate("local", self.folder / "deployment.json", paths, spec.adapter_digest, running)
        stages[-1].__exit__(None, None, None)

    def champion(self, release: str, seed: str) -> ServingSpec:
        spec = self.deploy(release, seed)
        self.promote(release, spec, [])
        return spec

    def close(self, release: str) -> None:
        os.environ["RELEASE_ID"] = release
        close("local", self.name, self.folder / "card.html")

    def assert_settled(self, serving: ServingSpec | None) -> None:
        """Traffic and alias name the same, and nothing else is there."""
        registered = model_registry.champion(runs.client(), self.name)
        assert self.backend.champion(self.name) == serving
        assert (registered and registered.adapter_digest) == (serving and serving.adapter_digest)
        assert list(self.backend.deployed.values()) == ([serving] if serving else [])
        assert self.backend.unfinished(self.name) is None
