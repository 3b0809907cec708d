"""Say which rows are held out: by prompt, and with them what belongs together."""

from components.dataset.arrays import Numbers
from components.dataset.checks.groups import sharing

# How far a group may go beyond what is wanted, so that a large one does not take it all: one of several
# prompts with those taken before it, the rows of one prompt by themselves.
OVERSHOOT = 1.25


def held_out_of(
    prompts: Numbers, eval_fraction: float, labels: "Numbers | None" = None, groups: "Numbers | None" = None
) -> Numbers:
    """Return for each row whether it is held out.

    Rows of one prompt, of one label or of one group are on one side. They are held out in the order of their
    prompts' seeded keys, so that a row added later does not move the others. What is too large for the share
    that is wanted is trained on; of such groups alone, the smallest is held out.

    Args:
        prompts: A key of the prompt of each row.
        eval_fraction: The share of rows that is wanted.
        labels: The number of the earliest row that each row is nearly the same as, or its own.
        groups: A key of what each row belongs to; 0: to nothing.
    """
    import numpy

    rows = len(prompts)
    together = numpy.arange(rows) if labels is None else labels
    for shared in (prompts, groups):
        together = together if shared is None else sharing(together, shared)
    order = numpy.lexsort((prompts, together))
    begins = numpy.flatnonzero(numpy.diff(together[order], prepend=-1))
    sizes = numpy.diff(begins, append=rows)
    sorted_prompts = prompts[order]
    lowest, highest = sorted_prompts[begins], sorted_prompts[begins + sizes - 1]

    wanted, count = round(rows * eval_fraction), 0
    taken, left = list[int](), list[int]()
    for group in map(int, numpy.argsort(lowest, kind="stable")):
        if count >= wanted:
            break
        size = int(sizes[group])
        before = count if lowest[group] != highest[group] else 0
        if before + size > OVERSHOOT * wanted:
            left.append(group)
        else:
            taken.append(group)
            count += size
    smallest = min(left, key=lambda group: int(sizes[group]), default=None)
    if smallest is not None and count < wanted / 2 and count + sizes[smallest] < rows:
        taken.append(smallest)
    is_taken = numpy.zeros(len(begins), dtype=bool)
    is_taken[taken] = True
    held_out = numpy.empty(rows, dtype=bool)
    held_out[order] = numpy.repeat(is_taken, sizes)
    return held_out
