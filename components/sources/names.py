"""Several sources in one text, which is all that a parameter of Kubeflow Pipelines can be."""

import glob
import os
import re
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path

from components.oci.adapter_images import LAYOUT_PREFIX

SEPARATOR = " + "
_NO_PATH = (OSError, ValueError, RuntimeError)  # too long, a zero in it, ~ of an unknown user
# White space on both sides: no URL has any, and a file's name hardly ever this.
_BETWEEN = re.compile(r"\s+\+\s+")


def split_names(named: str, folder: Path = Path()) -> list[str]:
    """Return the sources that a text names; a path that is there as the whole text says is one.

    Args:
        named: One source, or several with ` + ` between them.
        folder: Where relative paths begin.
    """
    if _is_there(named, folder):
        return [named]
    return [part for part in _BETWEEN.split(named.strip()) if part]


def join_names(names: Sequence[str]) -> str:
    """Return the text that names all of these.

    Raises:
        ValueError: One of several has the separator in its name.
    """
    if unfit := [name for name in names if len(names) > 1 and _BETWEEN.search(name)]:
        raise ValueError(f"{unfit[0]!r} has a + between spaces in its name, which parts two files; rename it")
    return SEPARATOR.join(names)


def absolute(named: str, folder: Path = Path()) -> str:
    """Return the text with every relative path made absolute; URLs stay.

    Args:
        named: As `split_names` takes it.
        folder: Where relative paths begin.
    """
    return SEPARATOR.join(_absolute(part, folder) for part in split_names(named, folder)) if named else ""


def file_name(file: str) -> str:
    """Return the last part of a path or URL."""
    return file.rpartition("/")[2]


def _absolute(name: str, folder: Path) -> str:
    if "://" in name or "\0" in name:  # no path; whoever opens it is told
        return name
    prefix = LAYOUT_PREFIX if name.startswith(LAYOUT_PREFIX) and not _is_there(name, folder) else ""
    try:
        path = str(Path(name.removeprefix(prefix)).expanduser())
        # Of a pattern only what was written is one. Links stay: their names say what their files are.
        is_pattern = glob.has_magic(path) and not _is_there(path, folder)
        base = glob.escape(str(folder)) if is_pattern else str(folder)
        return prefix + os.path.abspath(os.path.join(base, path))  # noqa: PTH100, PTH118  # Path would resolve
    except _NO_PATH:
        return name  # whoever opens it is told


def _is_there(name: str, folder: Path) -> bool:
    with suppress(*_NO_PATH):
        return bool(name.strip()) and (folder / Path(name).expanduser()).exists()
    return False
