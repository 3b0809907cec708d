"""A trial: the release as far as its quality gate, from the same stages; it serves and promotes nothing."""

from typing import Any

from kfp import dsl

from components.dataset.component import validate_dataset
from components.finetune.component import finetune
from components.release.component import UNCHANGED, find_champion
from pipelines.graph import cached, fresh, release_pipeline
from pipelines.params import ReleaseParams
from pipelines.release import measure

# Everything else has to be the same for all trials of a sweep: held-out rows, metric, margin.
VARIED = frozenset(finetune.component_spec.inputs) & frozenset(ReleaseParams.model_fields)


def wire(p: Any) -> None:
    """Dataset to quality gate, wired as in the release, so that a release finds these stages in the cache."""
    data = cached(validate_dataset, p).outputs
    champion = fresh(find_champion, p, train_set=data["train_set"]).outputs["Output"]
    with dsl.If(champion != UNCHANGED, name="something-new"):
        measure(p, data, champion)


trial = release_pipeline(wire, ReleaseParams, name="tunegate-trial")
