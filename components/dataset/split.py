"""Say which rows are held out: by prompt, and with them what belongs together."""

import hashlib
from collections.abc import Sequence

from components.dataset.checks.groups import sharing

# How far a group of several prompts may go beyond what is wanted, so that a large one does not take it all.
OVERSHOOT = 1.25


def held_out_of(
    prompts: Sequence[str],
    eval_fraction: float,
    seed: int,
    labels: Sequence[int] | None = None,
    groups: Sequence[str] | None = None,
) -> list[bool]:
    """Return for each row whether it is held out.

    Rows of one prompt, of one label or of one group are on one side. They are held out in the order of a
    seeded hash, so that a row added later does not move the others.

    Args:
        prompts: The prompt of each row.
        eval_fraction: The share of rows that is wanted.
        seed: Another one gives another order.
        labels: The number of the earliest row that each row is nearly the same as, or its own.
        groups: What each row belongs to; empty: to nothing.
    """
    import numpy

    together = numpy.arange(len(prompts)) if labels is None else numpy.array(labels, dtype=numpy.int64)
    for keys in (prompts, groups or ()):
        together = sharing(together, keys)
    members: dict[int, list[int]] = {}
    for row, label in enumerate(together.tolist()):
        members.setdefault(label, []).append(row)

    def place(rows: list[int]) -> bytes:
        return hashlib.sha256(f"{seed} {min(prompts[row] for row in rows)}".encode()).digest()

    wanted, count, left = round(len(prompts) * eval_fraction), 0, list[list[int]]()
    held_out = [False] * len(prompts)
    for rows in sorted(members.values(), key=place):
        if count >= wanted:
            break
        is_several = len({prompts[row] for row in rows}) > 1
        if is_several and count + len(rows) > OVERSHOOT * wanted:
            left.append(rows)
            continue
        count += len(rows)
        for row in rows:
            held_out[row] = True
    smallest = min(left, key=len, default=[])
    if count < wanted / 2 and count + len(smallest) < len(prompts):
        for row in smallest:
            held_out[row] = True
    return held_out
