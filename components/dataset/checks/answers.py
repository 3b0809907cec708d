"""What kind of answers a dataset has, and how often the most common and the rarest are given."""

import json
import re
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Literal

AnswerKind = Literal["labels", "JSON", "numbers", "short texts", "long texts"]

DISTINCT_KEPT = 10_000
ANSWER_CHARACTERS = 200  # of an answer that is counted; longer ones are told apart by these
LABELS, ROWS_PER_LABEL, LABEL_WORDS = 200, 5, 5
SHORT_WORDS = 12
MOST = 0.9  # so many answers decide which kind they are
_NUMBER = re.compile(
    r"[-+]?[$€£]?\s?[-+]?[0-9][0-9,]*(?:\.[0-9]+)?(?:e[-+]?[0-9]+)?\s?[%$€£]?\.?", re.IGNORECASE
)


@dataclass(frozen=True)
class AnswerCounts:
    """Answers, counted.

    Attributes:
        rows: Answers counted.
        kind: What nine in ten of them are.
        common: The most common answers, most first, and how many rows give each; at least that many, where
            there are more than 10,000 different ones.
        rare: If they are labels: the rarest, rarest first.
    """

    rows: int
    kind: AnswerKind
    common: list[tuple[str, int]]
    rare: list[tuple[str, int]]

    @property
    def same_share(self) -> float | None:
        """Share of rows that give the most common answer; None without rows."""
        return self.common[0][1] / self.rows if self.common else 0.0 if self.rows else None


class AnswerCounter:
    """Counts answers, batch by batch, in a bounded memory (the algorithm of Misra and Gries, 1982)."""

    def __init__(self) -> None:
        self._counts: Counter[str] = Counter()
        self._rows, self._json, self._numbers, self._short, self._labels = 0, 0, 0, 0, 0
        self._is_whole = True

    def add(self, answers: Iterable[str]) -> None:
        """Count answers."""
        for answer in answers:
            answer = answer.strip()
            words = len(answer[:10_000].split())
            self._rows += 1
            self._json += _is_json(answer)
            self._numbers += _NUMBER.fullmatch(answer[:40]) is not None and len(answer) <= 40
            self._short += words <= SHORT_WORDS
            self._labels += words <= LABEL_WORDS
            self._counts[answer[:ANSWER_CHARACTERS].casefold()] += 1
            if len(self._counts) > DISTINCT_KEPT:
                self._is_whole = False
                self._counts = Counter({key: count - 1 for key, count in self._counts.items() if count > 1})

    def counts(self) -> AnswerCounts:
        """Return what was counted."""
        kind = self._kind()
        common = self._counts.most_common(5)
        rare = sorted(self._counts.items(), key=lambda entry: entry[1])[:10] if kind == "labels" else []
        return AnswerCounts(self._rows, kind, common, rare)

    def _kind(self) -> AnswerKind:
        most = MOST * self._rows
        if self._rows and self._json >= most:
            return "JSON"
        if self._rows and self._numbers >= most:
            return "numbers"
        distinct = len(self._counts)
        is_closed = self._is_whole and distinct <= min(LABELS, self._rows / ROWS_PER_LABEL)
        if self._rows and is_closed and self._labels >= most:
            return "labels"
        return "short texts" if self._short >= most else "long texts"


def _is_json(answer: str) -> bool:
    if answer[:1] not in ("{", "[") or answer[-1:] not in ("}", "]"):
        return False
    try:
        json.loads(answer)
    except (ValueError, RecursionError):
        return False
    return True
