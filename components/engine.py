"""How vLLM is started on this machine: offline for evaluation, and as a server."""

import json
import os
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from components.api_keys import MIDDLEWARE
from components.errors import InvalidInput
from components.settings import load_settings

KV_CACHE_GIB = 1
ENGINE_RANKS = (8, 16, 32, 64, 128, 256, 320, 512)
BASE_NAME = "base"
OFFLINE = {
    "VLLM_ENABLE_V1_MULTIPROCESSING": "0",
    "VLLM_LOGGING_LEVEL": "ERROR",
    "TORCH_CPP_LOG_LEVEL": "ERROR",
}
# Champion and candidate, or champion and evaluation, share the GPUs; the rest is the driver's and torch's.
DEPLOYMENT_GPU_SHARE = 0.42


Contender = Literal["base", "tuned", "champion"]


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
        champion_path: Directory of a second adapter, of a rank up to `lora_r`; `answer` asks it too.
    """

    base_path: Path
    adapter_path: Path
    model_name: str
    lora_r: int
    max_model_len: int
    gpu_memory_utilization: float = DEPLOYMENT_GPU_SHARE
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


def server_command(config: EngineConfig, host: str, port: int) -> list[str]:
    """Return the command that serves base and adapter over the OpenAI API at `host:port`.

    Clients ask for the adapter as `config.model_name` and for the base model as `base`. The process
    ends on SIGTERM; its children never outlive it, even when it is killed. Where the setting `api_keys`
    names a directory, its environment has to name it too (`TUNEGATE_API_KEYS`).
    """
    adapter = {"name": config.model_name, "path": str(config.adapter_path), "base_model_name": BASE_NAME}
    guard = [f"--middleware={MIDDLEWARE}"] if load_settings().api_keys else []
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
        f"--gpu-memory-utilization={config.gpu_memory_utilization:.3f}",
        "--dtype=bfloat16",
        # Otherwise sampling settings in the model's own generation_config.json would apply.
        "--generation-config=vllm",
        "--disable-uvicorn-access-log",
        f"--host={host}",
        f"--port={port}",
        *guard,
    ]


def _engine_rank(lora_r: int) -> int:
    """Return the smallest rank that vLLM can be started with and that holds `lora_r`."""
    return next(rank for rank in ENGINE_RANKS if rank >= lora_r)


def answer(
    config: EngineConfig, prompts: Sequence[list[dict[str, str]]], max_new_tokens: int
) -> dict[Contender, list[str]]:
    """Let base, fine-tuned and champion, if there is one, answer the same prompts greedily.

    The engine runs in this process, on all of its cores or on the GPU, and is gone afterwards.

    Args:
        config: The models.
        prompts: Conversations as the OpenAI API takes them, each ending with a user's turn.
        max_new_tokens: Longest answer, tokens.

    Returns:
        The answers of each model in the order of the prompts.

    Raises:
        InvalidInput: Every prompt that leaves no room for an answer of `max_new_tokens`.
    """
    with _environment(engine_environment(load_settings().device) | OFFLINE):
        _refuse_long_prompts(config, prompts, max_new_tokens)
        return _answer(config, prompts, max_new_tokens)


@contextmanager
def _environment(wanted: dict[str, str]) -> Iterator[None]:
    """Set what torch and vLLM read when they are imported; what the user has set stays, and comes back."""
    before = dict(os.environ)
    os.environ.update(wanted | before)
    try:
        yield
    finally:  # vLLM sets variables of its own, which a server started from here would inherit
        os.environ.clear()
        os.environ.update(before)


def _answer(
    config: EngineConfig, prompts: Sequence[list[dict[str, str]]], max_new_tokens: int
) -> dict[Contender, list[str]]:
    from vllm import LLM, SamplingParams
    from vllm.distributed import cleanup_dist_env_and_memory
    from vllm.lora.request import LoRARequest

    engine = LLM(
        model=str(config.base_path),
        max_model_len=config.max_model_len,
        gpu_memory_utilization=config.gpu_memory_utilization,
        dtype="bfloat16",
        generation_config="vllm",
        enable_lora=True,
        max_lora_rank=_engine_rank(config.lora_r),
        max_loras=1,
        disable_log_stats=True,
        use_tqdm_on_load=False,
    )
    try:
        conversations: Any = list(prompts)  # vLLM's type of a conversation is a union of typed dicts
        greedy = SamplingParams(temperature=0, max_tokens=max_new_tokens)

        def ask(adapter: LoRARequest | None) -> list[str]:
            outputs = engine.chat(conversations, greedy, use_tqdm=False, lora_request=adapter)
            return [output.outputs[0].text for output in outputs]

        tuned = LoRARequest(config.model_name, 1, str(config.adapter_path))
        answers: dict[Contender, list[str]] = {"base": ask(None), "tuned": ask(tuned)}
        if config.champion_path is not None:
            answers["champion"] = ask(LoRARequest("champion", 2, str(config.champion_path)))
        return answers
    finally:
        engine.llm_engine.engine_core.shutdown()
        cleanup_dist_env_and_memory()


def _refuse_long_prompts(
    config: EngineConfig, prompts: Sequence[list[dict[str, str]]], max_new_tokens: int
) -> None:
    """Refuse prompts that do not fit, before vLLM is imported."""
    from transformers import AutoTokenizer

    tokenizer = AutoTokenizer.from_pretrained(config.base_path)
    room = config.max_model_len - max_new_tokens
    problems = []
    for index, prompt in enumerate(prompts):
        tokens = tokenizer.apply_chat_template(prompt, add_generation_prompt=True, return_dict=False)
        if len(tokens) > room:
            problems.append(
                f"prompt {index}: got {len(tokens)} tokens, wanted at most {room} (max_model_len "
                f"{config.max_model_len} less max_new_tokens {max_new_tokens}); shorten it or raise "
                "max_model_len"
            )
    if problems:
        raise InvalidInput("prompts", problems)
