"""Run a release on this machine: the graph in a process of its own, nothing left half-done."""

import os
import secrets
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Literal

from components import progress
from components.errors import TunegateError
from components.settings import home
from components.storage import atomic_write
from pipelines.interrupt import interruptible
from pipelines.lock import exclusive, holder
from pipelines.params import ReleaseParams
from pipelines.preflight import preflight

Ending = Literal["promoted", "refused", "skipped", "failed", "interrupted"]
LOG = "run.log"
POLL_S = 0.2
GRACE_S = 10.0
# Threads that spin while they wait make each other many times slower as soon as anything else runs.
QUIET = {"OMP_WAIT_POLICY": "PASSIVE", "TOKENIZERS_PARALLELISM": "false"}
# Stages print and kfp reads what they print by the user's locale, which may lack a character of theirs.
UTF8 = {"PYTHONUTF8": "1", "PYTHONIOENCODING": "utf-8"}


@dataclass(frozen=True)
class ReleaseResult:
    """How a release ended and where to read about it."""

    release_id: str
    ending: Ending
    card: Path
    log: Path


def run_release(
    params: ReleaseParams, use_cache: bool = True, follow: Callable[[progress.Progress], None] | None = None
) -> ReleaseResult:
    """Run one release to its end on this machine.

    Args:
        params: Its parameters.
        use_cache: Whether finished stages whose inputs did not change are skipped.
        follow: Called with every line of progress.

    Raises:
        InvalidInput: Every problem with the parameters that can be known before anything is started.
        Busy: Another command is changing the same state directory.
    """
    release_id = new_id()
    with exclusive(f"release {release_id}"):
        params = preflight(params)
        retire_leftovers(params.serving_target)
        folder = home() / "releases" / release_id
        options = [] if use_cache else ["--no-cache"]
        interrupted = run_process(params, release_id, folder, follow, *options)
        return _result(params, release_id, folder / "card.html", folder / LOG, interrupted)


def new_id() -> str:
    """Return an id that sorts by the time when it was made."""
    return f"{datetime.now():%Y%m%d-%H%M%S}-{secrets.token_hex(2)}"


def run_process(
    params: ReleaseParams,
    release_id: str,
    folder: Path,
    follow: Callable[[progress.Progress], None] | None,
    *options: str,
) -> bool:
    """Run the graph in a process of its own, to its end or until Ctrl-C, which leaves no process behind.

    Args:
        params: Its parameters, as `preflight` returns them.
        release_id: What its stages record themselves under.
        folder: A folder to make; it will hold the parameters and the log.
        follow: Called with every line of progress.
        options: Of `pipelines.local_graph`.

    Returns:
        Whether it was interrupted.
    """
    folder.mkdir(parents=True)
    params_file = folder / "params.json"
    with atomic_write(params_file) as file:  # `tunegate status` reads those of every release
        os.fchmod(file.fileno(), 0o600)  # an address in it may hold credentials
        file.write(params.model_dump_json(indent=2).encode())
    command = [sys.executable, "-P", "-m", "pipelines.local_graph", str(params_file), *options]
    own = {"RELEASE_ID": release_id, "TUNEGATE_HOME": str(home())}
    environment = {**QUIET, **os.environ, **UTF8, **own}
    with interruptible():
        return _run(command, environment, folder / LOG, follow)


def running_release() -> str:
    """Return the id of the release that is running in this state directory; empty if none is."""
    words = holder().split()
    return words[1] if words[:1] == ["release"] else ""


def retire_leftovers(serving_target: str) -> None:
    """Settle what a run that was killed was just moving, and retire every candidate that it has left."""
    from components.release.leftovers import retire_left

    retire_left(serving_target, [folder.name for folder in (home() / "releases").glob("*")], print)


def _run(
    command: list[str],
    environment: dict[str, str],
    log: Path,
    follow: Callable[[progress.Progress], None] | None,
) -> bool:
    """Run the graph's process, its output in a file; return whether it was interrupted."""
    with log.open("wb") as output:
        # A session of its own, so that Ctrl-C in the terminal reaches this process alone.
        graph = subprocess.Popen(
            command,
            env=environment,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
    try:
        for line in _lines(log, graph):
            found = progress.parse(line)
            if found and follow:
                follow(found)
    except KeyboardInterrupt:
        _end(graph)
        return True
    except BaseException:
        _end(graph)
        raise
    return False


def _lines(log: Path, process: "subprocess.Popen[bytes]") -> Iterator[str]:
    """Yield a growing file's lines until the process that writes it has ended."""
    with log.open(encoding="utf-8", errors="replace") as file:
        pending = ""
        while True:
            ended = process.poll() is not None
            pending += file.read()
            *whole, pending = pending.split("\n")
            yield from whole
            if ended:
                return
            time.sleep(POLL_S)


def _end(graph: "subprocess.Popen[bytes]") -> None:
    """End the graph's process and everything that it started."""
    import psutil

    try:
        started = psutil.Process(graph.pid).children(recursive=True)
    except psutil.NoSuchProcess:
        started = []
    os.killpg(graph.pid, signal.SIGTERM)
    _, alive = psutil.wait_procs(started, timeout=GRACE_S)
    for process in alive:
        process.kill()
    psutil.wait_procs(alive, timeout=GRACE_S)
    try:
        graph.wait(timeout=GRACE_S)
    except subprocess.TimeoutExpired:
        graph.kill()
        graph.wait()


def _result(
    params: ReleaseParams, release_id: str, card: Path, log: Path, interrupted: bool
) -> ReleaseResult:
    """Close the release if its exit step did not get to it, and read how it ended."""
    from components.release.closing import close
    from components.release.ending import outcome

    os.environ["RELEASE_ID"] = release_id
    if not card.is_file():
        close(params.serving_target, params.model_name, card)
    if interrupted:
        return ReleaseResult(release_id, "interrupted", card, log)
    return ReleaseResult(release_id, outcome(release_id), card, log)


def last_log_lines(log: Path, count: int = 15) -> list[str]:
    """Return the end of a release's log."""
    try:
        return log.read_text(encoding="utf-8", errors="replace").splitlines()[-count:]
    except OSError as error:
        raise TunegateError(f"{log}: {error.strerror}") from error
