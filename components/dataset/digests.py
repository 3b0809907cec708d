"""Whether the files are those that the run was started with."""

from components.dataset.judge import DatasetConfig
from components.dataset.load import display_name


def changes(config: DatasetConfig, *read: str) -> list[str]:
    """Return what is to be said of files that have changed since the run was started.

    Args:
        config: Names them and, in `dataset_digest`, what they held; where that is empty, as in a scheduled
            run, which is to take what is new, any content is right.
        read: The digest of each file as it was read; empty for one that was not asked for.
    """
    if not config.dataset_digest:
        return []
    names = [display_name(name) for name in config.files if name]
    found = [digest for digest in read if digest]
    wanted = config.dataset_digest.split("+")
    if len(wanted) != len(found):
        return [
            f"dataset_digest: got {config.dataset_digest!r}, wanted one sha256:... for each of "
            f"{len(found)} files, joined by +; leave it empty, and it is filled in"
        ]
    return [
        f"{name}: has changed since this run was started: it holds {now}, and dataset_digest says {then}; "
        "start the run again if what it holds now is right"
        for name, now, then in zip(names, found, wanted, strict=True)
        if now != then
    ]
