"""What a run that was killed has left is retired by the next one; what others run is not."""

from pathlib import Path
from typing import ClassVar

import pytest

from components.serve.spec import ServingSpec
from pipelines import local
from pipelines.local import retire_leftovers
from tests.components.serve.specs import spec_of


class Standing:
    """A back end on which something stands."""

    retired: ClassVar[list[str]] = []

    def deployments(self) -> list[ServingSpec]:
        return [spec_of("pet-mine"), spec_of("pet-champion"), spec_of("pet-theirs")]

    def champion(self, model_name: str) -> ServingSpec:
        return spec_of("pet-champion")

    def retire(self, name: str) -> None:
        self.retired.append(name)


@pytest.mark.parametrize(
    ("target", "retired"), [("local", ["pet-mine", "pet-theirs"]), ("kubernetes", ["pet-mine"])]
)
def test_on_a_cluster_only_what_is_ours_is_retired(
    target: str, retired: list[str], state: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for release in ("mine", "champion"):
        (state / "releases" / release).mkdir(parents=True)
    monkeypatch.setattr(local, "serving_backend", lambda target: Standing())
    Standing.retired.clear()

    retire_leftovers(target)

    assert Standing.retired == retired
