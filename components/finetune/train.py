"""Fine-tune a LoRA adapter: from a training set to two files and their digest."""

import os
import resource
import tempfile
from collections.abc import Sequence
from pathlib import Path

from components.errors import InvalidInput
from components.finetune.batches import Step, plan_steps
from components.finetune.checkpoint import checkpoint_folder, remove_checkpoint
from components.finetune.config import FinetuneConfig
from components.finetune.data import training_examples
from components.finetune.estimate import (
    GIB,
    estimate,
    free_memory,
    layer_rate,
    refuse_if_too_large,
)
from components.finetune.loop import History, clock, run_steps
from components.finetune.model import Attention, add_adapter, attention_for, load_base, save_adapter
from components.finetune.plots import draw_loss, smooth
from components.models import BaseModelFiles, prepare_base_model
from components.oci.adapters import adapter_digest
from components.precision import precision_for
from components.settings import load_settings
from components.templates.examples import Examples
from components.tracking.stage import Stage

__all__ = ["FinetuneConfig", "train"]


def train(
    config: FinetuneConfig,
    train_path: Path,
    adapter_path: Path,
    stage: Stage,
    tokens_path: Path | None = None,
) -> str:
    """Train an adapter on the completions of a training set; a run that was killed goes on.

    On a CPU, the same config, training set and number of threads give the same bytes, whether or not
    the run was killed in between.

    Args:
        config: The knobs.
        train_path: Conversations as JSON lines.
        adapter_path: A directory to make; it will hold the adapter's two files.
        stage: Where progress, metrics and the loss curve go.
        tokens_path: The same rows as tokens, as the dataset stage wrote them; without them, or where they
            were made with something else, the rows are tokenised here, which comes to the same.

    Returns:
        The adapter's digest.

    Raises:
        InvalidInput: The base model or the training set can't be used, or the run doesn't fit into memory.
        TunegateError: The loss is no number any more, or the disk is full.
    """
    _let_waiting_threads_sleep()
    device = load_settings().device
    base = prepare_base_model(config.base_model)
    stage.fact("base_model_revision", base.revision)
    stage.fact("seed", str(config.seed))
    examples = training_examples(config, train_path, tokens_path, base.path, stage.say)
    steps = plan_steps(examples.lengths.tolist(), config)
    _announce(examples, steps, stage)
    attention = attention_for(device, int(examples.lengths.max()))
    _check_fit(base, attention, config, examples, steps, device, stage)

    _seed_everything(config.seed, device)
    adapted = add_adapter(load_base(base, attention, device), config)
    checkpoints = checkpoint_folder(config, train_path, base.revision, device)
    history = run_steps(adapted.get_base_model(), examples, steps, config, checkpoints, stage)
    save_adapter(adapted, base, adapter_path)
    remove_checkpoint(checkpoints)

    digest = adapter_digest(adapter_path)
    stage.fact("adapter_digest", digest)
    _sum_up(history, config, device, stage)
    return digest


def _let_waiting_threads_sleep() -> None:
    """Keep torch's threads from spinning while they wait; has an effect until torch is loaded.

    A step is thousands of short parallel parts. Where anything else wants a core, a thread that spins
    keeps it from the very thread that it waits for: ten times slower on two busy cores.
    """
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")


def _announce(examples: Examples, steps: Sequence[Step], stage: Stage) -> None:
    rows = examples.rows - examples.left_out
    stage.say(
        f"{rows} rows, {examples.lengths.sum()} tokens, {examples.learned_tokens} of them learned "
        f"(answers with their end of turn); {len(steps)} steps"
    )
    if len(examples) > rows:
        stage.say(f"the chat template changes earlier turns: {len(examples)} examples, one for each answer")
    if examples.left_out:
        stage.say(
            f"{examples.left_out} rows are left out: longer than max_length, or nothing in them is to be "
            "learned"
        )
    stage.metrics({"rows_left_out": examples.left_out})


def _check_fit(
    base: BaseModelFiles,
    attention: Attention,
    config: FinetuneConfig,
    examples: Examples,
    steps: Sequence[Step],
    device: str,
    stage: Stage,
) -> None:
    """Say how much memory and time the run takes, and refuse it if the memory is not there."""
    precision = precision_for(device)
    lengths = examples.lengths.tolist()
    largest = max(
        (batch for step in steps for batch in step),
        key=lambda batch: len(batch) * max(lengths[row] for row in batch),
    )
    try:
        needed = estimate(base.path, attention, precision, config, [examples[row] for row in largest])
    except (NotImplementedError, RuntimeError) as error:
        # Some architectures can't run without values; that is no reason not to train them.
        stage.say(f"memory and time can't be estimated for this model: {str(error).splitlines()[0]}")
        return
    refuse_if_too_large(needed, free_memory(device), config)
    tokens = sum(lengths[row] for step in steps for batch in step for row in batch)
    duration = needed.seconds(tokens, layer_rate(device, precision))
    stage.say(f"needs about {needed.memory_bytes / GIB:.1f} GiB and {clock(duration)} (minutes:seconds)")


def _seed_everything(seed: int, device: str) -> None:
    import torch

    torch.manual_seed(seed)
    if device == "cuda":
        if not torch.cuda.is_available():
            problem = "is cuda, but torch finds no GPU; set TUNEGATE_DEVICE=cpu or run the set-up again"
            raise InvalidInput("device of this machine", [problem])
        os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")
        torch.use_deterministic_algorithms(True, warn_only=True)


def _sum_up(history: History, config: FinetuneConfig, device: str, stage: Stage) -> None:
    stage.metrics(
        {
            "train_loss": smooth(history.losses)[-1],
            "tokens_per_s": history.tokens_per_s,
            "train_tokens": history.tokens,
            "train_seconds": history.seconds,
            "steps": len(history.losses),
            "peak_memory_gib": _peak_memory_bytes(device) / GIB,
        },
        step=len(history.losses),
    )
    with tempfile.TemporaryDirectory() as folder:
        picture = Path(folder) / "loss.png"
        draw_loss(history.losses, config.num_train_epochs, picture)
        stage.figure("Training loss", picture)


def _peak_memory_bytes(device: str) -> int:
    if device == "cuda":
        import torch

        return int(torch.cuda.max_memory_allocated())
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
