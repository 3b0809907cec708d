"""What near duplicates mean for a train and an eval set: how many there are, and some of them."""

from dataclasses import dataclass

from components.dataset.arrays import Numbers
from components.dataset.checks.near import NearDuplicates
from components.dataset.row_store import Row, RowStore

PAIRS_SHOWN = 20


@dataclass(frozen=True)
class Nearly:
    """Rows that are nearly the same.

    Attributes:
        duplicates: Training rows that ask and answer nearly what an earlier one does.
        leaks: Training rows that ask nearly what is held out.
        pairs: The first 20 pairs of them.
        more: How many pairs more were noted.
    """

    duplicates: int = 0
    leaks: int = 0
    pairs: tuple[tuple[Row, Row], ...] = ()
    more: int = 0


def count_nearly(store: RowStore, rows: Numbers, is_held_out: Numbers, near: NearDuplicates) -> Nearly:
    """Count near duplicates.

    Args:
        store: Where the rows are.
        rows: Which of them were compared, in the order of the labels.
        is_held_out: For each of these, whether it is held out.
        near: What was found.
    """
    import numpy

    trained = ~is_held_out
    asked = numpy.unique(near.by_prompt[is_held_out])
    pairs = [
        (first, second)
        for first, second in near.pairs
        if is_held_out[first] != is_held_out[second]
        or (trained[first] and near.by_row[first] == near.by_row[second])
    ]
    return Nearly(
        duplicates=int(trained.sum()) - len(numpy.unique(near.by_row[trained])),
        leaks=int(numpy.isin(near.by_prompt[trained], asked).sum()),
        pairs=tuple(
            (store.row(int(rows[first])), store.row(int(rows[second])))
            for first, second in pairs[:PAIRS_SHOWN]
        ),
        more=max(0, len(pairs) - PAIRS_SHOWN),
    )
