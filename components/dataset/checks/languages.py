"""In which languages rows are, from a sample of them, and which rows are in another one than most."""

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from functools import cache
from typing import Any

TEXT_CHARACTERS = 500
# Fewer bytes, or a less certain answer, and the language is a guess.
LEAST_BYTES, LEAST_CERTAINTY = 40, 0.95
RARE_SHARE = 0.05
OUTLIERS_SHOWN = 5


@dataclass(frozen=True)
class LanguageShares:
    """Languages of the sampled rows that are long enough to tell.

    Attributes:
        rows: How many those are.
        shares: Share of them by language (ISO 639), most first.
        outliers: Some rows in a language that fewer than 5 % are in: file, line, language.
    """

    rows: int
    shares: dict[str, float]
    outliers: list[tuple[str, int, str]]

    def __str__(self) -> str:
        return ", ".join(f"{language} {share * 100:.3g} %" for language, share in self.shares.items())


def language_shares(rows: Iterable[tuple[str, int, str]]) -> LanguageShares:
    """Tell the languages of a sample of rows.

    Args:
        rows: File, line and text of each.
    """
    texts = ((file, line, text[:TEXT_CHARACTERS].encode("utf-8", "replace")) for file, line, text in rows)
    telling = [row for row in texts if len(row[2]) >= LEAST_BYTES]
    if not telling:
        return LanguageShares(0, {}, [])
    told = []
    for file, line, text in telling:
        language, certainty = _identifier().classify(text.decode())
        if certainty >= LEAST_CERTAINTY:
            told.append((file, line, str(language)))
    counts = Counter(language for _, _, language in told)
    shares = {language: count / len(told) for language, count in counts.most_common()}
    outliers = [row for row in told if shares[row[2]] < RARE_SHARE][:OUTLIERS_SHOWN]
    return LanguageShares(len(told), shares, outliers)


def load_model() -> None:
    """Load what tells languages, which takes longer than telling those of a sample."""
    _identifier()


@cache
def _identifier() -> Any:
    # A model that comes with the package: nothing is fetched.
    from py3langid.langid import MODEL_FILE, LanguageIdentifier

    return LanguageIdentifier.from_model_file(MODEL_FILE, norm_probs=True)
