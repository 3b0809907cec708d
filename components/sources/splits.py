"""Which files of a dataset on the hub are a split of it, by its own description; none of its code is run."""

import re
from dataclasses import dataclass
from pathlib import PurePosixPath
from typing import Any
from urllib.parse import parse_qsl

from components.errors import InvalidInput
from components.sources.address import Source
from components.sources.content import open_source
from components.sources.failures import explain
from components.sources.folders import Found, has_pattern, is_rows
from components.web import quoted

WANTED = "hf://ORG/NAME[@REVISION]?split=SPLIT, with &config=NAME where it has several"
MAX_DESCRIPTION_BYTES = 4 << 20


@dataclass(frozen=True)
class Split:
    """A split as it was asked for.

    Attributes:
        repository: `org/name`.
        revision: A branch, tag or commit; empty: the main branch.
        config: Which of several sets in one dataset; empty: its default.
        split: Its name; empty: the only one.
    """

    repository: str
    revision: str = ""
    config: str = ""
    split: str = ""


def split_of(source: Source) -> Split | None:
    """Return the split that an address names; None for one of a file or folder.

    Raises:
        InvalidInput: It asks for something that no split has.
    """
    path, asks, query = source.target.removeprefix("hf://").partition("?")
    parts = path.removeprefix("datasets/").split("/")
    if len(parts) != 2 or not all(parts) or (not asks and is_rows(PurePosixPath(path))):
        return None
    asked = parse_qsl(query, keep_blank_values=True)
    unknown = [name for name, _ in asked if name not in ("split", "config")]
    if unknown or len(dict(asked)) < len(asked):
        names = quoted(", ".join(sorted({name for name, _ in asked})))
        raise InvalidInput(
            source.shown, [f"asks for {names}, wanted each of split and config once: {WANTED}"]
        )
    name, _, revision = parts[1].partition("@")
    given = dict(asked)
    return Split(f"{parts[0]}/{name}", revision, given.get("config", ""), given.get("split", ""))


def find_split(source: Source, split: Split) -> Found:
    """Find the files of a split, as addresses of one commit.

    Raises:
        InvalidInput: There is no such dataset, config or split, or the hub can't be asked.
    """
    try:
        return _find(source, split)
    except Exception as error:
        raise explain(source, error) from None


def _find(source: Source, split: Split) -> Found:
    from datasets.data_files import (
        EmptyDatasetError,
        get_data_patterns,
        resolve_pattern,
        sanitize_patterns,
    )
    from huggingface_hub import HfApi

    commit = HfApi().dataset_info(split.repository, revision=split.revision or None).sha
    folder = f"hf://datasets/{split.repository}@{commit}"
    described = _described(source, folder, split.config)
    try:
        patterns = sanitize_patterns(described) if described is not None else get_data_patterns(folder)
    except EmptyDatasetError:
        raise InvalidInput(source.shown, ["has no files of rows"]) from None
    named = _chosen(source, "split", split.split, {str(name): value for name, value in patterns.items()})
    for pattern in named:
        if "://" in str(pattern) or PurePosixPath(pattern).is_absolute() or ".." in str(pattern).split("/"):
            raise InvalidInput(
                source.shown, [f"its description names files elsewhere ({quoted(str(pattern))}); refused"]
            )
    found = set[str]()
    for pattern in named:
        try:
            found |= set(map(str, resolve_pattern(pattern, folder)))
        except (
            FileNotFoundError
        ):  # of several patterns some may match nothing; a file that is named is missed
            if not has_pattern(str(pattern)):
                raise InvalidInput(
                    source.shown, [f"describes {quoted(str(pattern))}, but has no such file"]
                ) from None
    files = tuple(path for path in sorted(found) if is_rows(PurePosixPath(path)))
    if not files:
        names = quoted(", ".join(PurePosixPath(path).name for path in sorted(found)[:3]))
        raise InvalidInput(source.shown, [f"has no file of rows in that split ({names or 'no file'})"])
    return Found(files, tuple(path for path in sorted(found) if path not in files))


def _described(source: Source, folder: str, config: str) -> Any:
    """Return which files are which split by the dataset's card; None where that says nothing."""
    from datasets.utils.metadata import MetadataConfigs
    from fsspec.core import url_to_fs
    from huggingface_hub import DatasetCard

    card = f"{folder}/README.md"
    store, path = url_to_fs(folder)
    configs = {}
    if f"{path}/README.md" in store.find(path):  # all of it at once, which what follows finds in its cache
        with open_source(card, MAX_DESCRIPTION_BYTES) as file:
            text = b"".join(iter(file.read, b"")).decode("utf-8", "replace")
        _refuse_aliases(text, source)
        try:
            configs = MetadataConfigs.from_dataset_card_data(
                DatasetCard(text, ignore_metadata_errors=True).data
            )
        except (ValueError, TypeError, AttributeError, KeyError, RecursionError) as error:
            raise InvalidInput(
                source.shown, [f"its README.md does not describe it properly: {quoted(str(error))}"]
            ) from None
    configs = {name: value for name, value in configs.items() if "data_files" in value}
    if not configs and config not in ("", "default"):
        raise InvalidInput(source.shown, [f"has no config {quoted(config)!r}, as it describes none"])
    if not configs:
        return None
    default = [name for name, value in configs.items() if value.get("default") or name == "default"]
    return _chosen(source, "config", config or "".join(default[:1]), configs)["data_files"]


def _refuse_aliases(text: str, source: Source) -> None:
    """Refuse a description that stands for more than it says: a few lines of aliases fill any memory."""
    import yaml

    head = re.match(r"\s*---[ \t]*\r?\n(.*?)\r?\n---", text, re.DOTALL)
    try:
        has_aliases = head and any(isinstance(event, yaml.AliasEvent) for event in yaml.parse(head[1]))
    except yaml.YAMLError:
        return  # which is told by whoever reads it
    if has_aliases:
        raise InvalidInput(source.shown, ["its README.md describes it with YAML aliases, which are not read"])


def _chosen(source: Source, kind: str, wanted: str, there_are: dict[str, Any]) -> Any:
    """Return one of several by its name, or the only one where none is named.

    Raises:
        InvalidInput: There is none of that name, or there are several and none is named.
    """
    name = wanted or (next(iter(there_are)) if len(there_are) == 1 else "")
    if name in there_are:
        return there_are[name]
    names = quoted(", ".join(sorted(there_are))) or "none"
    said = (
        f"has no {kind} {quoted(wanted)!r}" if wanted else f"has several {kind}s and ?{kind}=... names none"
    )
    raise InvalidInput(source.shown, [f"{said}; there are: {names}"])
