"""Stages of a release on this machine as forks of one process that has imported what all of them import.

As a fresh interpreter each stage spends seconds of processor time on importing kfp and MLflow, an eighth
of a release. Python's own fork server imports them once, beside the first stage's preparations.
"""

import atexit
import multiprocessing
import os
import sys
import tempfile
from multiprocessing import forkserver
from pathlib import Path

IMPORTED = (
    "kfp.dsl.executor_main",
    "mlflow",
    "mlflow.store.tracking.sqlalchemy_store",
    "mlflow.store.model_registry.sqlalchemy_store",
    "components.tracking.shell",
)
EXECUTOR = "kfp.dsl.executor_main"

_processes = multiprocessing.get_context("forkserver")


def begin() -> None:
    """Start the server; it imports while this process goes on, and ends with it."""
    os.environ.setdefault("MLFLOW_DISABLE_TELEMETRY", "true")  # MLflow asks when it is imported
    _processes.set_forkserver_preload(list(IMPORTED))
    forkserver.ensure_running()


def use() -> None:
    """Let kfp's SubprocessRunner run its tasks as forks of the server."""
    from kfp.local import subprocess_task_handler as handler

    as_interpreter = handler.run_local_subprocess

    def run(full_command: list[str], env_vars: dict[str, str] | None = None) -> int:
        match full_command:
            case ["sh", _, script, source, *arguments] if EXECUTOR in script and "pip" not in script:
                return _run_fork(source, arguments, env_vars or {})
        code: int = as_interpreter(full_command, env_vars)  # a component that is not of ours
        return code

    handler.run_local_subprocess = run


def _run_fork(source: str, arguments: list[str], env_vars: dict[str, str]) -> int:
    task = _processes.Process(target=_execute, args=(source, arguments, env_vars))
    sys.stdout.flush()  # the task writes there itself
    task.start()
    task.join()
    return task.exitcode or 0


def _execute(source: str, arguments: list[str], env_vars: dict[str, str]) -> None:
    """Do what the interpreter would that the task's command starts: run kfp's executor on a component.

    Args:
        source: Of the component.
        arguments: Of the executor.
        env_vars: Of the task, beside those of the release.
    """
    from kfp.dsl.executor_main import executor_main

    os.environ.update(env_vars, _KFP_RUNTIME="true")
    os.dup2(sys.stdout.fileno(), sys.stderr.fileno())  # as kfp reads a task: both in one, line by line
    sys.stdout.reconfigure(line_buffering=True)  # type: ignore[union-attr]  # it is no StringIO
    try:
        with tempfile.TemporaryDirectory() as folder:
            component = Path(folder) / "ephemeral_component.py"
            component.write_text(source, encoding="utf-8")
            sys.argv = [EXECUTOR, "--component_module_path", str(component), *arguments]
            executor_main()
    finally:
        atexit._run_exitfuncs()  # a fork ends without: what was to be tidied up would be left
