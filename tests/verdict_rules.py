"""Intervals, tests and verdicts on numbers per seed, written apart from those of src/: SciPy's, wherever it has them.

The tests hold the pages against them.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from scipy import stats

LEAST = 5  # seeds below which nothing is judged
LEVEL = 0.05  # of every test


# Rules: (values (n,), bound) -> word


def interval(values: np.ndarray) -> tuple[float, float]:
    """95 % interval of the mean; of equal values it has no width, of a single one no ends."""
    n = len(values)
    if n == 1:
        return np.nan, np.nan
    if np.ptp(values) == 0:
        return values[0], values[0]
    low, high = stats.t.interval(1 - LEVEL, n - 1, loc=np.mean(values), scale=stats.sem(values))
    return float(low), float(high)


def above(values: np.ndarray, bound: float) -> str:
    low, high = interval(values)
    if len(values) < LEAST:
        return "undecided"
    return "supported" if low > bound else "refuted" if high < bound else "undecided"


def below(values: np.ndarray, bound: float) -> str:
    return above(-values, -bound)


def equal(values: np.ndarray, margin: float) -> str:
    low, high = interval(values)
    if len(values) < LEAST:
        return "undecided"
    if outside(values, margin) < LEVEL:
        return "equivalent"
    return "refuted" if low > margin or high < -margin else "undecided"


def above_or_equal(values: np.ndarray, margin: float) -> str:
    word = above(values, 0.0)
    return f"{word}, equivalent within {margin}" if equal(values, margin) == "equivalent" else word


def at_least(value: np.ndarray, bound: float) -> str:
    """A ratio of times, measured once."""
    return "supported" if value[0] >= bound else "refuted"


def outside(values: np.ndarray, margin: float) -> float:
    """p of two one-sided tests of "the mean lies outside the margin": the greater one."""
    return max(one_sided(values, -margin, "greater"), one_sided(values, margin, "less"))


def one_sided(values: np.ndarray, bound: float, side: str) -> float:
    if np.ptp(values) == 0:
        return float(not (values[0] > bound if side == "greater" else values[0] < bound))
    return float(stats.ttest_1samp(values, bound, alternative=side).pvalue)


Rule = Callable[[np.ndarray, float], str]


@dataclass(frozen=True)
class Found:
    """What decides one verdict: a number per seed, or several by label; the rule, and its bound."""

    values: np.ndarray | Mapping[str, np.ndarray]
    rule: Rule = above
    bound: float = 0.0

    @property
    def parts(self) -> Mapping[str, np.ndarray]:
        """By label, "" where there is one part alone."""
        return self.values if isinstance(self.values, Mapping) else {"": self.values}

    def word(self) -> str:
        """Supported if all parts are, refuted if one is."""
        words = {self.rule(values, self.bound) for values in self.parts.values()}
        return next((word for word in ("refuted", "undecided") if word in words), min(words))


# What is said of the original's claims: claim has effect, margin, at_most, at_least and primary


def sized(claim: Any) -> bool:
    """It has a number that decides."""
    return any(it is not None for it in (claim.effect, claim.margin, claim.at_most, claim.at_least))


def p_of(claim: Any, values: np.ndarray) -> float:
    """One-sided p of what the claim denies."""
    if claim.effect is not None:
        return one_sided(values, 0.0, "greater" if claim.effect > 0 else "less")
    if claim.margin is not None:
        return outside(values, claim.margin)
    bound, side = (claim.at_least, "greater") if claim.at_most is None else (claim.at_most, "less")
    return one_sided(values, bound, side)


def adjusted(p: Sequence[float]) -> list[float]:
    """Holm's: of each p and all smaller ones the largest product with the number of those not yet rejected."""
    return [min(1.0, max((len(p) - k) * q for k, q in enumerate(sorted(p)) if q <= one)) for one in p]


def word_on_page(word: str) -> str:
    """A verdict of ours as a claim, a headline or a finding has it."""
    first = word.split(", ")[0]
    return {"supported": "stands", "equivalent": "stands", "refuted": "falls"}.get(first, "undecided")


def word_of(claim: Any, values: np.ndarray, p: float | None) -> str:
    """Stands, smaller, falls or undecided; p: a primary claim's, adjusted."""
    if len(values) < LEAST:
        return "undecided"
    low, high = interval(values)
    if claim.effect is not None:
        size = abs(claim.effect)
        near, far = (low, high) if claim.effect > 0 else (-high, -low)  # towards the effect
        if near > 0:
            word = "smaller" if far < size / 2 else "stands"
        else:
            word = "undecided" if far >= size else "falls"
    elif claim.margin is not None:
        word = word_on_page(equal(values, claim.margin))
    elif claim.at_most is not None:
        word = "stands" if high <= claim.at_most else "falls" if low > claim.at_most else "undecided"
    else:
        word = "stands" if low >= claim.at_least else "falls" if high < claim.at_least else "undecided"
    unsure = p is not None and p >= LEVEL and word in ("stands", "smaller")
    return "undecided" if unsure else word


@functools.cache
def seeds_to_decide(claim: Any, sample: tuple[float, ...], n_primary: int) -> str:
    """The smallest sample of this one's mean and spread that decides a claim, made and judged: "n 7", "n > 1,000"."""
    values = np.array(sample)
    for n in range(LEAST, 1001):
        signs = np.resize([1.0, -1.0], n) * (np.arange(n) < n - n % 2)
        like = values.mean() + values.std(ddof=1) * signs / signs.std(ddof=1)
        if word_of(claim, like, min(1.0, n_primary * p_of(claim, like)) if claim.primary else None) != "undecided":
            return f"n {n}"
    return "n > 1,000"


def word_shown(word: str, p: float | None, claim: Any, values: np.ndarray | None, n_primary: int) -> str:
    """A verdict with what stands in brackets beside it: adjusted p, and of an open one the seeds to decide it."""
    beside = [] if p is None or word == "falls" else [f"p {p:.2g}"]
    if word == "undecided" and values is not None and sized(claim):
        beside.append(seeds_to_decide(claim, tuple(values.tolist()), n_primary))
    return f"{word} ({', '.join(beside)})" if beside else word
