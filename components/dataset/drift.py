"""How one dataset differs from an earlier one, by profiles that hold counts and hashes, never a text."""

import hashlib
import heapq
import math
import re
import zlib
from array import array
from collections import Counter
from collections.abc import Mapping, Sequence
from itertools import islice

from pydantic import BaseModel, ConfigDict

from components.conversations import Conversation

PROMPTS_KEPT, WORDS_KEPT, BUCKETS = 4096, 256, 1024
WORD = re.compile(r"\w{1,64}")


class DatasetProfile(BaseModel):
    """What is kept of a dataset to compare a later one with.

    Attributes:
        rows: Their number.
        lengths: Rows by the power of two that their tokens reach.
        prompts: Of the prompts with the lowest hashes: a hash of what is answered to each.
        vocabulary: Words of those rows, counted in buckets by their hash.
    """

    model_config = ConfigDict(frozen=True)

    rows: int
    lengths: dict[int, int]
    prompts: dict[int, int]
    vocabulary: tuple[int, ...]


class Drift(BaseModel):
    """How a dataset differs from an earlier one.

    All but the lengths is of the prompts with the lowest hashes (the bottom-k sketch of Cohen and Kaplan):
    exact up to `PROMPTS_KEPT` of them, else an estimate. Distances are those of Jensen and Shannon: 0 is the
    same, 1 has nothing in common.

    Attributes:
        added: Share of the present prompts that were not there.
        removed: Share of the earlier prompts that are gone.
        changed: Share of the prompts in both whose answer is another one.
        lengths: Distance of the lengths.
        answers: Distance of the answers; labels that shift stand out in it.
        vocabulary: Distance of the words.
    """

    model_config = ConfigDict(frozen=True)

    added: float
    removed: float
    changed: float
    lengths: float
    answers: float
    vocabulary: float


class Profiler:
    """Builds a profile row by row, in memory that does not grow with the rows."""

    def __init__(self) -> None:
        self._rows = 0
        self._lengths: Counter[int] = Counter()
        self._prompts: dict[int, int] = {}
        self._words: dict[int, array[int]] = {}  # of the prompts that are kept: the buckets of their words
        self._highest: list[int] = []  # the hashes of those, negated, as a heap

    def add(self, row: Conversation, tokens: int) -> None:
        """Count one accepted row and its tokens."""
        self._rows += 1
        self._lengths[tokens.bit_length()] += 1
        prompt = _hash("\x1e".join(f"{turn.role}\x1f{turn.content}" for turn in row.messages[:-1]))
        if prompt in self._prompts:
            self._prompts[prompt] ^= _hash(row.completion)  # several answers, in whatever order
        elif len(self._prompts) < PROMPTS_KEPT:
            heapq.heappush(self._highest, -prompt)
            self._keep(prompt, row)
        elif prompt < -self._highest[0]:
            highest = -heapq.heapreplace(self._highest, -prompt)
            del self._prompts[highest], self._words[highest]
            self._keep(prompt, row)

    def profile(self) -> DatasetProfile:
        """Return what was counted so far."""
        counts = Counter(bucket for words in self._words.values() for bucket in words)
        return DatasetProfile(
            rows=self._rows,
            lengths=dict(sorted(self._lengths.items())),
            prompts=dict(sorted(self._prompts.items())),
            vocabulary=tuple(counts[bucket] for bucket in range(BUCKETS)),
        )

    def _keep(self, prompt: int, row: Conversation) -> None:
        words = (word[0] for message in row.messages for word in WORD.finditer(message.content))
        self._prompts[prompt] = _hash(row.completion)
        self._words[prompt] = array("H", map(_bucket, islice(words, WORDS_KEPT)))


def drift(then: DatasetProfile, now: DatasetProfile) -> Drift:
    """Compare a dataset with an earlier one."""
    # Where one of them has more prompts than are kept, only hashes below its highest are known of both.
    known = min((max(p.prompts) for p in (then, now) if len(p.prompts) == PROMPTS_KEPT), default=math.inf)
    before = {prompt: answer for prompt, answer in then.prompts.items() if prompt <= known}
    after = {prompt: answer for prompt, answer in now.prompts.items() if prompt <= known}
    both = before.keys() & after.keys()
    return Drift(
        added=_share(len(after) - len(both), len(after)),
        removed=_share(len(before) - len(both), len(before)),
        changed=_share(sum(before[prompt] != after[prompt] for prompt in both), len(both)),
        lengths=_distance(then.lengths, now.lengths),
        answers=_distance(Counter(then.prompts.values()), Counter(now.prompts.values())),
        vocabulary=_distance(_numbered(then.vocabulary), _numbered(now.vocabulary)),
    )


def _hash(text: str) -> int:
    return int.from_bytes(hashlib.blake2b(text.encode("utf-8", "replace"), digest_size=7).digest(), "big")


def _bucket(word: str) -> int:
    return zlib.crc32(word.lower().encode("utf-8", "replace")) % BUCKETS


def _numbered(counts: Sequence[int]) -> dict[int, int]:
    return dict(enumerate(counts))


def _share(count: int, of: int) -> float:
    return count / of if of else 0.0


def _distance(then: Mapping[int, int], now: Mapping[int, int]) -> float:
    """Return the distance of two distributions; of one that is empty, 1 unless both are."""
    if not sum(then.values()) or not sum(now.values()):
        return float(bool(sum(then.values())) != bool(sum(now.values())))
    from scipy.spatial.distance import jensenshannon

    keys = sorted(then.keys() | now.keys())
    distance = jensenshannon([then.get(key, 0) for key in keys], [now.get(key, 0) for key in keys], base=2)
    return 0.0 if math.isnan(distance) else float(distance)  # rounding below zero of what is the same
