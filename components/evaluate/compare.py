"""Let base and fine-tuned answer the same prompts in one engine and score both."""

import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path

from pydantic import ConfigDict, Field

from components.conversations import Conversation, Conversations, read_conversations, some_of
from components.engine.config import EngineConfig
from components.engine.offline import Contender, answer
from components.errors import InvalidInput
from components.evaluate.metrics import METRICS
from components.evaluate.record import record
from components.evaluate.scores import ScoredExample, Scores
from components.evaluate.scoring import GUARD_METRIC, score
from components.models import prepare_base_model
from components.oci.adapter_images import pull_adapter
from components.oci.adapters import adapter_digest, adapter_rank
from components.templates.chat_tokenizer import ChatTokenizer
from components.tracking.model_registry import registered_version
from components.tracking.shell import StageConfig
from components.tracking.stage import Stage

GUARD_SET = Path(__file__).parent / "guard.jsonl"


class EvaluateConfig(StageConfig):
    """How base and fine-tuned are compared."""

    model_config = ConfigDict(frozen=True, protected_namespaces=())

    base_model: str = Field(min_length=1, description="The model that the adapter was trained on.")
    max_eval_rows: int = Field(ge=2, description="Held-out rows that both models answer.")
    max_new_tokens: int = Field(ge=1, description="Longest answer, tokens.")
    max_model_len: int = Field(ge=1, description="Longest prompt plus answer, tokens.")
    seed: int = Field(ge=0, description="Seed of the choice of rows.")
    model_name: str = Field("", description="The registered model; needed only with champion_version.")
    champion_version: str = Field("", description="Its version that has to be beaten; empty: none.")


def compare(
    config: EvaluateConfig, adapter_path: Path, eval_path: Path, scores_path: Path, stage: Stage
) -> Scores:
    """Evaluate an adapter against its base model.

    Both models answer the same held-out prompts greedily, and the guard set, whose general questions
    show what fine-tuning made the model forget. A champion that has to be beaten answers them too.

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
    rows = pick_rows(Conversations(eval_path), config.max_eval_rows, config.seed)
    guard = read_conversations(GUARD_SET)
    base = prepare_base_model(config.base_model)
    with tempfile.TemporaryDirectory() as folder:
        champion = _champion(config, Path(folder) / "champion", stage)
        ranks = [adapter_rank(path) for path in (adapter_path, champion) if path]
        who = "base, fine-tuned and champion" if champion else "base and fine-tuned"
        stage.say(f"{who} answer {len(rows)} held-out and {len(guard)} guard prompts")
        engine = EngineConfig(
            base_path=base.path,
            adapter_path=adapter_path,
            model_name="tuned",
            lora_r=max(ranks),
            max_model_len=config.max_model_len,
            champion_path=champion,
        )
        answers = answer(engine, [row.request for row in (*rows, *guard)], config.max_new_tokens)
    cut = len(rows)
    guarded = score_rows(guard, {who: said[cut:] for who, said in answers.items()}, (GUARD_METRIC,))
    scores = Scores(
        adapter_digest=digest,
        base_model=base.name,
        base_revision=base.revision,
        examples=score_rows(
            rows, {who: said[:cut] for who, said in answers.items()}, METRICS, references(rows, base.path)
        ),
        guard=guarded,
        guard_base=sum(item.base[GUARD_METRIC] for item in guarded) / len(guarded),
        guard_tuned=sum(item.tuned[GUARD_METRIC] for item in guarded) / len(guarded),
        champion_version=config.champion_version,
    )
    scores.write(scores_path)
    record(scores, config.seed, stage)
    return scores


def _champion(config: EvaluateConfig, target: Path, stage: Stage) -> Path | None:
    """Fetch the champion's adapter by its digests; None where none has to be beaten."""
    if not config.champion_version:
        return None
    registered = registered_version(stage.client, config.model_name, config.champion_version)
    return pull_adapter(registered.image, registered.adapter_digest, target)


def pick_rows(rows: Sequence[Conversation], most: int, seed: int) -> list[Conversation]:
    """Choose at most `most` rows at random, the same for the same seed, and keep their order.

    Raises:
        InvalidInput: There are no rows.
    """
    if not rows:
        raise InvalidInput(
            "eval set", ["holds no rows, so there is nothing to compare the models on; add held-out rows"]
        )
    return some_of(rows, most, seed)


def references(rows: Sequence[Conversation], base_path: Path) -> list[str]:
    """Return what each row asks for: the last turn's text; with calls of tools what the template makes of it.

    The engine's raw answer has calls in the same form. Reasoning is no part of what is asked for.
    """
    if not any(row.messages[-1].tool_calls for row in rows):
        return [row.completion for row in rows]
    tokenizer = ChatTokenizer(base_path)
    return [tokenizer.reference(row) if row.messages[-1].tool_calls else row.completion for row in rows]


def score_rows(
    rows: Sequence[Conversation],
    answers: Mapping[Contender, Sequence[str]],
    metrics: Sequence[str],
    wanted: Sequence[str] = (),
) -> tuple[ScoredExample, ...]:
    """Score every model's answers to each row by every metric, against its completion or what is wanted."""
    wanted = wanted or [row.completion for row in rows]
    values = {
        (model, metric): score(metric, said, wanted) for model, said in answers.items() for metric in metrics
    }

    def by_metric(model: Contender, index: int) -> dict[str, float]:
        return {metric: values[model, metric][index] for metric in metrics} if model in answers else {}

    return tuple(
        ScoredExample(
            prompt=row.messages[:-1],
            reference=wanted[index],
            base_answer=answers["base"][index],
            tuned_answer=answers["tuned"][index],
            base=by_metric("base", index),
            tuned=by_metric("tuned", index),
            champion_answer=answers["champion"][index] if "champion" in answers else "",
            champion=by_metric("champion", index),
        )
        for index, row in enumerate(rows)
    )
