"""How answers are made comparable before they are scored, after SQuAD.

Rajpurkar et al., "SQuAD: 100,000+ Questions for Machine Comprehension of Text" (2016), score answers
in lower case, without punctuation, without the articles a, an and the, and with single spaces. We do
the same, with three differences where that would call different answers equal:

- punctuation between two digits stays ("12.50" is not "1250", "3-5 days" is not "35 days"), except
  the comma before thousands ("1,250" is "1250"); so does a minus sign before a number;
- an answer that is only an article or only punctuation ("A", "+") keeps it, or all such were equal;
- punctuation is what Unicode calls punctuation or symbol, not only ASCII's.

Articles are the English ones and tokens are what stands between spaces, so for languages that write
without spaces token F1 is no finer than exact match.
"""

import re
import unicodedata

_THOUSANDS = re.compile(r"(?<=\d),(?=\d{3}(?!\d))")
_ARTICLES = {"a", "an", "the"}


def tokens(text: str) -> list[str]:
    """Return the words of an answer that are compared, in order."""
    text = unicodedata.normalize("NFKC", text).casefold()
    text = "".join("-" if unicodedata.category(c) == "Pd" or c == "\N{MINUS SIGN}" else c for c in text)
    text = _THOUSANDS.sub("", text)
    kept = "".join(c for i, c in enumerate(text) if not _is_punctuation(c) or _in_number(text, i))
    words = (kept if kept.strip() else text).split()
    return [word for word in words if word not in _ARTICLES] or words


def normalise(text: str) -> str:
    """Return an answer in the form in which two answers are equal or not."""
    return " ".join(tokens(text))


def _is_punctuation(character: str) -> bool:
    return unicodedata.category(character)[0] in "PS"


def _in_number(text: str, index: int) -> bool:
    """Whether a character stands between two digits, or is the sign of a number."""
    if not text[index + 1 : index + 2].isdigit():
        return False
    before = text[index - 1 : index] if index else ""
    return before.isdigit() or (text[index] == "-" and not before.strip())
