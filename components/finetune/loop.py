"""The training loop: steps as planned, progress every two seconds, checkpoints every thirty."""

import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from components.errors import TunegateError
from components.finetune.batches import Step, collate
from components.finetune.checkpoint import load_checkpoint, save_checkpoint
from components.finetune.config import FinetuneConfig
from components.finetune.loss import CompletionLoss
from components.finetune.optimizer import MasterAdamW, learning_rate_at
from components.templates.examples import Examples
from components.tracking.stage import Stage

REPORT_S = 2.0
CHECKPOINT_S = 30.0


@dataclass
class History:
    """What a run has done so far, over all the processes that worked on it.

    Attributes:
        losses: Mean loss a learned token, one a step.
        tokens: Tokens of the rows seen, padding not counted.
        seconds: Time spent in steps.
    """

    losses: list[float] = field(default_factory=list)
    tokens: int = 0
    seconds: float = 0.0

    @property
    def tokens_per_s(self) -> float:
        """Mean speed; 0 before the first step."""
        return self.tokens / self.seconds if self.seconds else 0.0


def run_steps(
    model: Any,
    examples: Examples,
    steps: Sequence[Step],
    config: FinetuneConfig,
    checkpoints: Path,
    stage: Stage,
) -> History:
    """Train the adapter in `model` on every step, from the last checkpoint on if there is one.

    Args:
        model: The base model, adapter injected, on its device.
        examples: The rows.
        steps: The plan.
        config: The knobs.
        checkpoints: Folder of this run's checkpoint.
        stage: Where progress goes.

    Raises:
        TunegateError: The loss is no number any more, or the disk is full.
    """
    optimizer = MasterAdamW(weight for weight in model.parameters() if weight.requires_grad)
    loss_of = CompletionLoss(model, share_prompt=config.lora_dropout == 0)
    history = _resume(checkpoints, optimizer, stage)
    done = len(history.losses)
    tokens_left = sum(_tokens(examples, step) for step in steps[done:])
    resumed_tokens, resumed_s = history.tokens, history.seconds
    reported = saved = time.monotonic()
    for number in range(done, len(steps)):
        start = time.monotonic()
        learning_rate = learning_rate_at(number, len(steps), config.learning_rate, config.warmup_ratio)
        loss, norm = _train_step(loss_of, optimizer, examples, steps[number], learning_rate)
        now = time.monotonic()
        if loss != loss:
            problem = f"the loss is not a number at step {number + 1}; lower learning_rate"
            raise TunegateError(f"{problem} (it is {config.learning_rate:g})")
        history.losses.append(loss)
        history.tokens += _tokens(examples, steps[number])
        history.seconds += now - start
        tokens_left -= _tokens(examples, steps[number])
        first, last = number == done, number == len(steps) - 1
        if first or last or now - reported >= REPORT_S:
            reported = now
            speed = (history.tokens - resumed_tokens) / (history.seconds - resumed_s)
            stage.say(
                f"step {number + 1}/{len(steps)}  loss {loss:.3f}  {speed:.0f} tokens/s  "
                f"{clock(tokens_left / speed)} left"
            )
            values = {"loss": loss, "learning_rate": learning_rate, "tokens_per_s": speed, "grad_norm": norm}
            stage.metrics(values, step=number + 1)
        if now - saved >= CHECKPOINT_S and not last:
            save_checkpoint(checkpoints, _state(optimizer, history))
            saved = time.monotonic()
    return history


def _train_step(
    loss_of: CompletionLoss,
    optimizer: MasterAdamW,
    examples: Examples,
    step: Step,
    learning_rate: float,
) -> tuple[float, float]:
    """Do one step and return its mean loss a learned token and the norm of its gradient.

    Every learned token of the step weighs the same, in whichever batch it is.
    """
    batches = [[examples[row] for row in batch] for batch in step]
    learned = sum(example.learned_count for batch in batches for example in batch)
    total = 0.0
    for batch in batches:
        loss = loss_of(collate(batch).to(loss_of.model.device)) / learned
        loss.backward()  # type: ignore[no-untyped-call]
        optimizer.collect()
        total += float(loss.detach())
    return total, optimizer.step(learning_rate)


def _tokens(examples: Examples, step: Step) -> int:
    return int(examples.lengths[[row for batch in step for row in batch]].sum())


def _state(optimizer: MasterAdamW, history: History) -> dict[str, Any]:
    import torch

    on_devices = torch.cuda.get_rng_state_all() if torch.cuda.is_available() else []
    generators = {"cpu": torch.get_rng_state(), "cuda": on_devices}
    return {"optimizer": optimizer.state(), "history": asdict(history), "generators": generators}


def _resume(checkpoints: Path, optimizer: MasterAdamW, stage: Stage) -> History:
    import torch

    state = load_checkpoint(checkpoints)
    if state is None:
        return History()
    optimizer.load(state["optimizer"])
    torch.set_rng_state(state["generators"]["cpu"])
    if state["generators"]["cuda"]:
        torch.cuda.set_rng_state_all(state["generators"]["cuda"])
    history = History(**state["history"])
    stage.say(f"going on from the checkpoint of step {len(history.losses)}")
    return history


def clock(seconds: float) -> str:
    """Write a duration as minutes:seconds, or hours:minutes:seconds from an hour on."""
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{rest:02}" if hours else f"{minutes}:{rest:02}"
