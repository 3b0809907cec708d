"""The whole stage on a tiny model: it learns, it resumes, and its files are what PEFT and vLLM load."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

from components.conversations import Conversation, Conversations, Message, write_conversations
from components.errors import InvalidInput, TunegateError
from components.finetune import checkpoint, estimate, loop
from components.finetune.train import FinetuneConfig, train
from components.oci.adapters import ADAPTER_FILES, adapter_digest
from components.oci.hashing import file_digest
from components.precision import precision_for
from components.templates.chat_tokenizer import ChatTokenizer
from components.templates.encoded import MadeWith, write_encoded
from components.templates.example import Refused
from components.templates.examples import record_batch
from components.tracking.stage import Stage

AISLES = {"fish": "Aisle 3.", "dog": "Aisle 1.", "cat": "Aisle 2.", "bird": "Closed."}


@pytest.fixture(autouse=True)
def _on_the_cpu(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TUNEGATE_DEVICE", "cpu")


@pytest.fixture
def train_set(tmp_path: Path) -> Path:
    rows = [
        Conversation(
            messages=(
                Message(role="user", content=f"Where is the {animal} food?" + " Please." * (number % 3)),
                Message(role="assistant", content=aisle),
            )
        )
        for number in range(8)
        for animal, aisle in AISLES.items()
    ]
    path = tmp_path / "train.jsonl"
    write_conversations(path, rows)
    return path


@pytest.fixture(scope="session")
def learnable_model(tiny_model: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The tiny model with a head that can be sure of an answer: its first weights are too small for that."""
    import torch
    from transformers import AutoModelForCausalLM, AutoTokenizer

    model = AutoModelForCausalLM.from_pretrained(tiny_model, dtype=torch.bfloat16)
    with torch.no_grad():
        model.get_output_embeddings().weight.mul_(20)
    path = tmp_path_factory.mktemp("learnable-model")
    model.save_pretrained(path)
    AutoTokenizer.from_pretrained(tiny_model).save_pretrained(path)
    return path


def _config(model: Path, **changes: Any) -> FinetuneConfig:
    return FinetuneConfig(
        **{
            "base_model": str(model),
            "seed": 5,
            "max_length": 128,
            "learning_rate": 2e-2,
            "num_train_epochs": 6,
            "per_device_train_batch_size": 8,
            "gradient_accumulation_steps": 1,
            "warmup_ratio": 0.1,
            "lora_r": 8,
            "lora_alpha": 16,
            "lora_dropout": 0.0,
            **changes,
        }
    )


def test_it_learns_and_says_so(
    learnable_model: Path,
    train_set: Path,
    tmp_path: Path,
    stage: Stage,
    capsys: pytest.CaptureFixture[str],
) -> None:
    digest = train(_config(learnable_model), train_set, tmp_path / "adapter", stage)

    losses = stage.client.get_metric_history(stage.run_id, "loss")
    assert losses[-1].value < 0.5 * losses[0].value
    record = stage.record
    assert record.facts["adapter_digest"] == digest == adapter_digest(tmp_path / "adapter")
    assert record.facts["seed"] == "5"
    assert record.facts["base_model_revision"].startswith("sha256:")
    assert {"train_loss", "tokens_per_s", "train_tokens", "train_seconds", "steps", "peak_memory_gib"} <= set(
        record.metrics
    )
    assert record.metrics["steps"] == 24
    assert [figure.title for figure in record.figures] == ["Training loss"]
    printed = capsys.readouterr().out
    assert "32 rows" in printed
    assert "step 24/24 loss" in printed
    assert "tokens/s 0:00 left" in printed


def test_tokens_that_were_handed_on_make_the_same_adapter(
    tiny_model: Path,
    train_set: Path,
    tmp_path: Path,
    stage: Stage,
    capsys: pytest.CaptureFixture[str],
) -> None:
    tokenizer, tokens = ChatTokenizer(tiny_model), tmp_path / "train.arrow"
    rows = [row for row in tokenizer.encode(Conversations(train_set)) if not isinstance(row, Refused)]
    made_with = MadeWith(tokenizer.digest, "all", file_digest(train_set))
    write_encoded(tokens, [record_batch(rows[:20]), record_batch(rows[20:])], made_with)
    config = _config(tiny_model, num_train_epochs=1)

    handed_on = train(config, train_set, tmp_path / "handed-on", stage, tokens)

    assert "tokenised again" not in capsys.readouterr().out
    assert handed_on == train(config, train_set, tmp_path / "own", stage)


def test_the_adapter_is_two_files_that_peft_loads_to_the_same_logits(
    tiny_model: Path, train_set: Path, tmp_path: Path, stage: Stage, monkeypatch: pytest.MonkeyPatch
) -> None:
    import torch
    from peft import PeftModel
    from safetensors import safe_open
    from transformers import AutoModelForCausalLM

    trained: list[Any] = []
    from components.finetune import train as train_module

    keep = train_module.add_adapter
    monkeypatch.setattr(train_module, "add_adapter", lambda *a: trained.append(keep(*a)) or trained[-1])
    folder = tmp_path / "adapter"
    train(_config(tiny_model, num_train_epochs=1), train_set, folder, stage)

    assert sorted(path.name for path in folder.iterdir()) == sorted(ADAPTER_FILES)
    settings = json.loads((folder / "adapter_config.json").read_text())
    assert settings["base_model_name_or_path"] == str(tiny_model)
    attention, mlp = ["k_proj", "o_proj", "q_proj", "v_proj"], ["down_proj", "gate_proj", "up_proj"]
    assert settings["target_modules"] == sorted(attention + mlp)
    with safe_open(folder / "adapter_model.safetensors", "pt") as weights:
        names = list(weights.keys())
        assert weights.get_tensor(names[0]).dtype == precision_for("cpu")
    assert "base_model.model.model.layers.0.self_attn.q_proj.lora_A.weight" in names

    base = AutoModelForCausalLM.from_pretrained(
        tiny_model, dtype=precision_for("cpu"), attn_implementation="eager"
    )
    loaded = PeftModel.from_pretrained(base, folder, autocast_adapter_dtype=False).eval()
    probe = torch.arange(5, 40)[None]
    with torch.no_grad():
        assert torch.equal(loaded(probe).logits, trained[-1].eval()(probe).logits)
        with loaded.disable_adapter():
            assert not torch.equal(loaded(probe).logits, trained[-1](probe).logits)


def test_the_base_model_is_noted_by_the_users_name(
    tiny_model: Path, train_set: Path, tmp_path: Path, stage: Stage, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tiny_model.parent)
    config = _config(Path(f"./{tiny_model.name}"), num_train_epochs=0.1).model_copy(
        update={"base_model": f"./{tiny_model.name}"}
    )
    train(config, train_set, tmp_path / "adapter", stage)

    settings = json.loads((tmp_path / "adapter" / "adapter_config.json").read_text())
    assert settings["base_model_name_or_path"] == f"./{tiny_model.name}"


@pytest.mark.parametrize(
    "changes",
    [
        pytest.param({}, id="plain"),
        pytest.param({"lora_dropout": 0.2, "gradient_accumulation_steps": 2}, id="dropout-and-accumulation"),
    ],
)
def test_an_interrupted_run_ends_with_the_same_bytes(
    tiny_model: Path,
    train_set: Path,
    tmp_path: Path,
    stage: Stage,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    changes: dict[str, Any],
) -> None:
    config = _config(tiny_model, num_train_epochs=3, **changes)
    whole = train(config, train_set, tmp_path / "whole", stage)
    again = train(config, train_set, tmp_path / "again", stage)

    monkeypatch.setattr(loop, "CHECKPOINT_S", 0.0)
    save = loop.save_checkpoint

    def save_five_times(folder: Path, state: dict[str, Any]) -> None:
        save(folder, state)
        if len(state["history"]["losses"]) == 5:
            raise KeyboardInterrupt

    monkeypatch.setattr(loop, "save_checkpoint", save_five_times)
    with pytest.raises(KeyboardInterrupt):
        train(config, train_set, tmp_path / "resumed", stage)
    assert not (tmp_path / "resumed").exists()
    monkeypatch.setattr(loop, "save_checkpoint", save)
    resumed = train(config, train_set, tmp_path / "resumed", stage)

    assert "going on from the checkpoint of step 5" in capsys.readouterr().out
    assert whole == again == resumed
    assert stage.record.metrics["steps"] == 12 / config.gradient_accumulation_steps
    assert not list((Path(os.environ["TUNEGATE_HOME"]) / "checkpoints").iterdir())


KILLED = """
import sys
from pathlib import Path
from components.tracking.stage import Stage, open_stage
from components.finetune import loop
from components.finetune.train import FinetuneConfig, train

loop.CHECKPOINT_S = 0.0
config = FinetuneConfig.model_validate_json(sys.argv[1])
with open_stage("finetune", {}) as stage:
    print(train(config, Path(sys.argv[2]), Path(sys.argv[3]), stage))
"""


def test_a_run_that_was_killed_ends_with_the_same_bytes(
    tiny_model: Path, train_set: Path, tmp_path: Path, stage: Stage
) -> None:
    import torch

    config = _config(tiny_model, num_train_epochs=3)
    command = [
        sys.executable,
        "-c",
        KILLED,
        config.model_dump_json(),
        str(train_set),
        str(tmp_path / "killed"),
    ]
    environment = {**os.environ, "OMP_NUM_THREADS": str(torch.get_num_threads())}
    checkpoints = Path(os.environ["TUNEGATE_HOME"]) / "checkpoints"
    with subprocess.Popen(command, env=environment, stdout=subprocess.DEVNULL) as killed:
        while killed.poll() is None and not list(checkpoints.glob(f"*/{checkpoint.FILE}")):
            time.sleep(0.02)  # until the first checkpoint: nothing tells another process that it is there
        killed.send_signal(signal.SIGKILL)
    assert killed.returncode == -signal.SIGKILL
    assert not (tmp_path / "killed").exists()

    resumed = train(config, train_set, tmp_path / "killed", stage)
    whole = train(config, train_set, tmp_path / "whole", stage)

    assert resumed == whole


def test_a_damaged_checkpoint_is_ignored(tmp_path: Path) -> None:
    import torch

    state = {"numbers": torch.arange(1000)}
    checkpoint.save_checkpoint(tmp_path, state)
    loaded = checkpoint.load_checkpoint(tmp_path)
    assert loaded is not None
    assert torch.equal(loaded["numbers"], state["numbers"])

    path = tmp_path / checkpoint.FILE
    content = path.read_bytes()
    path.write_bytes(content[: len(content) // 2])
    assert checkpoint.load_checkpoint(tmp_path) is None
    place = content.index(torch.arange(500, 510).numpy().tobytes())
    path.write_bytes(content[:place] + b"\xff" + content[place + 1 :])
    assert checkpoint.load_checkpoint(tmp_path) is None
    path.unlink()
    assert checkpoint.load_checkpoint(tmp_path) is None


def test_another_config_or_training_set_is_another_run(
    tiny_model: Path, train_set: Path, state: Path
) -> None:
    folder = checkpoint.checkpoint_folder(_config(tiny_model), train_set, "sha256:1", "cpu")
    changed = checkpoint.checkpoint_folder(_config(tiny_model, seed=6), train_set, "sha256:1", "cpu")
    with train_set.open("a") as file:
        file.write("\n")
    longer = checkpoint.checkpoint_folder(_config(tiny_model), train_set, "sha256:1", "cpu")

    assert len({folder, changed, longer}) == 3


def test_a_run_that_does_not_fit_is_refused_before_the_model_is_loaded(
    tiny_model: Path, train_set: Path, tmp_path: Path, stage: Stage, monkeypatch: pytest.MonkeyPatch
) -> None:
    from components.finetune import train as train_module

    def never(*_: Any) -> None:
        raise AssertionError("the model was loaded")

    monkeypatch.setattr(train_module, "free_memory", lambda _: estimate.RUNTIME_BYTES + (4 << 20))
    monkeypatch.setattr(train_module, "load_base", never)
    with pytest.raises(InvalidInput) as refused:
        train(_config(tiny_model), train_set, tmp_path / "adapter", stage)

    for word in ("memory", "needs about", "GiB are free", "lower per_device_train_batch_size from 8 to "):
        assert word in str(refused.value)


def test_a_loss_that_is_no_number_stops_the_run(
    tiny_model: Path, train_set: Path, tmp_path: Path, stage: Stage, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(loop, "_train_step", lambda *_: (float("nan"), 1.0))
    with pytest.raises(TunegateError) as stopped:
        train(_config(tiny_model), train_set, tmp_path / "adapter", stage)

    assert "not a number at step 1" in str(stopped.value)
    assert "lower learning_rate" in str(stopped.value)


@pytest.mark.parametrize(
    ("seconds", "text"), [(4.4, "0:04"), (70, "1:10"), (3600, "1:00:00"), (59.7, "1:00")]
)
def test_clock(seconds: float, text: str) -> None:
    assert loop.clock(seconds) == text
