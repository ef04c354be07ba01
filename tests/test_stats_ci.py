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
    narrower,
    paired_difference,
    verdict_equivalent,
    verdict_not_worse,
    verdict_positive,
)


def test_the_interval_is_that_of_a_t_test():
    values = np.random.default_rng(0).normal(3.0, 2.0, 7)
    found, wanted = estimate(values), stats.ttest_1samp(values, 0).confidence_interval(0.95)
    assert (found.low, found.high) == pytest.approx((wanted.low, wanted.high))
    inner = stats.ttest_1samp(values, 0).confidence_interval(0.9)
    assert (narrower(found).low, narrower(found).high) == pytest.approx((inner.low, inner.high))


SEEDS = {  # scores of many seeds, each the mean over its 20 games; and the truth
    "normal": (lambda rng, shape: rng.normal(3.0, 2.0, shape), 3.0),
    "skewed": (lambda rng, shape: rng.lognormal(2.0, 1.0, (*shape, 20)).mean(-1), np.exp(2.5)),
    "of few values": (lambda rng, shape: -21 + rng.choice([0, 1, 4], (*shape, 20), p=[0.6, 0.3, 0.1]).mean(-1), -20.3),
}


@pytest.mark.parametrize("n", [5, 10, 20])
@pytest.mark.parametrize("kind", SEEDS)
def test_intervals_cover(kind, n):
    draw, truth = SEEDS[kind]
    trials = draw(np.random.default_rng(n), (4000, n))
    hits = np.mean([found.low <= truth <= found.high for found in map(estimate, trials)])
    assert 0.93 <= hits <= 0.98
    short = [(np.percentile(trial, 2.5), np.percentile(trial, 97.5)) for trial in trials[:1000, :3]]
    if n == 5:  # negative control: the range of three seeds
        assert np.mean([low <= truth <= high for low, high in short]) < 0.9


@pytest.mark.parametrize("truth", [0.0, 1.0, 1.9])
def test_equivalence_is_two_one_sided_tests(truth):
    rng, words = np.random.default_rng(1), []
    for _ in range(200):
        values = rng.normal(truth, 1.0, 6)
        above = stats.ttest_1samp(values, -2.0, alternative="greater").pvalue
        below = stats.ttest_1samp(values, 2.0, alternative="less").pvalue
        words.append(verdict_equivalent(estimate(values), 2.0))
        assert (words[-1] == "equivalent") == (max(above, below) < 0.05)
        assert (verdict_not_worse(estimate(values), 2.0) == "supported") == (above < 0.05)
    assert len(set(words)) > 1


@pytest.mark.parametrize("n", [1, 2, 4])
def test_few_seeds_decide_nothing(n):
    few = estimate(5.0 + 1e-3 * np.arange(n))
    assert {verdict_positive(few), verdict_equivalent(few, 9.0), verdict_not_worse(few, 1.0)} == {"undecided"}
    assert verdict_positive(estimate(5.0 + 1e-3 * np.arange(5))) == "supported"


def test_equal_values_and_single_values():
    alike = estimate([2.1, 2.1, 2.1])
    assert alike == Estimate(2.1, 2.1, 2.1, 3) and str(alike) == "2.1 (all 3 alike)"
    assert verdict_positive(estimate([2.1] * 5)) == "supported"
    single = estimate([2.0])
    assert np.isnan(single.low) and "no interval" in str(single)


def test_pairing_removes_what_seeds_share():
    rng = np.random.default_rng(0)
    luck = rng.normal(0, 10, 8)
    a, b = luck + 1 + rng.normal(0, 0.1, 8), luck + rng.normal(0, 0.1, 8)
    paired = paired_difference(a, b)
    assert paired.low > 0.8 and paired.high < 1.2
    unpaired = estimate(a)
    assert unpaired.high - unpaired.low > 10 * (paired.high - paired.low)


@pytest.mark.parametrize(
    ("low", "high", "positive", "equivalent", "not_worse"),
    [
        (0.5, 1.0, "supported", "equivalent", "supported"),
        (-1.0, 1.0, "undecided", "equivalent", "supported"),
        (-3.0, 1.0, "undecided", "undecided", "undecided"),
        (-1.0, 2.2, "undecided", "equivalent", "supported"),
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
        estimate([1.0, np.nan])
    with pytest.raises(ValueError, match="finite"):
        estimate([])
    with pytest.raises(ValueError, match="match"):
        paired_difference([1, 2], [1, 2, 3])
    with pytest.raises(ValueError, match="margin"):
        verdict_equivalent(Estimate(0, 0, 0, 2), 0)


def test_means():
    assert mean_over_games([[1, 3], [5, 7, 9]]).tolist() == [2.0, 7.0]


def test_a_verdict_knows_its_replications():
    assert Verdict("a", "a > b", Estimate(1.0, 0.5, 1.5, 7), "supported").n == 7
    assert measured("a", "fast", 3, True) == Verdict("a", "fast", 3.0, "supported", None, 1)
    assert measured("a", "fast", 3, False, 4.0).verdict == "refuted"
    assert missing("a", "fast") == Verdict("a", "fast", None, "missing")
