"""What kind of dataset it is: languages, answers, lengths, and the settings that fit."""

from dataclasses import dataclass

from components.dataset.beside import Beside
from components.dataset.checks.answers import AnswerCounter, AnswerCounts
from components.dataset.checks.languages import LanguageShares, language_shares
from components.dataset.checks.suggest import Suggestion, suggest
from components.dataset.row_store import Row
from components.dataset.screen import Screened

SAMPLE_ROWS = 1000  # of which the languages are told
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


def look_over(screened: Screened, beside: Beside) -> Overview:
    """Look at accepted rows, as people may see them.

    Args:
        screened: What became of the rows.
        beside: Tells their languages.
    """
    import numpy

    rows = screened.train.together_with(screened.eval)
    languages = beside.call(language_shares, [_said(row) for row in rows.some(SAMPLE_ROWS)])
    counter = AnswerCounter()
    counter.add(screened.train.answers())
    tokens = screened.tokens
    limit = LONG_BY_MEDIAN * numpy.partition(tokens, len(tokens) // 2)[len(tokens) // 2] if len(tokens) else 0
    long_rows = rows.where(rows.tokens > limit)
    longest = numpy.argsort(-long_rows.tokens.astype(int), kind="stable")[:LONGEST_SHOWN]
    counts = counter.counts()
    return Overview(
        languages=languages.result(),
        answers=counts,
        long_rows=len(long_rows),
        longest=list(long_rows.where(longest)),
        suggestion=suggest(counts.kind, screened.tokens),
    )


def _said(row: Row) -> tuple[str, int, str]:
    """Return where a row stands, and what is said in it."""
    return row.file, row.line, " ".join(turn.content for turn in row.view.messages if turn.role != "system")
