"""Texts as sets of numbers that near duplicates share: runs of three words, a batch at a time."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

from components.dataset.arrays import text_column

if TYPE_CHECKING:
    import numpy
    from numpy.typing import NDArray

    Hashes = NDArray[numpy.uint64]

RUN = 3
# Scripts without spaces: each sign is a word.
_UNSPACED = r"([\p{Han}\p{Hiragana}\p{Katakana}\p{Thai}\p{Lao}\p{Khmer}\p{Myanmar}])"
_NO_WORD = r"[^\pL\pM\pN ]+"
_BEGIN, _END = 0x9E3779B97F4A7C15, 0xC2B2AE3D27D4EB4F
_FACTORS = (0xBF58476D1CE4E5B9, 0x94D049BB133111EB, 0xD6E8FEB86659FD93)


def words_of(texts: Sequence[str]) -> "tuple[Hashes, NDArray[numpy.int64]]":
    """Return the hashes of all words, one text after the other, and where each text's begin and end.

    Case, width, punctuation and white space do not count. A text of punctuation alone is one word.
    """
    import numpy
    import pyarrow.compute as pc
    from rensa import RMinHash

    column = pc.utf8_lower(pc.utf8_normalize(text_column(texts), form="NFKC"))
    column = pc.replace_substring_regex(column, _UNSPACED, r" \1 ")
    spaced = pc.utf8_trim_whitespace(pc.replace_substring_regex(column, _NO_WORD, " "))
    is_bare = pc.match_substring_regex(spaced, "^$")
    if pc.any(is_bare).as_py():
        spaced = pc.if_else(is_bare, pc.replace_substring_regex(column, r"\s+", "_"), spaced)
    lists = pc.ascii_split_whitespace(spaced)
    words = lists.flatten().dictionary_encode()
    (hashed,) = RMinHash.hash_token_sets([words.dictionary.to_pylist()])
    table = numpy.array(hashed, dtype=numpy.uint64)
    return table[numpy.from_dlpack(words.indices)], numpy.from_dlpack(lists.offsets).astype(numpy.int64)


def runs_of(words: "Hashes", offsets: "NDArray[numpy.int64]") -> "tuple[Hashes, NDArray[numpy.int64]]":
    """Return the hashes of all runs of three words, as `words_of` returns words.

    Two marks stand before the first word and behind the last: wherever a word is another one, three runs are.
    """
    import numpy

    rows = len(offsets) - 1
    lengths = numpy.diff(offsets)
    padding = RUN - 1
    starts = offsets[:-1] + 2 * padding * numpy.arange(rows)
    padded = numpy.empty(len(words) + 2 * padding * rows, dtype=numpy.uint64)
    is_word = numpy.ones(len(padded), dtype=bool)
    for place in range(padding):
        begins, ends = starts + place, starts + padding + lengths + place
        padded[begins], padded[ends] = _BEGIN, _END
        is_word[begins] = is_word[ends] = False
    padded[is_word] = words
    mixed = numpy.zeros(len(padded) - padding if rows else 0, dtype=numpy.uint64)
    for place, factor in enumerate(_FACTORS):
        mixed += padded[place : place + len(mixed)] * numpy.uint64(factor)
        mixed ^= mixed >> numpy.uint64(29)
    inside = numpy.ones(len(mixed), dtype=bool)
    for place in range(padding):  # what begins with an end belongs to two texts
        crossing = starts[1:] - 1 - place
        inside[crossing] = False
    run_offsets = numpy.concatenate([[0], numpy.cumsum(lengths + padding)]).astype(numpy.int64)
    return mixed[inside], run_offsets
