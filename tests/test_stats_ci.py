"""Intervals cover what they should, and the four verdicts follow from them."""

import numpy as np
import pytest
from scipy import stats

from stats_ci import (
    Estimate,
    Verdict,
    estimate,
    mean_over_games,
    measured,
    missing,
    paired_difference,
    verdict_equivalent,
    verdict_not_worse,
    verdict_positive,
)


def test_interval_is_close_to_the_normal_one_and_reproducible():
    values = np.random.default_rng(0).normal(3.0, 2.0, 200)
    a, b = (estimate(values, np.random.default_rng(1)) for _ in range(2))
    half = stats.norm.ppf(0.975) * values.std() / np.sqrt(200)
    assert a == b
    assert a.low == pytest.approx(values.mean() - half, abs=0.05) and a.high == pytest.approx(
        values.mean() + half, abs=0.05
    )


def test_coverage_on_twenty_seeds():
    """About 95 % of the intervals hold the truth (percentile intervals fall a little short at n = 20)."""
    rng = np.random.default_rng(0)
    hits = 0
    for _ in range(200):
        e = estimate(rng.normal(1.0, 1.0, 20), rng, n_resamples=499)
        hits += e.low <= 1.0 <= e.high
    assert 0.86 <= hits / 200 <= 0.99


def test_equal_values_and_single_values():
    assert estimate([2.0, 2.0, 2.0], np.random.default_rng(0)) == Estimate(2.0, 2.0, 2.0, 3)
    single = estimate([2.0], np.random.default_rng(0))
    assert np.isnan(single.low) and "no interval" in str(single)


def test_pairing_removes_what_seeds_share():
    rng = np.random.default_rng(0)
    luck = rng.normal(0, 10, 8)
    a, b = luck + 1 + rng.normal(0, 0.1, 8), luck + rng.normal(0, 0.1, 8)
    paired = paired_difference(a, b, rng)
    assert paired.low > 0.8 and paired.high < 1.2
    unpaired = estimate(a, rng)
    assert unpaired.high - unpaired.low > 10 * (paired.high - paired.low)


@pytest.mark.parametrize(
    ("low", "high", "positive", "equivalent", "not_worse"),
    [
        (0.5, 1.0, "supported", "equivalent", "supported"),
        (-1.0, 1.0, "undecided", "equivalent", "supported"),
        (-3.0, 1.0, "undecided", "undecided", "undecided"),
        (3.0, 5.0, "supported", "refuted", "supported"),
        (-5.0, -3.0, "refuted", "refuted", "refuted"),
        (float("nan"), float("nan"), "undecided", "undecided", "undecided"),
    ],
)
def test_verdicts(low, high, positive, equivalent, not_worse):
    e = Estimate((low + high) / 2, low, high, 5)
    assert (verdict_positive(e), verdict_equivalent(e, 2.0), verdict_not_worse(e, 2.0)) == (
        positive,
        equivalent,
        not_worse,
    )


def test_bad_input():
    with pytest.raises(ValueError, match="finite"):
        estimate([1.0, np.nan], np.random.default_rng(0))
    with pytest.raises(ValueError, match="finite"):
        estimate([], np.random.default_rng(0))
    with pytest.raises(ValueError, match="match"):
        paired_difference([1, 2], [1, 2, 3], np.random.default_rng(0))
    with pytest.raises(ValueError, match="margin"):
        verdict_equivalent(Estimate(0, 0, 0, 2), 0)


def test_means():
    assert mean_over_games([[1, 3], [5, 7, 9]]).tolist() == [2.0, 7.0]


def test_a_verdict_knows_its_replications():
    assert Verdict("a", "a > b", Estimate(1.0, 0.5, 1.5, 7), "supported").n == 7
    assert measured("a", "fast", 3, True) == Verdict("a", "fast", 3.0, "supported", None, 1)
    assert measured("a", "fast", 3, False, 4.0).verdict == "refuted"
    assert missing("a", "fast") == Verdict("a", "fast", None, "missing")
