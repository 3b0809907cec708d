"""Every file that a parameter names: several sources, patterns, folders, splits of the hub, images."""

import os
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from tempfile import TemporaryDirectory

from components.errors import InvalidInput, TunegateError
from components.oci.adapter_images import LAYOUT_PREFIX
from components.oci.data_images import REGISTRY_PREFIX, pull_data
from components.sources.address import STORES, Source, parse_source
from components.sources.failures import explain
from components.sources.folders import Found, find_by_pattern, find_in_folder, has_pattern, sift
from components.sources.names import split_names
from components.sources.splits import find_split, split_of
from components.sources.stores import list_store, names_several
from components.web import quoted, shown

NOT_READ_SHOWN = 5


@dataclass(frozen=True)
class Files:
    """What a parameter names.

    Attributes:
        sources: What is to be opened, in the order in which it is read: as the parameter names them, and
            by name within a folder, a pattern, a split or an image.
        passed_over: What stands in the same folders and is not read, as its name says of no rows.
    """

    sources: tuple[Source, ...]
    passed_over: tuple[str, ...] = ()

    @property
    def not_read(self) -> str:
        """Say what is passed over; empty where nothing is."""
        if not self.passed_over:
            return ""
        more = len(self.passed_over) - NOT_READ_SHOWN
        names = quoted(", ".join(self.passed_over[:NOT_READ_SHOWN]))
        return f"not read, as no files of rows: {names}{f' and {more:,} more' if more > 0 else ''}"


@contextmanager
def expanded(named: str, limit_bytes: int) -> Iterator[Files]:
    """Find every file that a parameter names; what had to be fetched for that is kept until the end.

    Args:
        named: One source, or several with ` + ` between them: a path, a pattern of paths, a folder, a URL,
            `s3://bucket/folder/`, `s3://bucket/*.parquet`, `hf://org/name?split=train`,
            `oci://host/name:tag` or `oci:<layout directory>`; empty names none.
        limit_bytes: The most that all of them may take.

    Raises:
        InvalidInput: One of them is not there, is named twice, or can't be looked into; all that is wrong
            is told.
    """
    with ExitStack() as kept:
        sources, passed_over, refused = list[Source](), list[str](), list[InvalidInput]()
        images = _Images(limit_bytes, kept)
        for name in split_names(named) if named else []:
            try:
                found = _expand(name, images)
            except InvalidInput as error:
                refused.append(error)
                continue
            sources += found.sources
            passed_over += found.passed_over
        if named and not sources and not refused:
            refused.append(InvalidInput(repr(named), ["names nothing; wanted a path or a URL"]))
        refused += _named_twice(sources)
        check_all(named, refused)
        yield Files(tuple(sources), tuple(shown(name) for name in passed_over))


def check_all(named: str, refused: list[InvalidInput]) -> None:
    """Raise what is wrong with the files of one parameter as one error.

    Args:
        named: What the parameter says.
        refused: What is wrong.

    Raises:
        InvalidInput: There is something; the only one is raised as it is.
    """
    if len(refused) == 1:
        raise refused[0]
    if refused:
        told = [f"{error.what}: {problem}" for error in refused for problem in error.problems]
        raise InvalidInput(shown(named), told)


def _expand(name: str, images: "_Images") -> Files:
    if name.startswith(LAYOUT_PREFIX) and not name.startswith(REGISTRY_PREFIX):
        return images.expand(Source("oci", name, name, PurePosixPath(name)))
    source = parse_source(name)
    if source.scheme == "oci":
        return images.expand(source)
    if not source.scheme:
        return _expand_path(source)
    if source.scheme == "hf" and (split := split_of(source)):
        return _listed(find_split(source, split))
    if source.scheme in STORES and names_several(source):
        return _listed(list_store(source))
    return Files((source,))


def _expand_path(source: Source) -> Files:
    try:
        path = Path(source.target).expanduser()
        if path.is_dir():
            return _files(find_in_folder(path))
        if not path.exists() and has_pattern(source.target):
            return _files(find_by_pattern(source.target))
    except (OSError, RuntimeError, ValueError) as error:  # ~ of an unknown user, a zero in the name
        raise explain(source, error) from None
    return Files((source,))


def _files(found: Found) -> Files:
    paths = tuple(Source("", path, path, PurePosixPath(path)) for path in found.files)
    return Files(paths, found.passed_over)


class _Images:
    """Fetches the images of one parameter, which share its limit.

    Args:
        limit_bytes: The most that all of them may take.
        kept: Keeps their files until the end.
    """

    def __init__(self, limit_bytes: int, kept: ExitStack) -> None:
        self._limit_bytes, self._kept, self._used_bytes = limit_bytes, kept, 0

    def expand(self, source: Source) -> Files:
        """Fetch an image, and find the files of rows under its /data."""
        try:
            with ExitStack() as fetched:  # what fails leaves nothing behind while others are fetched
                folder = Path(fetched.enter_context(TemporaryDirectory(prefix="tunegate-image-"))) / "data"
                folder.mkdir()
                self._used_bytes += pull_data(source.target, folder, self._limit_bytes, self._used_bytes)
                self._kept.push(fetched.pop_all())
        except InvalidInput:
            raise
        except TunegateError as error:
            raise InvalidInput(source.shown, [str(error)]) from None
        except OSError as error:
            raise explain(source, error) from None
        place = f"{source.shown}/data"
        names = [f"{place}/{path.relative_to(folder)}" for path in folder.rglob("*") if path.is_file()]
        found = sift(place, names, place)
        return Files(
            tuple(
                Source("", f"{folder}{name.removeprefix(place)}", quoted(shown(name)), PurePosixPath(name))
                for name in found.files
            ),
            found.passed_over,
        )


def _listed(found: Found) -> Files:
    return Files(tuple(parse_source(address) for address in found.files), found.passed_over)


def _named_twice(sources: list[Source]) -> list[InvalidInput]:
    seen, twice = set[str](), dict[str, str]()
    for source in sources:
        # A file of an image has a place of its own each time; its name is the image's.
        fetched = source.shown.startswith(LAYOUT_PREFIX)
        place = (
            source.target if source.scheme else source.shown if fetched else os.path.realpath(source.target)
        )
        if place in seen:
            twice[place] = source.shown
        seen.add(place)
    return [InvalidInput(what, ["is named more than once; name it once"]) for what in twice.values()]
