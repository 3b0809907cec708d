"""Rows of one prompt whose answers differ by more than case and white space."""

from dataclasses import dataclass

from components.dataset.arrays import Numbers
from components.dataset.row_store import Rows, RowStore

GROUPS_KEPT, ROWS_KEPT = 20, 8


@dataclass(frozen=True)
class Contradictions:
    """Rows in groups of one prompt and several answers.

    Attributes:
        rows: How many there are.
        groups: In how many groups.
        first: The first 20 groups, in the order of the rows; of each its first 8 rows.
    """

    rows: int
    groups: int
    first: list[Rows]


def find_contradictions(store: RowStore, rows: Numbers) -> Contradictions:
    """Find them among some rows of a store, given in their order."""
    count, groups, first = contradicting(store.prompts[rows], store.answers[rows])
    return Contradictions(count, groups, [Rows(store, rows[group[:ROWS_KEPT]]) for group in first])


def contradicting(prompts: Numbers, answers: Numbers) -> tuple[int, int, list[Numbers]]:
    """Find the prompts that have several answers.

    Args:
        prompts: A key of each row's prompt.
        answers: A key of each row's answer.

    Returns:
        How many rows have such a prompt, how many prompts those are, and the indices of the rows of the first
        of them.
    """
    import numpy

    if not len(prompts):
        return 0, 0, []
    order = numpy.argsort(prompts, kind="stable")
    begins = numpy.flatnonzero(numpy.concatenate([[True], numpy.diff(prompts[order]) != 0]))
    ends = numpy.append(begins[1:], len(order))
    sorted_answers = answers[order]
    several = numpy.minimum.reduceat(sorted_answers, begins) != numpy.maximum.reduceat(sorted_answers, begins)
    begins, ends = begins[several], ends[several]
    first = numpy.argsort(order[begins], kind="stable")[:GROUPS_KEPT]
    groups = [order[begins[group] : ends[group]] for group in first]
    return int(numpy.sum(ends - begins)), len(begins), groups
