"""Let base and fine-tuned answer the same prompts in one engine and score both."""

import json
import random
from collections.abc import Sequence
from pathlib import Path

from pydantic import BaseModel, ConfigDict, Field

from components.adapters import adapter_digest
from components.conversations import Conversation, read_conversations
from components.engine import EngineConfig, answer
from components.errors import InvalidInput
from components.evaluate.record import record
from components.evaluate.scores import ScoredExample, Scores
from components.evaluate.scoring import GUARD_METRIC, TASK_METRICS, score
from components.models import prepare_base_model
from components.tracking import Stage

GUARD_SET = Path(__file__).parent / "guard.jsonl"


class EvaluateConfig(BaseModel):
    """How base and fine-tuned are compared."""

    model_config = ConfigDict(frozen=True)

    base_model: str = Field(min_length=1, description="The model that the adapter was trained on.")
    max_eval_rows: int = Field(ge=2, description="Held-out rows that both models answer.")
    max_new_tokens: int = Field(ge=1, description="Longest answer, tokens.")
    max_model_len: int = Field(ge=1, description="Longest prompt plus answer, tokens.")
    seed: int = Field(ge=0, description="Seed of the choice of rows.")


def compare(
    config: EvaluateConfig, adapter_path: Path, eval_path: Path, scores_path: Path, stage: Stage
) -> Scores:
    """Evaluate an adapter against its base model.

    Both models answer the same held-out prompts greedily, and the guard set, whose general questions
    show what fine-tuning made the model forget.

    Args:
        config: Models, rows and lengths.
        adapter_path: Directory of the PEFT adapter.
        eval_path: The eval set.
        scores_path: Where the scores go.
        stage: The running stage; it keeps metrics, figures, the scores and a few examples.

    Raises:
        InvalidInput: The adapter can't be used, the eval set has no rows, or prompts are too long.
    """
    digest = adapter_digest(adapter_path)
    rank = _adapter_rank(adapter_path)
    rows = pick_rows(read_conversations(eval_path), config.max_eval_rows, config.seed)
    guard = read_conversations(GUARD_SET)
    base = prepare_base_model(config.base_model)
    stage.say(f"base and fine-tuned answer {len(rows)} held-out and {len(guard)} guard prompts")
    engine = EngineConfig(
        base_path=base.path,
        adapter_path=adapter_path,
        model_name="tuned",
        lora_r=rank,
        max_model_len=config.max_model_len,
    )
    answers = answer(engine, [row.prompt for row in (*rows, *guard)], config.max_new_tokens)
    cut = len(rows)
    examples = score_rows(rows, answers["base"][:cut], answers["tuned"][:cut], TASK_METRICS)
    guarded = score_rows(guard, answers["base"][cut:], answers["tuned"][cut:], (GUARD_METRIC,))
    scores = Scores(
        adapter_digest=digest,
        base_model=base.name,
        base_revision=base.revision,
        examples=examples,
        guard=guarded,
        guard_base=sum(item.base[GUARD_METRIC] for item in guarded) / len(guarded),
        guard_tuned=sum(item.tuned[GUARD_METRIC] for item in guarded) / len(guarded),
    )
    scores.write(scores_path)
    record(scores, config.seed, stage)
    return scores


def pick_rows(rows: Sequence[Conversation], most: int, seed: int) -> list[Conversation]:
    """Choose at most `most` rows at random, the same for the same seed, and keep their order.

    Raises:
        InvalidInput: There are no rows.
    """
    if not rows:
        raise InvalidInput(
            "eval set", ["holds no rows, so there is nothing to compare the models on; add held-out rows"]
        )
    if len(rows) <= most:
        return list(rows)
    return [rows[index] for index in sorted(random.Random(seed).sample(range(len(rows)), most))]


def score_rows(
    rows: Sequence[Conversation], base: Sequence[str], tuned: Sequence[str], metrics: Sequence[str]
) -> tuple[ScoredExample, ...]:
    """Score both models' answers to each row by every metric."""
    references = [row.completion for row in rows]
    values = {
        (model, metric): score(metric, answers, references)
        for model, answers in (("base", base), ("tuned", tuned))
        for metric in metrics
    }
    return tuple(
        ScoredExample(
            prompt=row.messages[:-1],
            reference=row.completion,
            base_answer=base[index],
            tuned_answer=tuned[index],
            base={metric: values["base", metric][index] for metric in metrics},
            tuned={metric: values["tuned", metric][index] for metric in metrics},
        )
        for index, row in enumerate(rows)
    )


def _adapter_rank(adapter_path: Path) -> int:
    """Read the highest rank that the adapter has in any layer."""
    what = f"adapter {adapter_path}"
    try:
        config = json.loads((adapter_path / "adapter_config.json").read_text(encoding="utf-8"))
    except ValueError as error:
        raise InvalidInput(what, [f"adapter_config.json: not JSON ({error}); save it again"]) from error
    ranks = [config.get("r"), *(config.get("rank_pattern") or {}).values()]
    if not all(isinstance(rank, int) and rank > 0 for rank in ranks):
        raise InvalidInput(
            what, [f"adapter_config.json: r and rank_pattern give {ranks}, wanted whole numbers above 0"]
        )
    return int(max(ranks))
