"""vLLM's command line and environment, and the offline engine against transformers."""

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from components.conversations import Message, Prompt
from components.engine.config import EngineConfig, engine_environment
from components.engine.offline import answer
from components.engine.server import server_command
from components.engine.tool_calls import PARSERS
from components.errors import InvalidInput

# What the base model and the adapter are taught to say, so surely that rounding can't change it.
LESSONS = {
    "base": {"grass?": "green", "sky?": "blue"},
    "tuned": {"grass?": "blue", "sky?": "green"},  # no new letters: the adapter leaves the embeddings alone
    "champion": {"grass?": "blue", "sky?": "blue"},
}


def config(base: Path = Path("/base"), adapter: Path = Path("/adapter"), **changes: Any) -> EngineConfig:
    values = {"model_name": "tuned", "lora_r": 8, "max_model_len": 256, **changes}
    return EngineConfig(base_path=base, adapter_path=adapter, **values)


@pytest.mark.parametrize(
    ("device", "cores", "expected"),
    [
        pytest.param("cpu", "", "nobind", id="cpu"),
        pytest.param("cpu", "0-3", "0-3", id="cpu, bound"),
        pytest.param("cuda", "", None, id="cuda"),
    ],
)
def test_environment(device: Any, cores: str, expected: str | None) -> None:
    environment = engine_environment(device, cores)
    assert environment["VLLM_NO_USAGE_STATS"] == "1"
    assert environment.get("VLLM_CPU_OMP_THREADS_BIND") == expected
    assert ("VLLM_CPU_KVCACHE_SPACE" in environment) == (device == "cpu")
    assert ("OMP_WAIT_POLICY" in environment) == (device == "cpu")


def test_vllm_takes_the_server_command() -> None:
    pytest.importorskip("vllm")
    from vllm.entrypoints.launchers.cli_args import make_arg_parser, validate_parsed_serve_args
    from vllm.utils.argparse_utils import FlexibleArgumentParser

    command = server_command(
        config(adapter=Path("/with space/a=b"), tool_call_parser="hermes"), "127.0.0.1", 8123
    )
    assert command[:3] == [sys.executable, "-m", "components.engine.launcher"]
    parser: Any = make_arg_parser(FlexibleArgumentParser())
    parsed = parser.parse_args(command[3:])
    validate_parsed_serve_args(parsed)
    assert (parsed.host, parsed.port, parsed.model) == ("127.0.0.1", 8123, "/base")
    assert parsed.served_model_name == ["base"]
    (module,) = parsed.lora_modules
    assert (module.name, module.path, module.base_model_name) == ("tuned", "/with space/a=b", "base")
    assert parsed.enable_lora
    assert parsed.max_model_len == 256
    assert parsed.generation_config == "vllm"
    assert parsed.disable_uvicorn_access_log
    assert not parsed.enable_log_requests
    assert (parsed.enable_auto_tool_choice, parsed.tool_call_parser) == (True, "hermes")


def test_the_parsers_of_calls_are_those_that_vllm_has() -> None:
    pytest.importorskip("vllm")
    from vllm.tool_parsers import ToolParserManager

    assert sorted(PARSERS) == sorted(ToolParserManager.list_registered())


def test_without_a_parser_the_model_can_choose_no_tools() -> None:
    assert not any("tool" in option for option in server_command(config(), "localhost", 1))


def test_the_server_asks_for_keys_where_there_are_some(monkeypatch: pytest.MonkeyPatch) -> None:
    guard = "--middleware=components.engine.api_keys.RequireKey"
    assert guard not in server_command(config(), "localhost", 1)

    monkeypatch.setenv("TUNEGATE_API_KEYS", "/keys")

    assert guard in server_command(config(), "localhost", 1)


@pytest.mark.parametrize(
    ("lora_r", "engine_rank"), [(1, 8), (8, 8), (9, 16), (65, 128), (257, 320), (512, 512)]
)
def test_the_engine_has_room_for_the_rank(lora_r: int, engine_rank: int) -> None:
    assert f"--max-lora-rank={engine_rank}" in server_command(config(lora_r=lora_r), "localhost", 1)


def test_prompts_that_leave_no_room_are_refused_before_vllm_is_loaded(
    tiny_model: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "vllm", None)
    fits = 40 - 10 - 3  # the template's own tokens: user, end, assistant
    prompts = [
        Prompt(messages=(Message(role="user", content="x" * length),)) for length in (1, fits, fits + 1, 500)
    ]
    environment = dict(os.environ)
    with pytest.raises(InvalidInput) as refused:
        answer(config(tiny_model, max_model_len=40), prompts, max_new_tokens=10)
    assert len(refused.value.problems) == 2
    assert "prompt 2: got 31 tokens, wanted at most 30" in refused.value.problems[0]
    assert "prompt 3: got 503 tokens" in refused.value.problems[1]
    assert "max_model_len 40 less max_new_tokens 10" in str(refused.value)
    assert dict(os.environ) == environment


def teach(model: Any, tokenizer: Any, lessons: dict[str, str], rate: float) -> None:
    """Fit a model to its answers until it gives them."""
    import torch

    rows = []
    for question, reply in lessons.items():
        prompt = tokenizer.apply_chat_template(
            [{"role": "user", "content": question}], add_generation_prompt=True, return_dict=False
        )
        completion = tokenizer(reply)["input_ids"] + [tokenizer.eos_token_id]
        rows.append((torch.tensor([prompt + completion]), torch.tensor([[-100] * len(prompt) + completion])))
    trained = [weights for weights in model.parameters() if weights.requires_grad]
    optimizer = torch.optim.AdamW(trained, lr=rate)
    for _ in range(300):
        losses = torch.stack([model(input_ids=ids, labels=labels).loss for ids, labels in rows])
        if losses.max() < 0.01:
            return
        optimizer.zero_grad()
        losses.sum().backward()
        optimizer.step()
    raise AssertionError(f"the tiny model has not learnt its answers: losses {losses.tolist()}")


@pytest.fixture(scope="module")
def taught(tiny_model: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path, Path]:
    """A base model and two adapters of different rank that answer LESSONS."""
    import torch
    from peft import LoraConfig, get_peft_model
    from transformers import AutoModelForCausalLM, AutoTokenizer

    torch.manual_seed(0)
    threads = torch.get_num_threads()
    torch.set_num_threads(1)  # the model is too small for two to be faster
    folder = tmp_path_factory.mktemp("taught")
    tokenizer = AutoTokenizer.from_pretrained(tiny_model)
    model = AutoModelForCausalLM.from_pretrained(tiny_model, dtype=torch.float32)
    teach(model, tokenizer, LESSONS["base"], rate=3e-3)
    model.save_pretrained(folder / "base")
    tokenizer.save_pretrained(folder / "base")
    for name, rank in (("tuned", 8), ("champion", 4)):
        plain = AutoModelForCausalLM.from_pretrained(folder / "base", dtype=torch.float32)
        lora = LoraConfig(r=rank, target_modules="all-linear", task_type="CAUSAL_LM")
        adapted = get_peft_model(plain, lora)
        teach(adapted, tokenizer, LESSONS[name], rate=1e-2)
        adapted.save_pretrained(folder / name)
    torch.set_num_threads(threads)
    return folder / "base", folder / "tuned", folder / "champion"


ANSWER_AND_COUNT = """
import json, sys
from pathlib import Path
import psutil
from components.conversations import Message, Prompt
from components.engine.config import EngineConfig
from components.engine.offline import answer

base, adapter, champion, *questions = sys.argv[1:]
prompts = [Prompt(messages=(Message(role="user", content=question),)) for question in questions]
config = EngineConfig(Path(base), Path(adapter), "tuned", 8, 256)
with_champion = EngineConfig(Path(base), Path(adapter), "tuned", 8, 256, champion_path=Path(champion))
runs = [answer(one, prompts, 10) for one in (config, with_champion)]
print(json.dumps({"runs": runs, "processes": len(psutil.Process().children(recursive=True))}))
"""


@pytest.mark.e2e
def test_base_and_adapters_answer_in_one_engine(
    taught: tuple[Path, Path, Path], state: Path, tmp_path: Path
) -> None:
    """In a process of its own, as in a stage: vLLM leaves marks on the torch of the one that it runs in."""
    pytest.importorskip("vllm")
    questions = list(LESSONS["base"])
    shared = tmp_path / "shared"
    shared.mkdir()
    ran = subprocess.run(
        [sys.executable, "-c", ANSWER_AND_COUNT, *map(str, taught), *questions],
        capture_output=True,
        text=True,
        check=False,
        env=os.environ | {"TMPDIR": str(shared), "TORCHINDUCTOR_CACHE_DIR": str(tmp_path / "kernels")},
    )
    assert ran.returncode == 0, ran.stderr[-2000:]
    result = json.loads(ran.stdout.splitlines()[-1])
    expected = {who: [lessons[question] for question in questions] for who, lessons in LESSONS.items()}
    without = {who: said for who, said in expected.items() if who != "champion"}
    assert result == {"runs": [without, expected], "processes": 0}
    assert list(shared.iterdir()) == []  # of two engines
