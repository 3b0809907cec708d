"""vLLM in this process: several models answer the same prompts, and the engine is gone."""

import json
import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any, Literal

from components.conversations import Prompt
from components.engine.config import EngineConfig, engine_environment, engine_rank
from components.engine.scratch import scratch_folder
from components.errors import InvalidInput
from components.precision import precision_name
from components.settings import load_settings
from components.templates.rendering import as_served

OFFLINE = {
    "VLLM_ENABLE_V1_MULTIPROCESSING": "0",
    "VLLM_LOGGING_LEVEL": "ERROR",
    "TORCH_CPP_LOG_LEVEL": "ERROR",
}

Contender = Literal["base", "tuned", "champion"]


def answer(
    config: EngineConfig, prompts: Sequence[Prompt], max_new_tokens: int
) -> dict[Contender, list[str]]:
    """Let base, fine-tuned and champion, if there is one, answer the same prompts greedily.

    The engine runs in this process, on all of its cores or on the GPU, and is gone afterwards.

    Args:
        config: The models.
        prompts: What they are asked.
        max_new_tokens: Longest answer, tokens.

    Returns:
        The answers of each model in the order of the prompts.

    Raises:
        InvalidInput: Every prompt that leaves no room for an answer of `max_new_tokens`.
    """
    with _environment(engine_environment(load_settings().device) | OFFLINE):
        _refuse_long_prompts(config, prompts, max_new_tokens)
        with scratch_folder():
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
    config: EngineConfig, prompts: Sequence[Prompt], max_new_tokens: int
) -> dict[Contender, list[str]]:
    from vllm import LLM, SamplingParams
    from vllm.distributed import cleanup_dist_env_and_memory
    from vllm.lora.request import LoRARequest

    engine = LLM(
        model=str(config.base_path),
        max_model_len=config.max_model_len,
        gpu_memory_utilization=config.gpu_memory_utilization,
        dtype=precision_name(load_settings().device),
        generation_config="vllm",
        enable_lora=True,
        max_lora_rank=engine_rank(config.lora_r),
        max_loras=1,
        disable_log_stats=True,
        use_tqdm_on_load=False,
    )
    try:
        greedy = SamplingParams(temperature=0, max_tokens=max_new_tokens)

        def ask(adapter: LoRARequest | None) -> list[str]:
            said = [""] * len(prompts)
            for places in _by_tools(prompts):
                # vLLM's type of a conversation is a union of typed dicts, and it changes what it is given.
                turns: Any = [prompts[place].turns(for_api=True) for place in places]
                tools = as_served(prompts[places[0]].tools)
                outputs = engine.chat(turns, greedy, use_tqdm=False, lora_request=adapter, tools=tools)
                for place, output in zip(places, outputs, strict=True):
                    said[place] = output.outputs[0].text
            return said

        tuned = LoRARequest(config.model_name, 1, str(config.adapter_path))
        answers: dict[Contender, list[str]] = {"base": ask(None), "tuned": ask(tuned)}
        if config.champion_path is not None:
            answers["champion"] = ask(LoRARequest("champion", 2, str(config.champion_path)))
        return answers
    finally:
        engine.llm_engine.engine_core.shutdown()
        cleanup_dist_env_and_memory()


def _by_tools(prompts: Sequence[Prompt]) -> list[list[int]]:
    """Return the places of prompts in groups that have the same tools: the engine takes one list for all."""
    groups: dict[str, list[int]] = {}
    for place, prompt in enumerate(prompts):
        groups.setdefault(json.dumps(prompt.tools), []).append(place)
    return list(groups.values())


def _refuse_long_prompts(config: EngineConfig, prompts: Sequence[Prompt], max_new_tokens: int) -> None:
    """Refuse prompts that do not fit, before vLLM is imported."""
    from transformers import AutoTokenizer

    tokenizer = AutoTokenizer.from_pretrained(config.base_path, trust_remote_code=False)
    room = config.max_model_len - max_new_tokens
    problems = []
    for index, prompt in enumerate(prompts):
        tools: Any = as_served(prompt.tools)
        tokens = tokenizer.apply_chat_template(
            prompt.turns(), tools=tools, add_generation_prompt=True, return_dict=False
        )
        if len(tokens) > room:
            problems.append(
                f"prompt {index}: got {len(tokens)} tokens, wanted at most {room} (max_model_len "
                f"{config.max_model_len} less max_new_tokens {max_new_tokens}); shorten it or raise "
                "max_model_len"
            )
    if problems:
        raise InvalidInput("prompts", problems)
