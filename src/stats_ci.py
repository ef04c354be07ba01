"""Intervals over seeds and the four verdicts. The unit of replication is the seed, never the frame or the game."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike
from scipy import stats

SUPPORTED, REFUTED, EQUIVALENT, UNDECIDED = "supported", "refuted", "equivalent", "undecided"
MISSING = "missing"  # not measured yet


@dataclass(frozen=True)
class Estimate:
    """A mean with its confidence interval over n replications; low and high are NaN when n < 2."""

    mean: float
    low: float
    high: float
    n: int

    def __str__(self) -> str:
        if np.isnan(self.low):
            return f"{self.mean:.3g} (n = {self.n}, no interval)"
        digits = 3 if max(abs(self.low), abs(self.high)) < 2 else 1
        return f"{self.mean:.{digits}f} [{self.low:.{digits}f}, {self.high:.{digits}f}]"


@dataclass(frozen=True)
class FineEstimate(Estimate):
    """An estimate that is shown with as many decimals as `digits`: of correlations close to 1."""

    digits: int = 5

    def __str__(self) -> str:
        if np.isnan(self.low):
            return f"{self.mean:.{self.digits}f} (n = {self.n}, no interval)"
        return f"{self.mean:.{self.digits}f} [{self.low:.{self.digits}f}, {self.high:.{self.digits}f}]"


@dataclass(frozen=True)
class Verdict:
    """What became of a claim.

    id        short and stable, unique within its result: other pages refer to it
    claim     in words, as a reader needs it
    estimate  what it was judged by: an Estimate, a number that was measured once, several by label, None if missing
    verdict   supported, refuted, equivalent, undecided or missing
    margin    of an equivalence, or the bound that had to be passed; None for a difference from 0
    n         replications behind the estimate
    """

    id: str
    claim: str
    estimate: Estimate | float | Mapping[str, Estimate] | None
    verdict: str
    margin: float | None = None
    n: int = 0

    def __post_init__(self) -> None:
        if not self.n and isinstance(self.estimate, Estimate):
            object.__setattr__(self, "n", self.estimate.n)


def missing(id: str, claim: str, margin: float | None = None) -> Verdict:
    """The place of a verdict whose measurements are not there."""
    return Verdict(id, claim, None, MISSING, margin)


def measured(id: str, claim: str, value: float, holds: bool, margin: float | None = None) -> Verdict:
    """On one measured number, such as a ratio of times: supported or refuted."""
    return Verdict(id, claim, float(value), SUPPORTED if holds else REFUTED, margin, 1)


def estimate(
    values: ArrayLike, rng: np.random.Generator | None = None, level: float = 0.95, n_resamples: int = 9999
) -> Estimate:
    """Mean over replications and its percentile bootstrap interval (scipy.stats.bootstrap).

    values   (n,) one number per replication
    rng      of the resampling; by default one of its own, so that nothing depends on what was estimated before
    Raises   ValueError if there are none or one is not finite.
    The percentile method is used because BCa is undefined for equal values, which happen (all games lost 21 : 0).
    """
    values = np.asarray(values, np.float64)
    if values.ndim != 1 or values.size == 0 or not np.isfinite(values).all():
        raise ValueError(f"expected at least one finite value per replication, not {values!r}")
    if values.size == 1:
        return Estimate(float(values[0]), float("nan"), float("nan"), 1)
    rng = np.random.default_rng(0) if rng is None else rng
    interval = stats.bootstrap(
        (values,), np.mean, confidence_level=level, n_resamples=n_resamples, method="percentile", rng=rng
    ).confidence_interval
    return Estimate(float(values.mean()), float(interval.low), float(interval.high), values.size)


def paired_difference(a: ArrayLike, b: ArrayLike, rng: np.random.Generator, level: float = 0.95) -> Estimate:
    """Estimate of the mean of a - b over replications that share their data (same seed, same demonstrations).

    Raises   ValueError if a and b differ in length.
    """
    a, b = np.asarray(a, np.float64), np.asarray(b, np.float64)
    if a.shape != b.shape:
        raise ValueError(f"paired values must match: {a.shape} and {b.shape}")
    return estimate(a - b, rng, level)


def positive(id: str, claim: str, values: ArrayLike) -> Verdict:
    """On the mean of values (n,), one per replication: does it lie above 0?"""
    found = estimate(values)
    return Verdict(id, claim, found, verdict_positive(found))


def verdict_positive(difference: Estimate) -> str:
    """'difference > 0' is supported, refuted or undecided by its interval."""
    if difference.low > 0:
        return SUPPORTED
    return REFUTED if difference.high < 0 else UNDECIDED


def verdict_equivalent(difference: Estimate, margin: float) -> str:
    """'|difference| < margin' is equivalent (interval inside), refuted (wholly outside) or undecided.

    margin   fixed before the run, in the unit of the difference; a large p-value is no evidence of equality
    Raises   ValueError if the margin is not positive.
    """
    if not margin > 0:
        raise ValueError(f"margin must be positive, not {margin}")
    if -margin < difference.low and difference.high < margin:
        return EQUIVALENT
    return REFUTED if difference.low > margin or difference.high < -margin else UNDECIDED


def verdict_not_worse(difference: Estimate, margin: float) -> str:
    """'difference > -margin' (no worse than by the margin) is supported, refuted or undecided."""
    if difference.low > -margin:
        return SUPPORTED
    return REFUTED if difference.high < -margin else UNDECIDED


def mean_over_games(scores: Sequence[Sequence[float] | np.ndarray] | np.ndarray) -> np.ndarray:
    """(n seeds,) means over the games of each seed: what enters an interval over seeds."""
    return np.array([np.mean(games) for games in scores])
