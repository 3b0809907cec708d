"""Work that a process of its own does: what that needs is loaded there, while this process goes on."""

import importlib
import os
import pickle
import subprocess
import sys
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from types import TracebackType
from typing import Any, ParamSpec, TypeVar

from components.errors import TunegateError

P = ParamSpec("P")
T = TypeVar("T")
_ANSWER = (
    # Ctrl-C is for the process that asks, which ends this one.
    "import signal; signal.signal(signal.SIGINT, signal.SIG_IGN); "
    "from components.dataset.beside import answer; answer()"
)


class Beside:
    """Calls functions, one after the other, in a process that has been loading modules meanwhile.

    A process that has the modules already calls them itself. To be used with `with`.

    Args:
        modules: What takes long to load.
    """

    def __init__(self, *modules: str) -> None:
        self._asking = ThreadPoolExecutor(1)
        self._process: subprocess.Popen[bytes] | None = None
        if all(module in sys.modules for module in modules):
            return
        self._process = subprocess.Popen(
            # It finds what this process finds, and nothing else in the folder that somebody happens to be in.
            [sys.executable, "-P", "-c", _ANSWER, *modules],
            env=os.environ | {"PYTHONPATH": os.pathsep.join(path or "." for path in sys.path)},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
        )

    def __enter__(self) -> "Beside":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._process is not None:
            self._process.kill()
        self._asking.shutdown(cancel_futures=True)
        if self._process is not None:
            self._process.communicate()

    def call(self, function: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> "Future[T]":
        """Call a function of a module; what it returns or raises is the future's.

        The future's error is a `TunegateError` where the process has ended.
        """
        if self._process is None:
            return self._asking.submit(function, *args, **kwargs)
        return self._asking.submit(_ask, self._process, function, args, kwargs)


def _ask(process: "subprocess.Popen[bytes]", function: Callable[..., T], args: Any, kwargs: Any) -> T:
    assert process.stdin is not None and process.stdout is not None
    try:
        pickle.dump((function, args, kwargs), process.stdin)
        process.stdin.flush()
        found: T | Exception = pickle.load(process.stdout)
    except (EOFError, OSError, pickle.UnpicklingError) as error:
        raise TunegateError(
            f"{function.__name__}: the process that does it ended with status {process.wait()}; see that "
            "there is enough memory, and try again"
        ) from error
    if isinstance(found, Exception):
        raise found
    return found


def answer() -> None:
    """Load modules, whose names are this process's arguments, and do what is asked until nobody asks."""
    answers = os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)  # what a library prints is no answer
    for module in sys.argv[1:]:
        importlib.import_module(module)
    while True:
        try:
            function, args, kwargs = pickle.load(sys.stdin.buffer)
        except EOFError:
            return
        try:
            found = function(*args, **kwargs)
        except Exception as error:
            found = error
        pickle.dump(found, answers)
        answers.flush()
