"""Gaussian processes without sampling: the paper's values, to the digits that are known, and independent solutions."""

import mpmath
import numpy as np
import pytest
from scipy import linalg

from filter_shapes import lobes
from gaussian_processes import KERNELS, ProcessMoments, information, supplement
from resu_core import canonical_directions

PAST, FUTURE = 75, 25  # of the paper's figure
NOISES = (0.01, 0.1, 0.4)


def fit(kernel: str, noise: float, memory: int = PAST, horizon: int = FUTURE, **options):
    return canonical_directions(ProcessMoments(kernel, memory, horizon, noise, **options), 3, ridge=0.0)


THREE_DIGITS = 5.1e-4  # half a unit of the third decimal


# The values that are known


@pytest.mark.parametrize(
    ("kernel", "noise", "known"),
    [
        ("rational quadratic", 0.01, (1, 0.990, 0.723)),
        ("rational quadratic", 0.1, (0.998, 0.814, 0.224)),
        ("rational quadratic", 0.4, (0.977, 0.492, 0.049)),
        ("squared exponential", 0.01, (1, 0.997, 0.866)),  # .86647; on a grid of step .02 it is .86650
        ("squared exponential", 0.1, (0.998, 0.906, 0.341)),
        ("squared exponential", 0.4, (0.980, 0.660, 0.068)),
        ("ou", 0.01, (0.993, 0, 0)),
        ("ou", 0.1, (0.987, 0, 0)),
        ("ou", 0.4, (0.954, 0, 0)),
    ],
)
def test_correlations_are_the_known_ones(kernel, noise, known):
    np.testing.assert_allclose(fit(kernel, noise).correlations, known, rtol=0, atol=THREE_DIGITS)


@pytest.mark.parametrize(
    ("kernel", "zeros", "minima", "first_zeros"),
    [
        ("rational quadratic", (3.8, 6.1, 9.0), ((-0.393, 9), (-0.354, 14), (-0.331, 19)), (8.7, 13.1, 19.4)),
        ("squared exponential", (6.4, 8.6, 11.8), None, None),
    ],
)
def test_filters_have_the_known_zeros_and_minima(kernel, zeros, minima, first_zeros):
    shapes = [[lobes(taps) for taps in fit(kernel, noise).filters[:2]] for noise in NOISES]
    np.testing.assert_allclose([second.first_zero for _, second in shapes], zeros, rtol=0, atol=0.0501)
    if minima:
        np.testing.assert_allclose(
            [second.depth for _, second in shapes], [d for d, _ in minima], rtol=0, atol=THREE_DIGITS
        )
        assert [second.minimum_lag for _, second in shapes] == [lag for _, lag in minima]
    if first_zeros:
        np.testing.assert_allclose([first.first_zero for first, _ in shapes], first_zeros, rtol=0, atol=0.0501)


def test_a_future_one_step_late_predicts_less():
    late = [fit("rational quadratic", noise, gap=1).correlations[1] for noise in NOISES]
    np.testing.assert_allclose(late, (0.988, 0.800, 0.475), rtol=0, atol=THREE_DIGITS)


def test_an_ou_process_has_one_filter_of_one_lobe():
    for noise in NOISES:
        found = fit("ou", noise)
        assert found.correlations[1] < 1e-7 and lobes(found.filters[0]).count == 1


def test_the_supplement_to_its_digits():
    known = {40: (0.932, 0.462, 0.080), 20: (0.920, 0.416, 0.061)}
    for length, correlations in known.items():
        found = canonical_directions(supplement(length), 2, ridge=0.0).spectrum
        np.testing.assert_allclose(found[3:6], correlations, rtol=0, atol=THREE_DIGITS)
    for length, nats in {2: 10.04, 6: 15.72, 10: 17.08, 22: 18.34, 38: 18.56}.items():
        assert information(supplement(length)) == pytest.approx(nats, abs=0.0051)


# Independent solutions


def by_cholesky(moments: ProcessMoments) -> np.ndarray:
    """Correlations from the eigenproblem C_pf C_ff^-1 C_fp a = S^2 C_pp a, entry by entry from the kernel."""
    m, h, kernel = moments.memory, moments.horizon, KERNELS[moments.kernel]
    times = [-i for i in range(m)] + [1 + moments.gap + j for j in range(h)]
    covariance = np.array([[float(kernel(np.array(abs(s - t) * moments.step))) for t in times] for s in times])
    covariance += np.diag(np.full(m + h, moments.noise**2 + moments.jitter))
    lower = linalg.cholesky(covariance[m:, m:], lower=True)
    half = linalg.solve_triangular(lower, covariance[m:, :m], lower=True)
    values = linalg.eigh(half.T @ half, covariance[:m, :m], eigvals_only=True)[::-1]
    return np.sqrt(np.clip(values, 0, 1))[: min(m, h)]


@pytest.mark.parametrize("kernel", ["rational quadratic", "squared exponential", "ou"])
@pytest.mark.parametrize("noise", NOISES)
def test_correlations_are_those_of_another_solver(kernel, noise):
    moments = ProcessMoments(kernel, PAST, FUTURE, noise)
    found, other = canonical_directions(moments, 3, ridge=0.0).spectrum, by_cholesky(moments)
    np.testing.assert_allclose(found[:3] ** 2, other[:3] ** 2, rtol=0, atol=1e-6)


def test_the_supplement_is_that_of_another_solver():
    moments = supplement(10)
    found, other = canonical_directions(moments, 2, ridge=0.0).spectrum, by_cholesky(moments)
    np.testing.assert_allclose(found[:6], other[:6], rtol=0, atol=1e-6)


def test_the_supplement_is_that_of_forty_digits():
    """The first 1 - S^2 is about 1e-8: in float64 the whitened matrix has few digits of it, the determinants have."""
    m = 6
    with mpmath.workdps(40):
        times = [*range(0, -m, -1), *range(1, m + 1)]
        covariance = mpmath.matrix(2 * m)
        for i, s in enumerate(times):
            for j, t in enumerate(times):
                covariance[i, j] = 1 / (1 + (mpmath.mpf(abs(s - t)) / 40) ** 2) + (mpmath.mpf("1e-8") if i == j else 0)
        past, future = mpmath.cholesky(covariance[:m, :m]), mpmath.cholesky(covariance[m:, m:])
        whitened = future**-1 * covariance[m:, :m] * (past**-1).T
        squares = mpmath.eigsy(whitened.T * whitened, eigvals_only=True)
        nats = float(-sum(mpmath.log(1 - square) for square in squares) / 2)
        correlations = sorted((float(mpmath.sqrt(abs(square))) for square in squares), reverse=True)
    assert information(supplement(m)) == pytest.approx(nats, abs=1e-6)
    found = canonical_directions(supplement(m), 2, ridge=0.0).spectrum
    np.testing.assert_allclose(found, correlations, rtol=0, atol=1e-6)


@pytest.mark.parametrize("length", [2, 6])
def test_information_is_that_of_the_correlations(length):
    """By the sum, whose small terms 1 - S^2 lose digits in float64: hence fewer are compared."""
    spectrum = canonical_directions(supplement(length), 2, ridge=0.0).spectrum
    assert information(supplement(length)) == pytest.approx(-0.5 * np.log1p(-(spectrum**2)).sum(), abs=1e-3)
    moments = ProcessMoments("squared exponential", length, length, 0.4)
    spectrum = canonical_directions(moments, 2, ridge=0.0).spectrum
    assert information(moments) == pytest.approx(-0.5 * np.log1p(-(spectrum**2)).sum(), abs=1e-10)


def test_one_past_and_one_future_step_by_hand():
    moments = ProcessMoments("squared exponential", 1, 1, 0.5, step=0.3)
    s = np.exp(-0.045) / 1.25
    assert canonical_directions(moments, 1, ridge=0.0).correlations[0] == pytest.approx(s, abs=1e-12)
    assert information(moments) == pytest.approx(-0.5 * np.log(1 - s**2), abs=1e-12)


# Properties


def test_white_noise_predicts_nothing():
    """Negative control."""
    assert fit("white", 0.1).correlations.max() < 1e-12
    assert information(ProcessMoments("white", 5, 5)) == pytest.approx(0, abs=1e-12)


@pytest.mark.parametrize("kernel", ["rational quadratic", "squared exponential", "ou"])
def test_a_longer_future_never_predicts_less(kernel):
    first = [fit(kernel, 0.1, memory=20, horizon=h).correlations[0] for h in range(3, 12)]
    assert (np.diff(first) > -1e-9).all() and first[-1] > first[0] + 1e-6


def test_more_noise_predicts_less():
    for kernel in ("rational quadratic", "squared exponential", "ou"):
        assert (np.diff([fit(kernel, noise).correlations[0] for noise in NOISES]) < 0).all()


def test_filters_whiten_the_past():
    moments = ProcessMoments("rational quadratic", 30, 10, 0.1)
    filters = canonical_directions(moments, 3, ridge=0.0).filters
    np.testing.assert_allclose(filters @ moments.matrices()[0] @ filters.T, np.eye(3), rtol=0, atol=1e-9)


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"kernel": "matern"}, "no kernel 'matern': it is one of rational quadratic"),
        ({"memory": 0}, "memory must be an integer of at least 1"),
        ({"noise": -0.1}, "noise must be a finite number of at least 0, not -0.1"),
        ({"gap": -1}, "gap must be a finite number of at least 0"),
        ({"step": 0.0}, "step must be a positive finite number, not 0.0"),
    ],
)
def test_bad_options_are_named(options, words):
    with pytest.raises(ValueError, match=words):
        ProcessMoments(**({"kernel": "ou", "memory": 3, "horizon": 2} | options))


def test_a_singular_covariance_is_named():
    with pytest.raises(ValueError, match="a covariance is singular: give the process noise or jitter"):
        information(ProcessMoments("squared exponential", 40, 40))
