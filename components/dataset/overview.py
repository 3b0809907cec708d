"""What kind of dataset it is: languages, answers, lengths, and the settings that fit."""

import heapq
from dataclasses import dataclass

from components.dataset.checks.answers import AnswerCounter, AnswerCounts
from components.dataset.checks.languages import LanguageSample, LanguageShares
from components.dataset.checks.suggest import Suggestion, suggest
from components.dataset.screen import Row, Screened

# A row so many times as long as the one in the middle is told.
LONG_BY_MEDIAN = 8
LONGEST_SHOWN = 5


@dataclass(frozen=True)
class Overview:
    """What was seen of the accepted rows.

    Attributes:
        languages: The languages of a sample.
        answers: The training rows' answers.
        long_rows: Rows more than eight times as long as the one in the middle.
        longest: The longest of those.
        suggestion: The settings that fit.
    """

    languages: LanguageShares
    answers: AnswerCounts
    long_rows: int
    longest: list[Row]
    suggestion: Suggestion


def look_over(screened: Screened) -> Overview:
    """Look at accepted rows, as people may see them."""
    sample, counter = LanguageSample(), AnswerCounter()
    for row in screened.train:
        counter.add([row.view.completion])
    for row in (*screened.train, *screened.eval):
        said = [turn.content for turn in row.view.messages if turn.role != "system"]
        sample.add(row.file, row.line, " ".join(said))
    ordered = sorted(screened.tokens)
    limit = LONG_BY_MEDIAN * ordered[len(ordered) // 2] if ordered else 0
    long_rows = [row for row in (*screened.train, *screened.eval) if row.tokens > limit]
    counts = counter.counts()
    return Overview(
        languages=sample.shares(),
        answers=counts,
        long_rows=len(long_rows),
        longest=heapq.nlargest(LONGEST_SHOWN, long_rows, key=lambda row: row.tokens),
        suggestion=suggest(counts.kind, screened.tokens),
    )
