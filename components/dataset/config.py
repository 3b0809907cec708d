"""The knobs of the dataset stage."""

from typing import Annotated

from pydantic import AfterValidator, Field

from components.dataset.checks.sift import Policy
from components.dataset.forms.columns import known_columns
from components.dataset.forms.wanted import Preferences
from components.templates.example import LearnTurns
from components.tracking.records import Scalar
from components.tracking.shell import StageConfig
from components.web import shown


class DatasetConfig(StageConfig):
    """What a dataset is and what it has to satisfy."""

    dataset: str = Field(
        min_length=1, description="Training rows: paths, patterns, folders or URLs, with + between."
    )
    eval_dataset: str = Field("", description="Held-out rows; empty: eval_fraction of the dataset.")
    columns: Annotated[str, AfterValidator(known_columns)] = Field(
        "", description="Which field of a row is what; empty: their names say so."
    )
    preferences: Preferences = Field("refuse", description="What becomes of chosen and rejected answers.")
    dataset_digest: str = Field(
        "", description="What the files held when the run was started; empty: anything."
    )
    max_dataset_bytes: int = Field(
        64 << 30, ge=1, description="Most of all files, as they arrive and unpacked."
    )
    base_model: str = Field(min_length=1, description="Model whose chat template counts the tokens.")
    eval_fraction: float = Field(0.2, gt=0, lt=1, description="Share held out.")
    min_train_rows: int = Field(50, ge=1, description="Fewest accepted training rows.")
    min_eval_rows: int = Field(20, ge=1, description="Fewest accepted held-out rows.")
    max_quarantined_share: float = Field(0.1, ge=0, le=1, description="Largest share of unusable rows.")
    max_truncated_share: float = Field(0.02, ge=0, le=1, description="Largest share of too long rows.")
    max_contradicting_share: float = Field(
        default=0.1, ge=0, le=1, description="Largest share of accepted rows that contradict another one."
    )
    max_near_duplicate_share: float = Field(
        1.0, ge=0, le=1, description="Largest share of training rows that are nearly an earlier one."
    )
    max_near_leaked_share: float = Field(
        0.1, ge=0, le=1, description="Largest share of training rows that ask nearly what is held out."
    )
    max_same_answer_share: float = Field(
        1.0, ge=0, le=1, description="Largest share of training rows that give the most common answer."
    )
    min_label_rows: int = Field(1, ge=1, description="Fewest training rows of a label.")
    group_by: str = Field("", description="Field whose value says which rows stay on one side of the split.")
    secrets: Policy = Field("refuse", description="What becomes of rows with keys and tokens.")
    personal_data: Policy = Field("report", description="What becomes of rows with personal data.")
    max_length: int = Field(512, ge=1, description="Longest row, tokens.")
    max_added_share: float = Field(1.0, ge=0, le=1, description="Largest share of prompts that are new.")
    max_removed_share: float = Field(1.0, ge=0, le=1, description="Largest share of prompts that are gone.")
    max_changed_share: float = Field(
        1.0, ge=0, le=1, description="Largest share of prompts that are answered otherwise."
    )
    max_length_drift: float = Field(1.0, ge=0, le=1, description="Largest distance of the lengths.")
    max_label_drift: float = Field(1.0, ge=0, le=1, description="Largest distance of the labels.")
    max_vocabulary_drift: float = Field(1.0, ge=0, le=1, description="Largest distance of the words.")
    model_name: str = Field("", description="Model whose champion's dataset it is compared with.")
    champion_dataset: str = Field("", description="Which one that was when the run was started.")
    seed: int = Field(17, ge=0, description="Seed of the split.")
    learn_turns: LearnTurns = Field("all", description="Turns that are shown as learned.")

    @property
    def files(self) -> tuple[str, str]:
        """Return the training and the held-out file; the latter is empty if none was named."""
        return self.dataset, self.eval_dataset

    def recorded(self) -> dict[str, Scalar]:
        """Return the knobs without the credentials that an address may hold: records are read by many."""
        names = {"dataset": shown(self.dataset), "eval_dataset": shown(self.eval_dataset)}
        return super().recorded() | names
