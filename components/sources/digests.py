"""What files hold, as a short text: whether they hold what they did when a run was started."""

import hashlib
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from components.errors import InvalidInput
from components.sources.content import open_source
from components.sources.expand import check_all, expanded
from components.web import quoted, shown

# A parameter is short: of more files than this, only their number is told beside the digest of all.
MARKED_FILES, MARK_CHARACTERS = 32, 8


@dataclass(frozen=True)
class Contents:
    """What the files of one parameter hold.

    Attributes:
        names: The files, as anybody may read their names, in the order in which they are read.
        digests: The `sha256:...` of what each holds, unpacked.
    """

    names: tuple[str, ...]
    digests: tuple[str, ...]

    @property
    def digest(self) -> str:
        """The digest of all: of one file its own; of several one over theirs, with a mark of each behind it.

        The marks, or of many files their number, say which file is another when the digest is.
        """
        if len(self.digests) < 2:
            return "".join(self.digests)
        whole = hashlib.sha256("\n".join(self.digests).encode()).hexdigest()
        marks = ",".join(map(_mark, self.digests)) if len(self.digests) <= MARKED_FILES else len(self.digests)
        return f"sha256:{whole}/{marks}"


def read_contents(named: str, limit_bytes: int) -> Contents:
    """Read all files that a parameter names for their digests.

    Args:
        named: As `components.sources.expand.expanded` takes it; empty: there are none.
        limit_bytes: The most for all of them.

    Raises:
        InvalidInput: What is wrong with any of them.
    """
    read, refused, count = list[tuple[str, str]](), list[InvalidInput](), 0
    with expanded(named, limit_bytes) as files:
        for source in files.sources:
            try:
                with open_source(source, limit_bytes, count) as content:
                    while content.read():
                        pass
                    count += content.count
                    read.append((source.shown, content.digest))
            except InvalidInput as error:
                refused.append(error)
    check_all(named, refused)
    return Contents(tuple(name for name, _ in read), tuple(digest for _, digest in read))


def read_parameters(named: Mapping[str, str], limit_bytes: int, problems: list[str]) -> dict[str, Contents]:
    """Read what several parameters name, for their digests.

    Args:
        named: What each parameter says, as `read_contents` takes it.
        limit_bytes: The most for the files of one.
        problems: What is wrong with any file is added to it.

    Returns:
        What could be read, by parameter.
    """
    found = {}
    for key, text in named.items():
        try:
            found[key] = read_contents(text, limit_bytes)
        except InvalidInput as error:
            problems += [f"{key} {shown(text)}: {problem}" for problem in error.problems]
    return found


def joined(contents: Sequence[Contents]) -> str:
    """Return the digests of several parameters as one text; one that names no file is left out."""
    return "+".join(one.digest for one in contents if one.digests)


def changes(contents: Sequence[Contents], wanted: str) -> list[str]:
    """Return what is to be said of files that hold something else than they should.

    Args:
        contents: What the files of each parameter hold, as they were read now.
        wanted: `joined` digests of what they held when the run was started; empty where any content is
            right, as for a scheduled run, which is to take what is new.
    """
    if not wanted:
        return []
    read = [one for one in contents if one.digests]
    then = wanted.split("+")
    if len(then) != len(read):
        return [
            f"dataset_digest: got {quoted(wanted)!r}, wanted one sha256:... for each of {len(read)} "
            f"parameter{'s'[: len(read) != 1]}, joined by +; leave it empty, and it is filled in"
        ]
    return [problem for now, before in zip(read, then, strict=True) for problem in _changes(now, before)]


def _changes(now: Contents, wanted: str) -> list[str]:
    if now.digest == wanted:
        return []
    next_step = "if what it holds now is right, start again with dataset_digest empty"
    marks = _marks(wanted)
    count = len(marks) if isinstance(marks, list) else marks
    if count != len(now.digests):
        first = f"{now.names[0]}{' and those with it' * (len(now.names) > 1)}"
        return [
            f"{first}: {_files(len(now.names))} now, and {_files(count)} when this run was started; "
            f"{next_step}"
        ]
    if count == 1:
        return [
            f"{now.names[0]}: has changed since this run was started: it holds {now.digest}, and "
            f"dataset_digest says {wanted}; {next_step}"
        ]
    marked = zip(now.names, now.digests, marks if isinstance(marks, list) else [""] * count, strict=True)
    changed = [
        f"{name}: has changed since this run was started: it holds {digest}, and dataset_digest says "
        f"sha256:{mark}...; {next_step}"
        for name, digest, mark in marked
        if mark and mark != _mark(digest)
    ]
    return changed or [
        f"{now.names[0]} and those with it: one or more of the {count:,} files have changed since this run "
        f"was started: all together are {now.digest}, and dataset_digest says {wanted}; {next_step}"
    ]


def _mark(digest: str) -> str:
    return digest.removeprefix("sha256:")[:MARK_CHARACTERS]


def _marks(wanted: str) -> list[str] | int:
    """Return the marks of the files that a digest is of, or how many these were."""
    marks = wanted.partition("/")[2]
    if not marks:
        return 1
    return int(marks) if re.fullmatch("[0-9]{1,6}", marks) else marks.split(",")


def _files(count: int) -> str:
    return f"{count:,} file{'s'[: count != 1]}"
