"""Groups of near duplicates among signatures: bands of them are sorted, equal ones compared, group by group.

The banding of MinHash signatures: Leskovec, Rajaraman, Ullman, Mining of Massive Datasets, section 3.4. With
12 bands of 4, two prompts that share 0.7 of their runs of words meet in a band in 96 of 100 cases. Memory is
some 60 bytes a row: no band is held beside another, and signatures stay on disk.
"""

from dataclasses import dataclass
from typing import TYPE_CHECKING

from components.conversations import Conversation, Message
from components.dataset.checks.groups import joined
from components.dataset.checks.signatures import BANDS, PROMPT_HASHES, Signatures

if TYPE_CHECKING:
    from components.dataset.checks.groups import Labels

PROMPT_SHARE, ANSWER_SHARE = 0.7, 0.75
COMPARED_AT_ONCE = 1 << 16
PAIRS_KEPT = 1000


@dataclass
class NearDuplicates:
    """What is nearly the same.

    Attributes:
        by_prompt: A label for each row: rows with one label ask nearly the same, whatever they answer.
        by_row: A label for each row: rows with one label ask and answer nearly the same.
        pairs: Pairs of rows that ask nearly the same, the earlier one first; up to 1,000 of them.
    """

    by_prompt: "Labels"
    by_row: "Labels"
    pairs: list[tuple[int, int]]


def near_duplicates(signatures: Signatures, rows: "Labels") -> NearDuplicates:
    """Find the groups among some rows, and pairs of them; these are numbered as they are given here."""
    import numpy

    found = NearDuplicates(numpy.arange(len(rows)), numpy.arange(len(rows)), [])
    if len(rows) < 2:
        return found
    kept: set[tuple[int, int]] = set()
    for number in range(BANDS):
        _search_band(signatures, rows, number, found, kept)
    found.pairs = sorted(kept)
    return found


def _search_band(
    signatures: Signatures, rows: "Labels", band: int, found: NearDuplicates, kept: set[tuple[int, int]]
) -> None:
    import numpy

    keys = signatures.band(band)[rows]
    order = numpy.argsort(keys, kind="stable")
    keys = keys[order]
    is_first = numpy.ones(len(keys), dtype=bool)
    is_first[1:] = keys[1:] != keys[:-1]
    # Each with the first of its run and with the one before it: a stranger that leads a run parts nobody.
    leaders = numpy.maximum.accumulate(numpy.where(is_first, numpy.arange(len(keys)), 0))
    others = numpy.flatnonzero(~is_first)
    del keys
    alike: list[Labels] = []
    same: list[Labels] = []
    for partners in (leaders[others], others - 1):
        for start in range(0, len(others), COMPARED_AT_ONCE):
            part = slice(start, start + COMPARED_AT_ONCE)
            pairs = numpy.stack([order[partners[part]], order[others[part]]])
            pairs.sort(axis=0)
            new = (found.by_prompt[pairs[0]] != found.by_prompt[pairs[1]]) | (
                found.by_row[pairs[0]] != found.by_row[pairs[1]]
            )
            pairs = pairs[:, new]
            equal = signatures.of(rows[pairs[0]]) == signatures.of(rows[pairs[1]])
            near = equal[:, :PROMPT_HASHES].mean(axis=1) >= PROMPT_SHARE
            answers = near & (equal[:, PROMPT_HASHES:].mean(axis=1) >= ANSWER_SHARE)
            alike.append(pairs[:, near])
            same.append(pairs[:, answers])
            room = PAIRS_KEPT - len(kept)
            kept.update((int(a), int(b)) for a, b in pairs[:, near][:, :room].T)
    found.by_prompt = joined(found.by_prompt, alike)
    found.by_row = joined(found.by_row, same)


def asked_and_answered(conversation: Conversation) -> tuple[str, str]:
    """Return what near duplicates are told by: all that is said before the answer, and the answer.

    What the system says is the same in many rows and makes none a duplicate.
    """
    *before, answer = conversation.messages
    asked = "\n".join(_said(turn) for turn in before if turn.role != "system")
    return asked, _said(answer)


def _said(turn: Message) -> str:
    calls = [f"{call.name} {call.arguments}" for call in turn.tool_calls]
    return "\n".join([turn.content, *calls])
