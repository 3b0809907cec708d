"""How vLLM is started on this machine: offline for evaluation, and as a server."""

import json
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

KV_CACHE_GIB = 1
ENGINE_RANKS = (8, 16, 32, 64, 128, 256, 320, 512)
BASE_NAME = "base"


@dataclass(frozen=True)
class EngineConfig:
    """One base model with one adapter.

    Attributes:
        base_path: Directory of the base model.
        adapter_path: Directory of the PEFT adapter.
        model_name: The name by which clients ask for the adapter.
        lora_r: The adapter's rank; the engine is started with room for it.
        max_model_len: Longest prompt plus answer, tokens.
    """

    base_path: Path
    adapter_path: Path
    model_name: str
    lora_r: int
    max_model_len: int


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
    return environment


def server_command(config: EngineConfig, host: str, port: int) -> list[str]:
    """Return the command that serves base and adapter over the OpenAI API at `host:port`.

    Clients ask for the adapter as `config.model_name` and for the base model as `base`. The process
    ends on SIGTERM; its children never outlive it, even when it is killed.
    """
    adapter = {"name": config.model_name, "path": str(config.adapter_path), "base_model_name": BASE_NAME}
    return [
        sys.executable,
        "-m",
        "components.vllm_server",
        f"--model={config.base_path}",
        f"--served-model-name={BASE_NAME}",
        f"--lora-modules={json.dumps(adapter)}",
        "--enable-lora",
        f"--max-lora-rank={_engine_rank(config.lora_r)}",
        "--max-loras=1",
        f"--max-model-len={config.max_model_len}",
        "--dtype=bfloat16",
        # Otherwise sampling settings in the model's own generation_config.json would apply.
        "--generation-config=vllm",
        "--disable-uvicorn-access-log",
        f"--host={host}",
        f"--port={port}",
    ]


def _engine_rank(lora_r: int) -> int:
    """Return the smallest rank that vLLM can be started with and that holds `lora_r`."""
    return next(rank for rank in ENGINE_RANKS if rank >= lora_r)


def answer(
    config: EngineConfig, prompts: Sequence[list[dict[str, str]]], max_new_tokens: int
) -> dict[Literal["base", "tuned"], list[str]]:
    """Let base and fine-tuned answer the same prompts greedily in one engine.

    Args:
        config: The models.
        prompts: Conversations as the OpenAI API takes them, each ending with a user's turn.
        max_new_tokens: Longest answer, tokens.

    Returns:
        The answers of each model in the order of the prompts.
    """
    raise NotImplementedError
