"""Scoring answers with the metric modules that ship in `metrics/`."""

import functools
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

from components.evaluate.metrics import FOLDER, METRICS
from components.settings import home

GUARD_METRIC = "contains"


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
    with _hidden("transformers.pipelines"):  # evaluate's own users of it take 15 s to load
        import evaluate

    cache = home() / "cache" / "metrics"
    before = evaluate.config.HF_MODULES_CACHE
    evaluate.config.HF_MODULES_CACHE = cache / "modules"
    try:
        return {
            name: evaluate.load(str(FOLDER / name), cache_dir=str(cache / "data"), keep_in_memory=True)
            for name in METRICS
        }
    finally:
        evaluate.config.HF_MODULES_CACHE = before


@contextmanager
def _hidden(module: str) -> Iterator[None]:
    """Let an optional import of a module fail, unless it is loaded already."""
    if module in sys.modules:
        yield
        return
    sys.modules[module] = None  # type: ignore[assignment]  # that is how Python is told
    try:
        yield
    finally:
        del sys.modules[module]
