"""Which files of a folder, or of what a pattern matches, are files of rows."""

import glob
import os
import re
from collections.abc import Collection, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from components.errors import InvalidInput
from components.sources.packing import PACKINGS
from components.web import quoted

ENDINGS = (".jsonl", ".ndjson", ".json", ".csv", ".tsv", ".parquet")
MAX_ENTRIES, MAX_FILES = 100_000, 10_000
# JSON that other tools put beside rows to describe them.
_ABOUT_ROWS = {
    "config.json",
    "croissant.json",
    "dataset_dict.json",
    "dataset_info.json",
    "dataset_infos.json",
    "metadata.json",
    "state.json",
}
_PURPOSES = (
    {"train", "training"},
    {"test", "testing", "eval", "evaluation", "val", "valid", "validation", "dev", "heldout"},
)


@dataclass(frozen=True)
class Found:
    """What there is under a folder or a pattern.

    Attributes:
        files: The files of rows, by name in their order.
        passed_over: The others, and folders that were not looked into.
    """

    files: tuple[str, ...]
    passed_over: tuple[str, ...]


def has_pattern(name: str) -> bool:
    """Tell whether a path is a pattern: has `*`, `?` or `[...]` in it."""
    return glob.has_magic(name)


def find_in_folder(folder: Path) -> Found:
    """Find the files of rows in a folder and in those below it.

    Links to files are followed, those to folders are not, and nothing hidden is looked at.

    Raises:
        InvalidInput: It has none, or too many, or some for training and some that are held out.
        OSError: It can't be looked into.
    """
    return sift(str(folder), list(_entries(folder)), str(folder))


def find_by_pattern(pattern: str) -> Found:
    """Find what a pattern of paths matches; `**` stands for folders however deep.

    Where the pattern says its files' ending, all are files of rows; else those are whose ending says so.

    Raises:
        InvalidInput: It matches no file of rows, or too many.
    """
    paths: dict[str, str] = {}  # by where they really are: links to folders show a file under many names
    for path in glob.iglob(str(Path(pattern).expanduser()), recursive=True):  # noqa: PTH207  # of any root
        place = os.path.realpath(path)
        named = f"{path.rstrip('/')}/" if Path(path).is_dir() else path
        paths[place] = min(named, paths.get(place, named), key=lambda name: (len(name), name))
        _check_count(pattern, paths)
    return sift(pattern, paths.values(), _root(pattern))


def sift(named: str, paths: Iterable[str], root: str) -> Found:
    """Part the files of rows from the others.

    Args:
        named: The folder or pattern that they were found under.
        paths: What was found; folders end with a slash.
        root: What the paths have in common: it says nothing of them.

    Raises:
        InvalidInput: There is none, there are too many, or some are for training and some are held out.
    """
    last = named.rpartition("/")[2]
    says_ending = has_pattern(last) and bool(re.search(r"\.\w+$", last))
    files, others = list[str](), list[str]()
    for path in sorted(set(paths)):
        wanted = not path.endswith("/") and (says_ending or is_rows(PurePosixPath(path)))
        # What a program keeps for itself lies so: a notebook's checkpoints, the log of a Delta table.
        parts = path.removeprefix(root).split("/")
        wanted = wanted and not any(part.startswith(".") or part == "_delta_log" for part in parts)
        (files if wanted else others).append(path)
    if not files:
        raise InvalidInput(named, [_none(named, others)])
    if len(files) > MAX_FILES:
        raise InvalidInput(named, [f"is {len(files):,} files, at most {MAX_FILES:,} are read; join them"])
    if not says_ending:
        _check_purpose(named, files, root)
    return Found(tuple(files), tuple(others))


def is_rows(file: PurePosixPath) -> bool:
    """Tell by its name whether a file in a folder holds rows."""
    if file.name.startswith(".") or file.name.lower() in _ABOUT_ROWS:
        return False
    endings = [ending.lower() for ending in file.suffixes]
    packed = bool(endings) and endings[-1] in PACKINGS
    if packed and endings[-1] == ".zip":  # whose one file has a name of its own
        return True
    ending = endings[-2:-1] if packed else endings[-1:]
    return not {*ENDINGS}.isdisjoint(ending)


def _entries(folder: Path) -> Iterator[str]:
    def fail(error: OSError) -> None:
        raise error

    count = 0
    for place, folders, files in os.walk(folder, onerror=fail):
        count += len(folders) + len(files)
        if count > MAX_ENTRIES:
            raise InvalidInput(
                str(folder), [f"has more than {MAX_ENTRIES:,} entries; name the files by a pattern"]
            )
        unseen = [name for name in folders if name.startswith(".") or Path(place, name).is_symlink()]
        yield from (f"{place}/{name}/" for name in unseen)
        yield from (f"{place}/{name}" for name in files)
        folders[:] = sorted(set(folders) - set(unseen))


def _check_count(pattern: str, paths: Collection[str]) -> None:
    if len(paths) > MAX_ENTRIES:
        raise InvalidInput(pattern, [f"matches more than {MAX_ENTRIES:,} files; name fewer"])


def _none(named: str, others: list[str]) -> str:
    wanted = f"wanted {', '.join(ENDINGS)}, packed or not"
    if not others:
        return f"matches no file; {wanted}" if has_pattern(named) else f"is a folder without files; {wanted}"
    names = quoted(", ".join(PurePosixPath(other).name for other in others[:3]))
    return f"has no file of rows ({names}{', ...'[: 5 * (len(others) > 3)]}); {wanted}"


def _check_purpose(named: str, files: list[str], root: str) -> None:
    """Refuse to train on what its own name holds out."""
    training, held_out = ([file for file in files if _words(file, root) & names] for names in _PURPOSES)
    if training and held_out:
        raise InvalidInput(
            named,
            [
                f"has files for training ({quoted(training[0])}) and files that are held out "
                f"({quoted(held_out[0])}); name "
                "the first by a pattern such as train*.jsonl as dataset, the others as eval_dataset"
            ],
        )


def _words(file: str, root: str) -> set[str]:
    return set(re.split(r"[^a-z]+", file.removeprefix(root).lower()))


def _root(pattern: str) -> str:
    """Return the folders of a pattern that are not part of it."""
    return re.split(r"[*?\[]", str(Path(pattern).expanduser()), maxsplit=1)[0].rpartition("/")[0]
