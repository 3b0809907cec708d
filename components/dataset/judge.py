"""Hold a screened dataset against its limits."""

from collections import Counter
from typing import Annotated

from pydantic import AfterValidator, Field

from components.checks import Check, Verdict, at_least, at_most
from components.dataset.forms.columns import known_columns
from components.dataset.forms.wanted import Preferences
from components.dataset.rows import KINDS, Kind
from components.dataset.screen import Screened, file_name
from components.templates.example import LearnTurns
from components.tracking.records import Scalar
from components.tracking.shell import StageConfig
from components.web import shown

UNREADABLE: tuple[Kind, ...] = (
    "not_json",
    "not_csv",
    "not_an_object",
    "no_known_form",
    "ambiguous",
    "missing_field",
    "wrong_type",
    "not_text",
    "wrong_turns",
    "has_media",
    "preference",
    "control_token",
    "template_refused",
)


class DatasetConfig(StageConfig):
    """What a dataset is and what it has to satisfy."""

    dataset: str = Field(min_length=1, description="Training rows: path or URL.")
    eval_dataset: str = Field("", description="Held-out rows; empty: eval_fraction of the dataset.")
    columns: Annotated[str, AfterValidator(known_columns)] = Field(
        "", description="Which field of a row is what; empty: their names say so."
    )
    preferences: Preferences = Field("refuse", description="What becomes of chosen and rejected answers.")
    dataset_digest: str = Field("", description="Digest of each file when the run was started; empty: any.")
    max_dataset_bytes: int = Field(64 << 30, ge=1, description="Largest file, as it arrives and unpacked.")
    base_model: str = Field(min_length=1, description="Model whose chat template counts the tokens.")
    eval_fraction: float = Field(0.2, gt=0, lt=1, description="Share held out.")
    min_train_rows: int = Field(50, ge=1, description="Fewest accepted training rows.")
    min_eval_rows: int = Field(20, ge=1, description="Fewest accepted held-out rows.")
    max_quarantined_share: float = Field(0.1, ge=0, le=1, description="Largest share of unusable rows.")
    max_truncated_share: float = Field(0.02, ge=0, le=1, description="Largest share of too long rows.")
    max_contradicting_share: float = Field(
        default=0.1, ge=0, le=1, description="Largest share of accepted rows that contradict another one."
    )
    max_length: int = Field(512, ge=1, description="Longest row, tokens.")
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


def judge(config: DatasetConfig, screened: Screened) -> Verdict:
    """Judge a dataset; its checks stand in the order in which a person should read them.

    Answers that are not wanted are no flaw where that was said: with `preferences=chosen` they do not count.
    A share is that of the file that is worse off: a clean eval file does not make up for a bad train file.
    """
    limit = config.max_quarantined_share
    flaws = [kind for kind in KINDS if kind != "unwanted_answer" or config.preferences == "refuse"]

    def quarantined(name: str, what: str, *kinds: Kind) -> Check:
        counts = Counter(row.file for row in screened.quarantined if row.kind in kinds)
        rows = screened.rows_by_file
        file = max(rows, key=lambda file: counts[file] / rows[file])
        why = f"{counts[file]} of {rows[file]} rows of {file_name(file)} {what}"
        return at_most(name, counts[file] / rows[file], limit, "share", why)

    return Verdict(
        stage="dataset",
        checks=(
            _enough("train_rows", len(screened.train), config.min_train_rows, "for training"),
            _enough("eval_rows", len(screened.eval), config.min_eval_rows, "for evaluation"),
            quarantined("malformed_share", "can't be read or have no known form", *UNREADABLE),
            quarantined("empty_share", "have an empty prompt or answer", "empty_prompt", "empty_answer"),
            quarantined("duplicate_share", "are the same as an earlier one", "duplicate"),
            quarantined("leaked_share", "ask what is held out; they are not trained on", "leaks_eval"),
            _truncated(config, screened),
            quarantined("quarantined_share", "are unusable, for any reason", *flaws),
            _contradicting(config, screened),
        ),
    )


def not_understood(screened: Screened, file: str) -> bool:
    """Tell whether most rows of a file have no form that is known."""
    kinds: tuple[Kind, ...] = ("no_known_form", "missing_field")
    count = sum(row.kind in kinds for row in screened.quarantined if row.file == file)
    return count > screened.rows_by_file.get(file, 0) / 2


def _enough(name: str, count: int, least: int, purpose: str) -> Check:
    why = f"{count} rows were accepted {purpose}, at least {least} are needed"
    return at_least(
        name, count, least, "rows", why if count >= least else f"{why}; add rows or lower min_{name}"
    )


def _truncated(config: DatasetConfig, screened: Screened) -> Check:
    sound = len(screened.tokens)
    count = sum(tokens > config.max_length for tokens in screened.tokens)
    why = f"{count} of {sound} sound rows are longer than max_length ({config.max_length} tokens)"
    if not sound:
        why = "no row's tokens could be counted"
    share = count / sound if sound else None
    return at_most("truncated_share", share, config.max_truncated_share, "share", why)


def _contradicting(config: DatasetConfig, screened: Screened) -> Check:
    accepted = len(screened.train) + len(screened.eval)
    count = sum(map(len, screened.contradictions))
    why = f"{count} of {accepted} accepted rows give one prompt different answers"
    share = count / accepted if accepted else None
    return at_most("contradicting_share", share, config.max_contradicting_share, "share", why)
