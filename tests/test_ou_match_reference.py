"""Stage 0: the core against the paper's released code on the Ornstein-Uhlenbeck process.

Three witnesses: numbers that the released code (ShawnQin/ReSU at f0d1131, utils/analysis.py, SVD_analysis) returned,
stored in tests/data/ou_golden.npz; the population values; and a slow independent implementation below. When a clone of
the released code lies in ReSU/, that code itself is run as well.
"""

import importlib.util
from pathlib import Path

import numpy as np
import pytest
from scipy import linalg

from resu_core import LagMoments, ReSU, canonical_directions

HERE = Path(__file__).parent
M = H = 25
A = np.array([[0.6, 0.6, 0.0], [-0.6, 0.6, 0.0], [0.0, 0.0, 0.4]])
B = np.array([0.17, -0.15, 0.28])
C = np.array([0.78, 0.53, 1.0])
NOISE_VARIANCE = 0.1


def ou_series(rng: np.random.Generator, n_steps: int = 100_000) -> np.ndarray:
    """The recipe of the paper's first figure; the order of draws matters, and the first sample carries no noise."""
    u = rng.standard_normal((3, n_steps))
    noise = rng.standard_normal(n_steps) * np.sqrt(NOISE_VARIANCE)
    x, y = np.zeros((3, n_steps)), np.zeros(n_steps)
    for t in range(1, n_steps):
        x[:, t] = A @ x[:, t - 1] + B * u[:, t - 1]
        y[t] = C @ x[:, t] + noise[t]
    return y


@pytest.fixture(scope="module")
def series() -> np.ndarray:
    return ou_series(np.random.default_rng(0))


@pytest.fixture(scope="module")
def golden() -> dict[str, np.ndarray]:
    with np.load(HERE / "data" / "ou_golden.npz", allow_pickle=False) as archive:
        return dict(archive)


def moments_of(series: np.ndarray) -> LagMoments:
    return LagMoments(M, H).update(series)


def slow_reference(y: np.ndarray, skip: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """Window by window and with matrix square roots: past newest first, future `skip` steps late (0 is right)."""
    starts = range(len(y) - M - H - skip + 1)
    past = np.array([y[s : s + M][::-1] for s in starts])
    future = np.array([y[s + M + skip : s + M + skip + H] for s in starts])
    c_pp, c_ff, c_fp = past.T @ past / len(past), future.T @ future / len(past), future.T @ past / len(past)
    whiten_p = np.linalg.inv(linalg.sqrtm(c_pp).real)
    whiten_f = np.linalg.inv(linalg.sqrtm(c_ff).real)
    _, s, v_t = np.linalg.svd(whiten_f @ c_fp @ whiten_p)
    return s, v_t @ whiten_p


def same_up_to_sign(a: np.ndarray, b: np.ndarray) -> float:
    """Largest difference between two banks of filters after aligning each row's sign."""
    signs = np.sign(np.einsum("ij,ij->i", a, b))
    return float(np.abs(a * signs[:, None] - b).max())


def test_recipe_is_the_golden_one(series, golden):
    assert series[1:6] == pytest.approx(
        [-0.441416137763, 0.138014529451, 0.331864447669, 0.248665405876, -0.052185439127], abs=1e-11
    )
    assert float(series @ series) == pytest.approx(27365.8832978012, abs=1e-7)


def test_correlations_and_filters_equal_the_released_code(series, golden):
    directions = canonical_directions(moments_of(series), n_units=10, ridge=0)
    assert np.abs(directions.correlations - golden["S3_top10"]).max() < 1e-10
    assert np.abs(directions.filters[:5] - golden["filter3_first5_canon"]).max() < 1e-8
    assert same_up_to_sign(directions.filters[:5], golden["filter3_first5"]) < 1e-8


def test_moments_equal_the_released_code(series, golden):
    moments = moments_of(series)
    assert moments.n_windows == 99_951
    for ours, theirs in ((moments.C_fp, "Q"), (moments.C_pp, "Rp"), (moments.C_ff, "Rf")):
        assert np.abs(ours - golden[theirs]).max() < 1e-13


def test_slow_reference_agrees(series):
    short = series[:5000]
    s, filters = slow_reference(short)
    directions = canonical_directions(moments_of(short), n_units=5, ridge=0)
    assert np.abs(directions.correlations - s[:5]).max() < 1e-10
    assert same_up_to_sign(directions.filters, filters[:5]) < 1e-8


def test_estimator_gives_the_same(series, golden):
    resu = ReSU(memory=M, horizon=H, n_units=3, center=False, ridge=0).fit(series[:, None])
    assert np.abs(resu.correlations_ - golden["S3_top10"][:3]).max() < 1e-10
    past = series[100 - M + 1 : 101][::-1]
    z = golden["filter3_first5_canon"][:3] @ past
    assert np.abs(resu.transform(series[:101, None])[100, 0] - np.r_[np.maximum(z, 0), np.maximum(-z, 0)]).max() < 1e-8


def test_population_values(golden):
    """Twelve times as much data as one run: the three true correlations, and nothing beyond the state's dimension."""
    moments = LagMoments(M, H)
    for seed in range(1, 4):
        moments.update(ou_series(np.random.default_rng(seed)), new_episode=True)
    s = canonical_directions(moments, n_units=5, ridge=0).correlations
    assert s[:3] == pytest.approx([0.375741200798, 0.221416362421, 0.048458082295], abs=0.01)
    assert s[3] < 0.03


def test_negative_control_future_one_step_late(series, golden):
    """A future that starts at t + 2 gives .2204 in place of .3712: the time index is not negotiable."""
    late = slow_reference(series[:20_000], skip=1)[0]
    assert late[0] == pytest.approx(0.22, abs=0.02)
    assert abs(late[0] - golden["S3_top10"][0]) > 0.1


RELEASED = sorted((HERE.parent / "ReSU").rglob("utils/analysis.py"))


@pytest.mark.skipif(not RELEASED, reason="no clone of the released code in ReSU/ (see ReSU/README.md)")
def test_released_code_itself(series):
    spec = importlib.util.spec_from_file_location("released_analysis", RELEASED[0])
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    result = module.SVD_analysis(series, M, H)
    values = list(result.values()) if isinstance(result, dict) else list(result)
    ours = canonical_directions(moments_of(series), n_units=10, ridge=0).correlations
    spectra = [np.asarray(v).ravel()[:10] for v in values if np.asarray(v).ndim == 1 and np.asarray(v).size >= 10]
    assert any(np.allclose(spectrum, ours, atol=1e-8) for spectrum in spectra)
