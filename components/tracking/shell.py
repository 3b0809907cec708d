"""What every component shell does around the one function that it calls."""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Self

from pydantic import BaseModel, ConfigDict

from components.tracking.metrics import log_metrics
from components.tracking.page import write_page
from components.tracking.records import Scalar
from components.tracking.runs import RUN_KEY
from components.tracking.stage import Stage, open_stage


class StageConfig(BaseModel):
    """The knobs of one stage; those of a release have the names of its parameters."""

    model_config = ConfigDict(frozen=True, extra="forbid", protected_namespaces=())

    @classmethod
    def of(cls, arguments: Mapping[str, Any], **others: Scalar) -> Self:
        """Take the knobs out of a component's arguments, each by its name.

        Args:
            arguments: `locals()` of the component.
            others: Knobs that are no parameters of the release.
        """
        return cls(**{name: arguments[name] for name in cls.model_fields if name in arguments}, **others)

    def recorded(self) -> dict[str, Scalar]:
        """Return the knobs as they are recorded; whoever has secrets among them leaves those out."""
        return self.model_dump()


@contextmanager
def run_stage(
    name: str,
    config: StageConfig,
    page: Any,
    *,
    reads: Sequence[Any] = (),
    makes: Sequence[Any] = (),
    metrics: Sequence[Any] = (),
) -> Iterator[Stage]:
    """Run one stage of the release; when it has finished, its KFP artifacts say so.

    Args:
        name: The stage's name in the graph.
        config: Its knobs.
        page: KFP's `Markdown` output: the stage's page.
        reads: Artifacts that it reads; stages that the cache skipped are noted from them.
        makes: Artifacts that it makes; each learns the MLflow run that made it.
        metrics: KFP's `Metrics` output, and others that KFP keeps as metadata alone.
    """
    with open_stage(name, config.recorded(), upstream=[artifact.metadata for artifact in reads]) as stage:
        yield stage
    write_page(stage, Path(page.path))
    for artifact in makes:
        artifact.metadata[RUN_KEY] = stage.run_id
    log_metrics(stage.record, metrics)
