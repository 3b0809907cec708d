"""Which rows are computed together, in which order, and what a batch looks like to the model."""

import math
import random
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from components.finetune.config import FinetuneConfig
from components.templates.example import Example

if TYPE_CHECKING:
    from torch import Tensor

# Few: rows of one length tend to be of one kind, and steps that see one kind at a time learn worse.
BUCKET_BATCHES = 4

Step = tuple[tuple[int, ...], ...]  # the batches of one step of the optimizer, each the indices of its rows


def plan_steps(lengths: Sequence[int], config: FinetuneConfig) -> list[Step]:
    """Lay out the whole run: every step, its batches, their rows.

    Rows are shuffled anew in each epoch, then sorted by length within buckets of `BUCKET_BATCHES`
    batches, so that a batch is little padded; the batches are shuffled again. The plan follows from
    the seed alone, so a run that resumes continues it.

    Args:
        lengths: Tokens of each row.
        config: Batch size, accumulation, epochs and seed.
    """
    rows_a_batch, batches_a_step = config.per_device_train_batch_size, config.gradient_accumulation_steps
    steps_an_epoch = math.ceil(math.ceil(len(lengths) / rows_a_batch) / batches_a_step)
    total = max(1, math.ceil(round(steps_an_epoch * config.num_train_epochs, 6)))
    steps: list[Step] = []
    while len(steps) < total:
        batches = _epoch(lengths, rows_a_batch, random.Random(f"{config.seed}/{len(steps)}"))
        steps.extend(tuple(batches[i : i + batches_a_step]) for i in range(0, len(batches), batches_a_step))
    return steps[:total]


def _epoch(lengths: Sequence[int], rows_a_batch: int, rng: random.Random) -> list[tuple[int, ...]]:
    order = list(range(len(lengths)))
    rng.shuffle(order)
    bucket_rows = rows_a_batch * BUCKET_BATCHES
    batches = []
    for start in range(0, len(order), bucket_rows):
        bucket = sorted(order[start : start + bucket_rows], key=lambda row: lengths[row])
        batches += [tuple(bucket[i : i + rows_a_batch]) for i in range(0, len(bucket), rows_a_batch)]
    rng.shuffle(batches)
    return batches


@dataclass(frozen=True)
class Batch:
    """Rows as the model computes them.

    Rows are padded on the right. A causal model's real tokens never see what stands to their right,
    so no attention mask is needed, and attention runs without one.

    Attributes:
        token_ids: [rows, longest] tokens.
        row: [n] the row of each token that is learned.
        column: [n] its place in the row.
        shared: How many first tokens all rows have in common (the system prompt, the instruction);
            fewer than stand before any answer, so that nothing that is learned follows from them alone.
    """

    token_ids: "Tensor"
    row: "Tensor"
    column: "Tensor"
    shared: int

    @property
    def targets(self) -> "Tensor":
        """[n] the tokens that are learned."""
        return self.token_ids[self.row, self.column]

    def to(self, device: str) -> "Batch":
        """Return the batch on another device."""
        return Batch(self.token_ids.to(device), self.row.to(device), self.column.to(device), self.shared)


def collate(examples: Sequence[Example]) -> Batch:
    """Put rows into one batch, on the CPU."""
    import torch

    longest = max(len(example.tokens) for example in examples)
    # Any token will do as padding: nothing looks at it.
    token_ids = torch.zeros(len(examples), longest, dtype=torch.long)
    row: list[int] = []
    column: list[int] = []
    for index, example in enumerate(examples):
        token_ids[index, : len(example.tokens)] = torch.tensor(example.tokens)
        row += [index] * example.learned_count
        column += example.learned_places()
    limit = min(example.first_learned for example in examples) - 1
    same = (token_ids[:, :limit] == token_ids[:1, :limit]).all(dim=0)
    shared = int(same.int().cumprod(dim=0).sum())
    return Batch(token_ids, torch.tensor(row), torch.tensor(column), shared)
