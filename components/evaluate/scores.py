"""What the evaluation hands to the quality gate: every answer of both models with its scores."""

from pathlib import Path
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field

from components.conversations import Message
from components.storage import atomic_write

Share = Annotated[float, Field(ge=0, le=1)]
ModelKind = Literal["base", "tuned", "champion"]


class ScoredExample(BaseModel):
    """One prompt, what was asked for, and what both models made of it.

    Attributes:
        prompt: The turns before the answer.
        reference: The answer that was asked for.
        base_answer: What the base model said.
        tuned_answer: What the fine-tuned model said.
        base: The base model's scores by metric.
        tuned: The fine-tuned model's scores by metric.
        champion_answer: What the present champion said, where it was asked.
        champion: Its scores by metric.
    """

    model_config = ConfigDict(frozen=True)

    prompt: tuple[Message, ...]
    reference: str
    base_answer: str
    tuned_answer: str
    base: dict[str, Share]
    tuned: dict[str, Share]
    champion_answer: str = ""
    champion: dict[str, Share] = Field(default_factory=dict)

    def gain(self, metric: str) -> float:
        """By how much the fine-tuned model scores higher."""
        return self.tuned[metric] - self.base[metric]


class Scores(BaseModel):
    """One evaluation.

    Attributes:
        adapter_digest: The adapter that was evaluated.
        base_model: Name of the base model.
        base_revision: Its revision.
        examples: The held-out rows, in the order of the eval set.
        guard: The guard set's items.
        guard_base: Share of the guard set that the base model answers.
        guard_tuned: Share of it that the fine-tuned model answers.
        champion_version: The champion that answered the held-out rows too; empty where none did.
    """

    model_config = ConfigDict(frozen=True)

    adapter_digest: str
    base_model: str
    base_revision: str
    examples: tuple[ScoredExample, ...] = Field(min_length=1)
    guard: tuple[ScoredExample, ...] = Field(min_length=1)
    guard_base: Share
    guard_tuned: Share
    champion_version: str = ""

    @property
    def metrics(self) -> list[str]:
        """The metrics that every held-out row was scored with."""
        return list(self.examples[0].base)

    def values(self, metric: str, model: ModelKind) -> list[float]:
        """One model's value of each held-out row, in order."""
        return [getattr(example, model)[metric] for example in self.examples]

    def mean(self, metric: str, model: ModelKind) -> float:
        """One model's mean over the held-out rows."""
        return sum(self.values(metric, model)) / len(self.examples)

    def gains(self, metric: str) -> list[float]:
        """By how much the fine-tuned model scores higher, row by row."""
        return [example.gain(metric) for example in self.examples]

    def gains_over_champion(self, metric: str) -> list[float]:
        """By how much the fine-tuned model scores higher than the champion, row by row."""
        return [example.tuned[metric] - example.champion[metric] for example in self.examples]

    def write(self, path: Path) -> None:
        """Write the scores as JSON."""
        with atomic_write(path) as file:
            file.write(self.model_dump_json(indent=1).encode())

    @classmethod
    def read(cls, path: Path) -> "Scores":
        """Read scores that `write` wrote."""
        return cls.model_validate_json(path.read_text(encoding="utf-8"))
