"""The command that serves a base model and its adapter over the OpenAI API."""

import json
import sys

from components.engine.api_keys import MIDDLEWARE
from components.engine.config import EngineConfig, engine_rank
from components.engine.tool_calls import parser_options
from components.settings import load_settings

BASE_NAME = "base"


def server_command(config: EngineConfig, host: str, port: int) -> list[str]:
    """Return the command that serves base and adapter over the OpenAI API at `host:port`.

    Clients ask for the adapter as `config.model_name` and for the base model as `base`. The process
    ends on SIGTERM; its children never outlive it, even when it is killed. Where the setting `api_keys`
    names a directory, its environment has to name it too (`TUNEGATE_API_KEYS`).
    """
    adapter = {"name": config.model_name, "path": str(config.adapter_path), "base_model_name": BASE_NAME}
    settings = load_settings()
    guard = [f"--middleware={MIDDLEWARE}"] if settings.api_keys else []
    return [
        sys.executable,
        "-m",
        "components.engine.launcher",
        f"--model={config.base_path}",
        f"--served-model-name={BASE_NAME}",
        f"--lora-modules={json.dumps(adapter)}",
        "--enable-lora",
        f"--max-lora-rank={engine_rank(config.lora_r)}",
        "--max-loras=1",
        f"--max-model-len={config.max_model_len}",
        f"--gpu-memory-utilization={config.gpu_memory_utilization:.3f}",
        *(["--dtype=bfloat16"] if settings.device == "cuda" else []),  # a CPU's follows in the launcher
        # Otherwise sampling settings in the model's own generation_config.json would apply.
        "--generation-config=vllm",
        "--disable-uvicorn-access-log",
        # Nobody asks an engine for its description, and no page of another origin asks it anything.
        "--disable-fastapi-docs",
        "--allowed-origins=[]",
        f"--host={host}",
        f"--port={port}",
        *parser_options(config.tool_call_parser),
        *guard,
    ]
