"""How a dataset differs from an earlier one, by the profiles of both."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from components.dataset.profile import PROMPTS_KEPT, DatasetProfile

# What may be limited, by the parameters that limit it.
LIMITS = (
    "max_added_share",
    "max_removed_share",
    "max_changed_share",
    "max_length_drift",
    "max_label_drift",
    "max_vocabulary_drift",
)


def is_limited(values: object) -> bool:
    """Tell whether parameters limit how far a dataset may differ from an earlier one; 1 limits nothing."""
    return any(getattr(values, limit) < 1 for limit in LIMITS)


@dataclass(frozen=True)
class Earlier:
    """The dataset of a model's champion.

    Attributes:
        version: The champion's.
        fingerprint: Of the dataset.
        profile: What is known of it.
    """

    version: str
    fingerprint: str
    profile: DatasetProfile


@dataclass(frozen=True)
class Part:
    """Some of the prompts.

    Attributes:
        share: Which share of them all; 0 if there are none.
        of: How many there are.
        is_exact: Whether all were looked at.
    """

    share: float
    of: int
    is_exact: bool

    @property
    def count(self) -> int:
        """How many these are."""
        return round(self.share * self.of)

    def __str__(self) -> str:
        return f"{'' if self.is_exact else 'about '}{self.count:,} of {self.of:,}"


@dataclass(frozen=True)
class Drift:
    """How a dataset differs from an earlier one.

    Parts and words are of the prompts with the lowest hashes (the bottom-k sketch of Cohen and Kaplan,
    2007): exact up to `PROMPTS_KEPT` of them, else an estimate. Distances are those of Jensen and Shannon: 0
    is the same, 1 has nothing in common.

    Attributes:
        earlier: What it is compared with.
        now: Its own profile.
        added: The present prompts that were not there.
        removed: The earlier prompts that are gone.
        changed: The prompts in both whose answer is another one.
        lengths: Distance of the lengths of all rows.
        labels: Distance of the labels of all rows; None where answers are no labels, then and now.
        vocabulary: Distance of the words.
    """

    earlier: Earlier
    now: DatasetProfile
    added: Part
    removed: Part
    changed: Part
    lengths: float
    labels: float | None
    vocabulary: float

    @property
    def distances(self) -> dict[str, float]:
        """The distances that could be measured, by what is apart."""
        found = {"length": self.lengths, "label": self.labels, "vocabulary": self.vocabulary}
        return {what: distance for what, distance in found.items() if distance is not None}


def drift(earlier: Earlier, now: DatasetProfile) -> Drift:
    """Compare a dataset with an earlier one."""
    then = earlier.profile
    # Where one of them has more prompts than are kept, only hashes below its highest are known of both.
    full = [profile for profile in (then, now) if len(profile.answers) == PROMPTS_KEPT < profile.prompts]
    known = min((max(profile.answers) for profile in full), default=math.inf)
    before = {prompt: mark for prompt, mark in then.answers.items() if prompt <= known}
    after = {prompt: mark for prompt, mark in now.answers.items() if prompt <= known}
    both = before.keys() & after.keys()
    changed = sum(before[prompt] != after[prompt] for prompt in both)

    def part(count: int, of: int, total: int) -> Part:
        return Part(count / of if of else 0.0, total, is_exact=not full)

    in_both = len(both) if not full else round(len(both) / len(after) * now.prompts) if after else 0
    in_both = min(in_both, then.prompts, now.prompts)  # an estimate may be of more than there are
    return Drift(
        earlier=earlier,
        now=now,
        added=part(len(after) - len(both), len(after), now.prompts),
        removed=part(len(before) - len(both), len(before), then.prompts),
        changed=part(changed, len(both), in_both),
        lengths=_distance(then.lengths, now.lengths),
        labels=_distance(then.labels, now.labels) if then.labels or now.labels else None,
        vocabulary=_distance(_numbered(then.words), _numbered(now.words)),
    )


def _numbered(counts: Sequence[int]) -> dict[int, int]:
    return dict(enumerate(counts))


def _distance(then: Mapping[int, int], now: Mapping[int, int]) -> float:
    """Return the distance of two distributions; of one that is empty, 1 unless both are."""
    if not sum(then.values()) or not sum(now.values()):
        return float(bool(sum(then.values())) != bool(sum(now.values())))
    from scipy.spatial.distance import jensenshannon

    keys = sorted(then.keys() | now.keys())
    distance = jensenshannon([then.get(key, 0) for key in keys], [now.get(key, 0) for key in keys], base=2)
    return 0.0 if math.isnan(distance) else float(distance)  # rounding below zero of what is the same
