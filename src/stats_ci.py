"""Intervals over seeds and the four verdicts. The unit of replication is the seed, never the frame or the game."""

import functools
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike
from scipy import stats

SUPPORTED, REFUTED, EQUIVALENT, UNDECIDED = "supported", "refuted", "equivalent", "undecided"
MISSING = "missing"  # not measured yet
LEVEL = 0.95  # of every interval
LEAST = 5  # replications below which nothing is judged


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
        if self.low == self.high:
            return f"{self.mean:.3g} (all {self.n} alike)"
        digits = 3 if max(abs(self.low), abs(self.high)) < 2 else 1
        return f"{self.mean:.{digits}f} [{self.low:.{digits}f}, {self.high:.{digits}f}]"


@dataclass(frozen=True)
class FineEstimate(Estimate):
    """An estimate that is shown with as many decimals as `digits`: of correlations close to 1."""

    digits: int = 5

    def __str__(self) -> str:
        if np.isnan(self.low):
            return f"{self.mean:.{self.digits}f} (n = {self.n}, no interval)"
        if self.low == self.high:
            return f"{self.mean:.{self.digits}f} (all {self.n} alike)"
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


def estimate(values: ArrayLike) -> Estimate:
    """Mean over replications and its interval by Student's t, which covers 95 % also of a handful.

    values   (n,) one number per replication; equal ones give an interval of no width
    Raises   ValueError if there are none or one is not finite.
    """
    values = np.asarray(values, np.float64)
    if values.ndim != 1 or values.size == 0 or not np.isfinite(values).all():
        raise ValueError(f"expected at least one finite value per replication, not {values!r}")
    mean, n = float(values.mean()), values.size
    if n == 1:
        return Estimate(mean, float("nan"), float("nan"), 1)
    if (values == values[0]).all():
        return Estimate(float(values[0]), float(values[0]), float(values[0]), n)
    half = _quantile(0.5 + LEVEL / 2, n) * float(values.std(ddof=1)) / np.sqrt(n)
    return Estimate(mean, mean - half, mean + half, n)


def paired_difference(a: ArrayLike, b: ArrayLike) -> Estimate:
    """Estimate of the mean of a - b over replications that share their data (same seed, same demonstrations).

    Raises   ValueError if a and b differ in length.
    """
    a, b = np.asarray(a, np.float64), np.asarray(b, np.float64)
    if a.shape != b.shape:
        raise ValueError(f"paired values must match: {a.shape} and {b.shape}")
    return estimate(a - b)


def positive(id: str, claim: str, values: ArrayLike) -> Verdict:
    """On the mean of values (n,), one per replication: does it lie above 0?"""
    found = estimate(values)
    return Verdict(id, claim, found, verdict_positive(found))


def verdict_positive(difference: Estimate) -> str:
    """'difference > 0' is supported, refuted or undecided by its interval; with fewer than `LEAST` seeds undecided."""
    if difference.n < LEAST:
        return UNDECIDED
    if difference.low > 0:
        return SUPPORTED
    return REFUTED if difference.high < 0 else UNDECIDED


def verdict_equivalent(difference: Estimate, margin: float) -> str:
    """'|difference| < margin': equivalent by two one-sided tests at 5 %, refuted if the interval is wholly outside.

    The tests hold together where the 90 % interval lies inside the margin.
    margin   fixed before the run, in the unit of the difference; a large p-value is no evidence of equality
    Raises   ValueError if the margin is not positive.
    """
    if not margin > 0:
        raise ValueError(f"margin must be positive, not {margin}")
    if difference.n < LEAST:
        return UNDECIDED
    inner = narrower(difference)
    if -margin < inner.low and inner.high < margin:
        return EQUIVALENT
    return REFUTED if difference.low > margin or difference.high < -margin else UNDECIDED


def verdict_not_worse(difference: Estimate, margin: float) -> str:
    """'difference > -margin' (no worse than by the margin) is supported, refuted or undecided: one test at 5 %."""
    if difference.n < LEAST:
        return UNDECIDED
    if narrower(difference).low > -margin:
        return SUPPORTED
    return REFUTED if difference.high < -margin else UNDECIDED


def narrower(found: Estimate) -> Estimate:
    """The 90 % interval of an estimate by `estimate`, whose 95 % it holds."""
    half = (found.high - found.low) / 2 * _quantile(LEVEL, found.n) / _quantile(0.5 + LEVEL / 2, found.n)
    return Estimate(found.mean, found.mean - half, found.mean + half, found.n)


@functools.cache
def _quantile(probability: float, n: int) -> float:
    """Of Student's t for the mean of n values."""
    return float(stats.t.ppf(probability, n - 1))


def mean_over_games(scores: Sequence[Sequence[float] | np.ndarray] | np.ndarray) -> np.ndarray:
    """(n seeds,) means over the games of each seed: what enters an interval over seeds."""
    return np.array([np.mean(games) for games in scores])
