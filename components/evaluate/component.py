"""KFP components: evaluate base and fine-tuned, and the quality gate."""

from kfp import dsl


@dsl.component(base_image="python:3.11-slim", install_kfp_package=False)
def evaluate(
    adapter: dsl.Input[dsl.Model],
    eval_set: dsl.Input[dsl.Dataset],
    base_model: str,
    max_eval_rows: int,
    max_new_tokens: int,
    max_model_len: int,
    seed: int,
    model_name: str,
    champion_version: str,
    scores: dsl.Output[dsl.Artifact],
    metrics: dsl.Output[dsl.Metrics],
    confusion: dsl.Output[dsl.ClassificationMetrics],
    page: dsl.Output[dsl.Markdown],
) -> None:
    """Let base, fine-tuned and champion answer the same held-out prompts in one engine and score them."""
    from pathlib import Path

    from components.evaluate.agreement import CATEGORIES, agreement
    from components.evaluate.compare import EvaluateConfig, compare
    from components.tracking.shell import run_stage

    config = EvaluateConfig.of(locals())
    read, measured = [eval_set, adapter], [metrics, confusion]
    with run_stage("evaluate", config, page, reads=read, makes=[scores], metrics=measured) as stage:
        compared = compare(config, Path(adapter.path), Path(eval_set.path), Path(scores.path), stage)
    scores.metadata["adapter_digest"] = compared.adapter_digest
    scores.metadata["base_revision"] = compared.base_revision
    confusion.log_confusion_matrix(CATEGORIES, agreement(Path(scores.path)))


@dsl.component(base_image="python:3.11-slim", install_kfp_package=False)
def quality_gate(
    scores: dsl.Input[dsl.Artifact],
    quality_metric: str,
    quality_margin: float,
    confidence: float,
    champion_margin: float,
    max_guard_drop: float,
    seed: int,
    verdict: dsl.Output[dsl.Artifact],
    page: dsl.Output[dsl.Markdown],
) -> bool:
    """Let the release go on only if the fine-tuned model is better than the base by the asked margin."""
    from pathlib import Path

    from components.evaluate.gate import QualityGateConfig, judge_quality
    from components.tracking.shell import run_stage

    config = QualityGateConfig.of(locals())
    with run_stage("quality-gate", config, page, reads=[scores]) as stage:
        judged = judge_quality(config, Path(scores.path), stage)
    judged.write(Path(verdict.path))
    return judged.passed
