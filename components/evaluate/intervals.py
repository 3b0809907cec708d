"""Bootstrap intervals of a mean: how far it could be from the truth with other held-out rows."""

import math
import warnings
from collections.abc import Sequence
from dataclasses import dataclass

RESAMPLES = 9999


@dataclass(frozen=True)
class MeanInterval:
    """The mean of a sample and the interval that its true value is believed to be in.

    Attributes:
        mean: The sample's mean.
        low: Lower end.
        high: Upper end.
        resampled_means: Means of the resamples; empty where every value was the same.
    """

    mean: float
    low: float
    high: float
    resampled_means: tuple[float, ...] = ()


def mean_interval(
    values: Sequence[float], confidence: float, seed: int, span: tuple[float, float]
) -> MeanInterval:
    """Return the bootstrap interval of a mean, the same for any order of the values.

    Rows are resampled with replacement and the interval is bias-corrected and accelerated (BCa;
    Efron & Tibshirani, "An Introduction to the Bootstrap", 1993, chapter 14). Over *paired
    differences* of two systems on the same rows this is the paired bootstrap of Koehn, "Statistical
    Significance Tests for Machine Translation Evaluation" (2004).

    Where all n values are one and the same there is nothing to resample and a bootstrap would claim
    certainty. A different value that was not seen in n rows may still have a probability of up to
    q = 1 - (alpha / 2)^(1 / n) (the exact binomial bound, the "rule of three"); the interval lets
    that share lie at either end of `span`.

    Args:
        values: The sample, one value a row.
        confidence: Share of samples whose interval holds the truth, two-sided: 0.95 leaves 0.025 at
            each end.
        seed: Seed of the resampling.
        span: Least and largest value that a row can have.
    """
    import numpy as np
    from scipy import stats

    ordered = np.sort(np.asarray(values, dtype=float))
    mean = float(ordered.mean())
    if ordered[0] == ordered[-1]:
        unseen = 1 - ((1 - confidence) / 2) ** (1 / len(ordered))
        return MeanInterval(mean, mean - unseen * (mean - span[0]), mean + unseen * (span[1] - mean))
    for method in ("BCa", "percentile"):
        with warnings.catch_warnings():
            # BCa has no answer for a few samples next to the degenerate one; the percentile method has.
            warnings.simplefilter("ignore", stats.DegenerateDataWarning)
            result = stats.bootstrap(
                (ordered,),
                np.mean,
                confidence_level=confidence,
                n_resamples=RESAMPLES,
                batch=1000,
                method=method,
                rng=np.random.default_rng(seed),
            )
        low, high = map(float, result.confidence_interval)
        if math.isfinite(low) and math.isfinite(high):
            break
    return MeanInterval(mean, low, high, tuple(result.bootstrap_distribution.tolist()))
