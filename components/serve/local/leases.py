"""Leases on this machine: a file of the state directory is held, and what is intended stands beside it."""

import os
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import IO

from components.serve.lease import Intent, Lease, LeaseLost, Unfinished, read_intent, taken, waits_for
from components.storage import Taken, atomic_write, holder_of, holding

POLL_S = 0.2
LOCK_SUFFIX, INTENT_SUFFIX = ".lock", ".json"


class LocalLease(Lease):
    """A lease that ends with this process; it is lost only if the state directory is taken away.

    Args:
        file: What is held.
        path: Where it stands.
        model_name: Whose it is.
    """

    def __init__(self, file: IO[str], path: Path, model_name: str) -> None:
        self._file, self._path, self._model_name = file, path, model_name
        self._intent_path = path.with_suffix(INTENT_SUFFIX)

    def require_held(self) -> None:
        """Make sure that what others would lock is still the file that we hold."""
        try:
            is_ours = os.path.samestat(os.fstat(self._file.fileno()), self._path.stat())
        except FileNotFoundError:
            is_ours = False
        if not is_ours:
            raise LeaseLost(f"{self._path} was taken away while it was held: nothing more is moved")

    def intent(self) -> Intent | None:
        """Return what was begun and is not over."""
        return _read(self._intent_path, self._model_name)

    def intend(self, intent: Intent | None) -> None:
        """Write down what is to be moved, whole or not at all."""
        self.require_held()
        if intent is None:
            self._intent_path.unlink(missing_ok=True)
            return
        with atomic_write(self._intent_path) as file:
            file.write(intent.model_dump_json(indent=2).encode())


class LocalLeases:
    """The leases of one state directory.

    Args:
        folder: Where they stand.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    @contextmanager
    def hold(
        self, model_name: str, holder: str, say: Callable[[str], None], wait_s: float
    ) -> Iterator[Lease]:
        """Hold the lease of a model name; see `Backend.lease`."""
        path, began, waited_for = self._path(model_name, LOCK_SUFFIX), time.monotonic(), ""
        who = f"{holder} since {time.strftime('%Y-%m-%d %H:%M:%S')}"
        with ExitStack() as stack:
            while True:
                try:
                    file = stack.enter_context(holding(path, who))
                    break
                except Taken as error:
                    waited_s = time.monotonic() - began
                    if waited_s >= wait_s:
                        raise taken(model_name, error.by, waited_s) from None
                    if error.by != waited_for:
                        say(waits_for(model_name, error.by))
                        waited_for = error.by
                time.sleep(POLL_S)
            yield LocalLease(file, path, model_name)

    def unfinished(self, model_name: str) -> Unfinished | None:
        """Return what was begun and is not over, and who is at it; nothing is locked for that."""
        path = self._path(model_name, INTENT_SUFFIX)
        while intent := _read(path, model_name):
            holder = holder_of(self._path(model_name, LOCK_SUFFIX))
            if holder or _read(path, model_name) == intent:  # else somebody has just ended, or begun
                return Unfinished(intent, holder)
        return None

    def _path(self, model_name: str, suffix: str) -> Path:
        return self._folder / f"{model_name}{suffix}"


def _read(path: Path, model_name: str) -> Intent | None:
    try:
        return read_intent(path.read_bytes(), model_name, str(path))
    except FileNotFoundError:
        return None
