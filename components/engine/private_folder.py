"""Folders that nobody else can look into or has put anything in: for sockets, compiled kernels, logs."""

import contextlib
import os
import stat
from pathlib import Path

from components.errors import InvalidInput, TunegateError

_OTHERS = 0o077


class NotPrivate(TunegateError):
    """A folder that is to be ours alone is somebody else's, a link, or open to others."""


def make_private(folder: Path) -> None:
    """Make a folder for us alone, or see that the one that stands there is one.

    Raises:
        NotPrivate: See `check_private`.
    """
    folder.parent.mkdir(parents=True, exist_ok=True)
    with contextlib.suppress(FileExistsError):
        folder.mkdir(mode=0o700)
    check_private(folder)


def check_private(folder: Path) -> None:
    """Refuse a folder unless it is ours alone; to be called before anything in it is used.

    The folder itself is looked at, never what a link leads to. That others can't put another one in its
    place is for the one above it to see to: it is ours, or as `/tmp` is. In a pod's volume everybody may do
    that, but nobody else is there.

    Raises:
        FileNotFoundError: There is no such folder.
        NotPrivate: Another user owns it, or could look into it.
    """
    found = folder.lstat()
    mode = stat.S_IMODE(found.st_mode)
    if not stat.S_ISDIR(found.st_mode):
        problem = f"is a {'link' if stat.S_ISLNK(found.st_mode) else 'file'}, wanted a folder"
    elif found.st_uid != os.geteuid():
        problem = f"belongs to somebody else (user {found.st_uid}, wanted {os.geteuid()})"
    elif mode & _OTHERS:
        problem = f"is open to others (mode {mode:04o}, wanted 0700)"
    else:
        return
    raise NotPrivate(
        f"{folder}: {problem}; nothing in it was used. See who made it and remove it, or name a shorter "
        "state directory with TUNEGATE_HOME, which needs no place outside"
    )


def refuse_readable(folder: Path) -> None:
    """Refuse a folder of keys if everybody on this machine can read one of them; a group may.

    Raises:
        InvalidInput: Each file that can be read.
    """
    folder = folder.resolve()
    if not folder.is_dir() or any(
        not place.stat().st_mode & stat.S_IXOTH for place in (folder, *folder.parents)
    ):
        return  # nobody else gets there
    files = [path for path in sorted(folder.iterdir()) if path.name[0] != "." and path.is_file()]
    problems = [
        f"{path.name}: can be read by everybody on this machine; chmod o= {path}"
        for path in files
        if path.stat().st_mode & stat.S_IROTH
    ]
    if problems:
        raise InvalidInput(f"keys in {folder}", problems)
