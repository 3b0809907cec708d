"""Whether files hold what they did when a run was started."""

from collections.abc import Sequence

from components.web import shown


def joined(digests: Sequence[str]) -> str:
    """Return the digests of several files as one text; empty if one is missing, as it says nothing then."""
    return "+".join(digests) if all(digests) else ""


def changes(names: Sequence[str], found: Sequence[str], wanted: str) -> list[str]:
    """Return what is to be said of files that hold something else than they should.

    Args:
        names: The files; those without a name were not asked for.
        found: The digest of each as it was read now.
        wanted: `joined` digests of what they held when the run was started; empty where any content is
            right, as for a scheduled run, which is to take what is new.
    """
    if not wanted:
        return []
    read = [(shown(name), digest) for name, digest in zip(names, found, strict=True) if name]
    then = wanted.split("+")
    if len(then) != len(read):
        return [
            f"dataset_digest: got {wanted!r}, wanted one sha256:... for each of {len(read)} files, joined by "
            "+; leave it empty, and it is filled in"
        ]
    return [
        f"{name}: has changed since this run was started: it holds {now}, and dataset_digest says {before}; "
        "if what it holds now is right, start again with dataset_digest empty"
        for (name, now), before in zip(read, then, strict=True)
        if now != before
    ]
