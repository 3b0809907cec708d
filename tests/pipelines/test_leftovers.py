"""What a run that was killed has left is retired by the next one; what others run is not."""

from pathlib import Path

import pytest

from components.release import leftovers
from pipelines.local import retire_leftovers
from tests.components.serve.memory_backend import MemoryBackend
from tests.components.serve.specs import spec_of


@pytest.mark.parametrize(
    ("target", "retired"), [("local", ["pet-mine", "pet-theirs"]), ("kubernetes", ["pet-mine"])]
)
def test_on_a_cluster_only_what_is_ours_is_retired(
    target: str, retired: list[str], state: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for release in ("mine", "champion"):
        (state / "releases" / release).mkdir(parents=True)
    backend = MemoryBackend()
    for name in ("pet-mine", "pet-champion", "pet-theirs"):
        backend.apply(spec_of(name))
    backend.promote("pet-champion")
    monkeypatch.setattr(leftovers, "serving_backend", lambda target: backend)
    backend.calls.clear()

    retire_leftovers(target)

    assert backend.calls == [f"retire {name}" for name in retired]
