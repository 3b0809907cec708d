"""Hold a screened dataset against its limits."""

from pydantic import BaseModel, ConfigDict, Field

from components.checks import Check, Verdict, at_least, at_most
from components.dataset.rows import Kind
from components.dataset.screen import Screened

UNREADABLE: tuple[Kind, ...] = (
    "not_json",
    "not_csv",
    "not_an_object",
    "no_known_form",
    "missing_field",
    "wrong_type",
    "not_text",
    "wrong_turns",
    "control_token",
    "template_refused",
)


class DatasetConfig(BaseModel):
    """What a dataset is and what it has to satisfy."""

    model_config = ConfigDict(frozen=True)

    dataset: str = Field(min_length=1, description="Training rows: path or URL.")
    eval_dataset: str = Field("", description="Held-out rows; empty: eval_fraction of the dataset.")
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


def judge(config: DatasetConfig, screened: Screened) -> Verdict:
    """Judge a dataset; its checks stand in the order in which a person should read them."""
    rows_in = screened.rows_in
    limit = config.max_quarantined_share

    def quarantined(name: str, what: str, *kinds: Kind) -> Check:
        count = screened.count(*kinds)
        return at_most(name, _share(count, rows_in), limit, "share", f"{count} of {rows_in} rows {what}")

    contradicting = sum(map(len, screened.contradictions))
    accepted = len(screened.train) + len(screened.eval)
    return Verdict(
        stage="dataset",
        checks=(
            _enough("train_rows", len(screened.train), config.min_train_rows, "for training"),
            _enough("eval_rows", len(screened.eval), config.min_eval_rows, "for evaluation"),
            quarantined("malformed_share", "can't be read or have no known form", *UNREADABLE),
            quarantined("empty_share", "have an empty prompt or answer", "empty_prompt", "empty_answer"),
            quarantined("duplicate_share", "are the same as an earlier one", "duplicate"),
            quarantined("leaked_share", "train on a held-out prompt; they are left out", "leaks_eval"),
            _truncated(config, screened),
            at_most(
                "quarantined_share",
                _share(len(screened.quarantined), rows_in),
                limit,
                "share",
                f"{len(screened.quarantined)} of {rows_in} rows are unusable, for any reason",
            ),
            at_most(
                "contradicting_share",
                _share(contradicting, accepted),
                config.max_contradicting_share,
                "share",
                f"{contradicting} of {accepted} accepted rows give one prompt different answers",
            ),
        ),
    )


def _enough(name: str, count: int, least: int, purpose: str) -> Check:
    why = f"{count} rows were accepted {purpose}, at least {least} are needed"
    return at_least(
        name, count, least, "rows", why if count >= least else f"{why}; add rows or lower min_{name}"
    )


def _truncated(config: DatasetConfig, screened: Screened) -> Check:
    count, sound = screened.count("too_long"), len(screened.tokens)
    why = f"{count} of {sound} sound rows are longer than max_length ({config.max_length} tokens)"
    share = _share(count, sound)
    if share is None:
        why = "no row's tokens could be counted"
    return at_most("truncated_share", share, config.max_truncated_share, "share", why)


def _share(count: int, total: int) -> float | None:
    return count / total if total else None
