"""Rows that belong together: labels that are joined by what rows share."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import numpy
    from numpy.typing import NDArray

    Labels = NDArray[numpy.int64]


def joined(labels: "Labels", pairs: "Sequence[Labels]") -> "Labels":
    """Give one label to all groups that pairs of rows connect: that of the earliest row.

    Args:
        labels: The number of the earliest row in the group of each row.
        pairs: Numbers of rows, two lines each.
    """
    if not any(pair.size for pair in pairs):
        return labels
    import numpy
    from scipy.sparse import coo_array
    from scipy.sparse.csgraph import connected_components

    edges = labels[numpy.concatenate(pairs, axis=1)]
    rows = len(labels)
    graph = coo_array((numpy.ones(edges.shape[1], dtype=bool), (edges[0], edges[1])), shape=(rows, rows))
    _, component = connected_components(graph, directed=False)
    earliest = numpy.full(component.max() + 1, rows, dtype=numpy.int64)
    numpy.minimum.at(earliest, component, numpy.arange(rows))
    together: Labels = earliest[component[labels]]
    return together


def sharing(labels: "Labels", keys: "NDArray[numpy.uint64]") -> "Labels":
    """Join the groups of rows that have one key; rows with 0 share nothing by it."""
    import numpy

    order = numpy.argsort(keys, kind="stable")
    same = (keys[order][1:] == keys[order][:-1]) & (keys[order][1:] != 0)
    return joined(labels, [numpy.stack([order[:-1][same], order[1:][same]])])
