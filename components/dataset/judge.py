"""Hold a screened dataset against its limits."""

from collections import Counter

from components.checks import Check, Verdict, at_least, at_most
from components.dataset.checks.answers import AnswerCounts
from components.dataset.config import DatasetConfig
from components.dataset.drift import Drift
from components.dataset.rows import KINDS, Kind
from components.dataset.screen import Screened
from components.sources.names import file_name

MORE = " and those with it"
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


def judge(
    config: DatasetConfig, screened: Screened, answers: AnswerCounts, drift: Drift | None = None
) -> Verdict:
    """Judge a dataset; its checks stand in the order in which a person should read them.

    Without a dataset to compare with nothing is said about drift.

    Answers that are not wanted are no flaw where that was said: with `preferences=chosen` they do not count.
    A share is that of the worse of both sets of files: clean eval files do not make up for bad train files.
    """
    limit, is_any = config.max_quarantined_share, bool(screened.train or screened.eval)
    rows, named = Counter[str](), dict[str, str]()
    for file, count in screened.rows_by_file.items():
        files = screened.set_of[file]
        named[files] = f"{named[files].removesuffix(MORE)}{MORE}" if rows[files] else file_name(file)
        rows[files] += count
    flaws = [kind for kind in KINDS if kind != "unwanted_answer" or config.preferences == "refuse"]

    def quarantined(name: str, what: str, *kinds: Kind) -> Check:
        counts: Counter[str] = Counter()
        for (file, kind), count in screened.quarantined.counts.items():
            counts[screened.set_of[file]] += count if kind in kinds else 0
        worst = max(rows, key=lambda files: counts[files] / rows[files])
        why = f"{counts[worst]} of {rows[worst]} rows of {named[worst]} {what}"
        return at_most(name, counts[worst] / rows[worst], limit, "share", why)

    return Verdict(
        stage="dataset",
        checks=(
            _enough("train_rows", len(screened.train), config.min_train_rows, "for training"),
            _enough("eval_rows", len(screened.eval), config.min_eval_rows, "for evaluation"),
            quarantined("malformed_share", "can't be read or have no known form", *UNREADABLE),
            quarantined("empty_share", "have an empty prompt or answer", "empty_prompt", "empty_answer"),
            quarantined("duplicate_share", "are the same as an earlier one", "duplicate"),
            quarantined("leaked_share", "ask what is held out; they are not trained on", "leaks_eval"),
            *([_truncated(config, screened)] if is_any or len(screened.tokens) else ()),
            quarantined("quarantined_share", "are unusable, for any reason", *flaws),
            *(_of_accepted(config, screened, answers) if is_any else ()),
            *(_drifted(config, drift) if drift and is_any else ()),
        ),
    )


def _of_accepted(config: DatasetConfig, screened: Screened, answers: AnswerCounts) -> list[Check]:
    """Check what was accepted; of nothing, these would only say that there is nothing."""
    return [
        _contradicting(config, screened),
        *_near(config, screened),
        *_answers(config, answers),
        *_found(config, screened),
    ]


def not_understood(screened: Screened, file: str) -> bool:
    """Tell whether most rows of a file have no form that is known."""
    kinds: tuple[Kind, ...] = ("no_known_form", "missing_field")
    count = sum(screened.quarantined.counts[file, kind] for kind in kinds)
    return count > screened.rows_by_file.get(file, 0) / 2


def _enough(name: str, count: int, least: int, purpose: str) -> Check:
    why = f"{count} rows were accepted {purpose}, at least {least} are needed"
    return at_least(
        name, count, least, "rows", why if count >= least else f"{why}; add rows or lower min_{name}"
    )


def _truncated(config: DatasetConfig, screened: Screened) -> Check:
    sound = len(screened.tokens)
    count = int((screened.tokens > config.max_length).sum())
    why = f"{count} of {sound} sound rows are longer than max_length ({config.max_length} tokens)"
    if not sound:
        why = "no row's tokens could be counted"
    share = count / sound if sound else None
    return at_most("truncated_share", share, config.max_truncated_share, "share", why)


def _contradicting(config: DatasetConfig, screened: Screened) -> Check:
    accepted = len(screened.train) + len(screened.eval)
    count = screened.contradictions.rows
    why = f"{count} of {accepted} accepted rows give one prompt different answers"
    share = count / accepted if accepted else None
    return at_most("contradicting_share", share, config.max_contradicting_share, "share", why)


def _near(config: DatasetConfig, screened: Screened) -> list[Check]:
    trained, twins, leaks = len(screened.train), screened.nearly.duplicates, screened.nearly.leaks

    def check(name: str, count: int, limit: float, what: str) -> Check:
        why = f"{count} of {trained} training rows {what}"
        return at_most(name, count / trained if trained else None, limit, "share", why)

    return [
        check(
            "near_duplicate_share", twins, config.max_near_duplicate_share, "are nearly the same as another"
        ),
        check("near_leaked_share", leaks, config.max_near_leaked_share, "ask nearly what is held out"),
    ]


def _answers(config: DatasetConfig, answers: AnswerCounts) -> list[Check]:
    """Check that answers are not all alike, and labels not too rare; no answer is quoted."""
    count = answers.common[0][1] if answers.common else 0
    why = f"{count} of {answers.rows} training rows give the most common answer"
    checks = [
        at_most("same_answer_share", answers.same_share, config.max_same_answer_share, "share", why),
    ]
    if answers.kind == "labels" and answers.rare:
        fewest = answers.rare[0][1]
        why = f"the rarest label has {fewest} training rows; the report names it"
        checks.append(at_least("rarest_label_rows", fewest, config.min_label_rows, "rows", why))
    return checks


def _found(config: DatasetConfig, screened: Screened) -> list[Check]:
    """Refuse what is to be refused; the rest is counted in the report."""
    accepted = len(screened.train) + len(screened.eval)
    counts = {
        "secrets": (screened.findings.with_secrets, "secrets"),
        "personal_data": (screened.findings.with_personal_data, "personal data"),
    }
    checks = []
    for policy, (count, what) in counts.items():
        if getattr(config, policy) == "refuse":
            why = f"{count} of {accepted} accepted rows hold {what}; the report has their lines, not the text"
            if count:
                why += f". Take them out, or let them be replaced with {policy}=redact"
            checks.append(at_most(f"rows_with_{policy}", count, 0, "rows", why))
    return checks


def _drifted(config: DatasetConfig, drift: Drift) -> list[Check]:
    """Hold what has changed since the champion's dataset against its limits."""
    before = f"the dataset of champion version {drift.earlier.version}"
    parts = {
        "added": (drift.added, f"prompts are not in {before}"),
        "removed": (drift.removed, f"prompts of {before} are gone"),
        "changed": (drift.changed, "prompts in both are answered otherwise"),
    }
    checks = [
        at_most(f"{name}_share", part.share, getattr(config, f"max_{name}_share"), "share", f"{part} {what}")
        for name, (part, what) in parts.items()
    ]
    for what, distance in drift.distances.items():
        why = f"by {what}, the rows are {distance:.3g} away from {before}; 0: the same, 1: nothing in common"
        name = f"{what}_drift"
        checks.append(at_most(name, distance, getattr(config, f"max_{name}"), "", why))
    return checks
