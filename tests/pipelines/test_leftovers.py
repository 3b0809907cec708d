"""What a run that was killed has left is retired by the next one; what others run is not."""

from pathlib import Path
from typing import ClassVar

import pytest

from components.serve.spec import ServingSpec
from pipelines import local
from pipelines.local import retire_leftovers


def spec(name: str) -> ServingSpec:
    return ServingSpec(
        name=name,
        model_name="pet",
        base_model="base",
        image="reg/pet@sha256:" + "0" * 64,
        adapter_digest="sha256:" + "0" * 64,
        lora_r=4,
        replicas=1,
        max_model_len=64,
    )


class Standing:
    """A back end on which something stands."""

    retired: ClassVar[list[str]] = []

    def deployments(self) -> list[ServingSpec]:
        return [spec("pet-mine"), spec("pet-champion"), spec("pet-theirs")]

    def champion(self, model_name: str) -> ServingSpec:
        return spec("pet-champion")

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
