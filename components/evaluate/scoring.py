"""Scoring answers with the metric modules that ship in `metrics/`."""

import functools
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from components.settings import home

LABELS = {"exact_match": "exact match", "token_f1": "token F1"}
TASK_METRICS = tuple(LABELS)
GUARD_METRIC = "contains"
_METRICS = Path(__file__).parent / "metrics"


def score(metric: str, answers: Sequence[str], references: Sequence[str]) -> list[float]:
    """Score each answer against its reference.

    Args:
        metric: The name of a folder in `metrics/`.
        answers: What a model said.
        references: What was asked for, in the same order.

    Returns:
        One value each, 0 to 1.
    """
    if not answers and not references:
        return []
    result = _modules()[metric].compute(predictions=list(answers), references=list(references))
    return [float(value) for value in result["scores"]]


@functools.cache
def _modules() -> dict[str, Any]:
    """Load every metric, once a process.

    `evaluate` imports a metric from a copy that it makes in a cache, by default in the user's home,
    which may be read-only; it reads the place from its config at each load. All are loaded together
    because Python then keeps that place as where the package of all copies lives.
    """
    import evaluate

    cache = home() / "cache" / "metrics"
    before = evaluate.config.HF_MODULES_CACHE
    evaluate.config.HF_MODULES_CACHE = cache / "modules"
    try:
        return {
            name: evaluate.load(str(_METRICS / name), cache_dir=str(cache / "data"), keep_in_memory=True)
            for name in (*TASK_METRICS, GUARD_METRIC)
        }
    finally:
        evaluate.config.HF_MODULES_CACHE = before
