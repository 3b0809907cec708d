"""The release graph, or a trial's, under `kfp.local` in a process of its own: what `pipelines.local` starts.

python -m pipelines.local_graph PARAMS_JSON [--trial] [--no-cache]
"""

import argparse
import os
import signal
import sys
import threading
import time
import warnings
from pathlib import Path

from components.settings import home
from pipelines import forked_stages
from pipelines.params import ReleaseParams

PARENT_CHECK_S = 0.5


def run_graph(params: ReleaseParams, use_cache: bool, only_trial: bool = False) -> None:
    """Run the graph, all of it or a trial's part, to its end in this process and its children.

    Raises:
        RuntimeError: A task failed; what and why is in the release's records.
    """
    from kfp import local

    from pipelines.release import release
    from pipelines.trial_graph import trial

    # kfp warns of images whose name has no "python" in it, and of resources that one machine has no use for.
    warnings.filterwarnings("ignore", module="kfp")
    forked_stages.use()
    local.init(
        local.SubprocessRunner(use_venv=False),
        pipeline_root=str(home() / "artifacts"),
        enable_caching=use_cache,
        cache_root=str(home() / "cache"),
    )
    graph = trial if only_trial else release
    graph(**params.model_dump())


def end_with_parent() -> None:
    """End this process and its stages as soon as the process that started it is gone."""
    parent = os.getppid()

    def watch() -> None:
        while os.getppid() == parent:
            time.sleep(PARENT_CHECK_S)
        os.killpg(0, signal.SIGKILL)

    threading.Thread(target=watch, daemon=True).start()


def main() -> int:
    """Run the graph for parameters in a file; 1 if a task failed."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("params", type=Path)
    parser.add_argument("--trial", action="store_true")
    parser.add_argument("--no-cache", action="store_true")
    arguments = parser.parse_args()
    # kfp prints what stages say without flushing; in blocks it would come when they are over.
    sys.stdout.reconfigure(line_buffering=True)  # type: ignore[union-attr]  # it is no StringIO
    end_with_parent()
    forked_stages.begin()
    params = ReleaseParams.model_validate_json(arguments.params.read_text(encoding="utf-8"))
    try:
        run_graph(params, use_cache=not arguments.no_cache, only_trial=arguments.trial)
    except RuntimeError as error:
        print(error, file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
