"""How vLLM is configured: one base model, its adapters, and the environment of its processes."""

from dataclasses import dataclass
from pathlib import Path
from typing import Literal

KV_CACHE_GIB = 1
ENGINE_RANKS = (8, 16, 32, 64, 128, 256, 320, 512)
# Champion and candidate, or champion and evaluation, share the GPUs; the rest is the driver's and torch's.
DEPLOYMENT_GPU_SHARE = 0.42


@dataclass(frozen=True)
class EngineConfig:
    """One base model with one adapter, or two.

    Attributes:
        base_path: Directory of the base model.
        adapter_path: Directory of the PEFT adapter.
        model_name: The name by which clients ask for the adapter.
        lora_r: The adapter's rank; the engine is started with room for it.
        max_model_len: Longest prompt plus answer, tokens.
        gpu_memory_utilization: Share of a GPU's memory that the engine takes; a CPU has no use for it.
        tool_call_parser: vLLM's parser of calls of tools; empty: clients can't let the model choose tools.
        champion_path: Directory of a second adapter, of a rank up to `lora_r`; `answer` asks it too.
    """

    base_path: Path
    adapter_path: Path
    model_name: str
    lora_r: int
    max_model_len: int
    gpu_memory_utilization: float = DEPLOYMENT_GPU_SHARE
    tool_call_parser: str = ""
    champion_path: Path | None = None


def engine_environment(device: Literal["cpu", "cuda"], cores: str = "") -> dict[str, str]:
    """Return the environment variables that a vLLM process is started with.

    Args:
        device: What the set-up found on this machine.
        cores: On a CPU, the cores the engine's threads are bound to (`0`, `0-3`); empty: not bound.
    """
    environment = {"VLLM_NO_USAGE_STATS": "1", "DO_NOT_TRACK": "1", "TOKENIZERS_PARALLELISM": "false"}
    if device == "cpu":
        environment["VLLM_CPU_KVCACHE_SPACE"] = str(KV_CACHE_GIB)
        environment["VLLM_CPU_OMP_THREADS_BIND"] = cores or "nobind"
        # A thread that waits for one that lost its core would otherwise spin: on a machine that does
        # anything else at the same time, a step then takes ten times as long.
        environment["OMP_WAIT_POLICY"] = "PASSIVE"
    return environment


def engine_rank(lora_r: int) -> int:
    """Return the smallest rank that vLLM can be started with and that holds `lora_r`."""
    return next(rank for rank in ENGINE_RANKS if rank >= lora_r)
