"""Start vLLM's OpenAI server; on a CPU with one import of vLLM instead of three.

    python -m components.engine.launcher --model PATH --port 8000 ...

It takes the options of `vllm serve`. On a CPU the precision, where it is not given, is the one that
the CPU computes in, and vLLM would start an API server, an engine and a worker as fresh interpreters,
one after another, each of which spends most of the start-up importing vLLM. Here the engine is a fork
of the API server and does the worker's job itself. Elsewhere (a forked child can't use a GPU that its
parent has touched) this is vLLM's own launcher, unchanged.
"""

import ctypes
import os
import signal
import sys
from typing import Any

from components.engine.scratch import scratch_folder
from components.precision import precision_name

PR_SET_PDEATHSIG = 1


def main() -> None:
    """Serve until SIGTERM."""
    with scratch_folder():
        _serve()


def _serve() -> None:
    from vllm.platforms import current_platform

    if current_platform.is_cpu():
        _prepare_one_import_start()
        if not any(option.startswith("--dtype") for option in sys.argv):
            sys.argv.append(f"--dtype={precision_name('cpu')}")
    from vllm.entrypoints.launchers.api_server import entry

    launcher: Any = entry  # its main() is untyped
    launcher.main()


def _prepare_one_import_start() -> None:
    """Make vLLM fork its engine, and make the fork safe."""
    import torch
    from vllm.platforms import cpu

    binding = os.environ.get("VLLM_CPU_OMP_THREADS_BIND", "nobind")
    cores = parse_cores(binding) or os.sched_getaffinity(0)
    # vLLM binds the threads of a worker that it spawns; a fork has to bind its own.
    os.environ["VLLM_CPU_OMP_THREADS_BIND"] = "nobind"
    # OpenMP's threads do not survive a fork: this process must never have made any.
    torch.set_num_threads(1)
    parent = 0

    def leave_parent() -> None:
        nonlocal parent
        parent = os.getpid()

    def enter_child() -> None:
        # A killed server takes its engine with it.
        ctypes.CDLL(None, use_errno=True).prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
        if os.getppid() != parent:  # killed before the line above
            os._exit(1)
        os.sched_setaffinity(0, cores)
        torch.set_num_threads(len(cores))

    os.register_at_fork(before=leave_parent, after_in_child=enter_child)

    platform: Any = cpu.CpuPlatform
    stock_check = platform.check_and_update_config

    def check_and_update_config(config: Any) -> None:
        stock_check(config)
        os.environ["VLLM_WORKER_MULTIPROC_METHOD"] = "fork"
        if config.parallel_config.world_size == 1:
            config.parallel_config.distributed_executor_backend = "uni"

    platform.check_and_update_config = staticmethod(check_and_update_config)


def parse_cores(binding: str) -> set[int]:
    """Read a list of cores such as `0`, `0-3` or `0,2-3`; anything else (`nobind`, `auto`) is empty."""
    cores: set[int] = set()
    for part in binding.split(","):
        first, _, last = part.partition("-")
        if not first.isdigit() or (last and not last.isdigit()):
            return set()
        cores.update(range(int(first), int(last or first) + 1))
    return cores


if __name__ == "__main__":
    main()
