"""A temporary directory for one engine alone, gone with it.

vLLM leaves the files and sockets over which its processes find each other in the temporary directory,
for good.
"""

import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from components.engine.private_folder import make_private

# Names the directory. A killed engine can't remove it, so whoever starts it again under this name does.
FOLDER_VARIABLE = "TUNEGATE_ENGINE_TMP"
# What the names of sockets in it may need, of the 107 bytes that the path of a socket may have.
SOCKET_NAME_BYTES = 36
_LONGEST_SHARED = 107 - len("/") - SOCKET_NAME_BYTES - len("/tunegate-12345678")
_KERNELS = "TORCHINDUCTOR_CACHE_DIR"


@contextmanager
def scratch_folder() -> Iterator[Path]:
    """Let this process, and those that it starts, use a temporary directory that ends with the block.

    It is the one that `TUNEGATE_ENGINE_TMP` names, emptied first; else a new one.

    Raises:
        NotPrivate: The one that is named, or that of compiled kernels, is not ours alone.
    """
    shared, cached = tempfile.gettempdir(), tempfile.tempdir
    before = {name: os.environ.get(name) for name in ("TMPDIR", _KERNELS)}
    folder = _emptied(os.environ.get(FOLDER_VARIABLE), shared)
    if _KERNELS not in os.environ:
        # What torch has compiled is there to be found at the next start. Torch's own folder in a shared
        # directory may be anybody's, and what is in it is run.
        kernels = Path(shared) / f"tunegate-kernels-{os.geteuid()}"
        make_private(kernels)
        os.environ[_KERNELS] = str(kernels)
    os.environ["TMPDIR"] = tempfile.tempdir = str(folder)
    try:
        yield folder
    finally:
        tempfile.tempdir = cached
        for name, value in before.items():
            os.environ.pop(name, None)
            if value is not None:
                os.environ[name] = value
        shutil.rmtree(folder, ignore_errors=True)


def _emptied(named: str | None, shared: str) -> Path:
    if not named:
        is_short = len(os.fsencode(shared)) <= _LONGEST_SHARED
        return Path(tempfile.mkdtemp(prefix="tunegate-", dir=shared if is_short else "/tmp"))
    folder = Path(named)
    make_private(folder)  # or one that an engine has left: seen to be ours before it is emptied
    shutil.rmtree(folder)
    folder.mkdir(mode=0o700)
    return folder
