"""Moments of floats at any offset and scale: exact rational references, every history, what is refused."""

from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.signal import lfilter

import resu_files
from resu_core import ReSU, canonical_directions
from resu_moments import LagMoments
from resu_sums import WindowSums
from screens import screens

FAST = settings(max_examples=60, deadline=None, derandomize=True)
M, H = 3, 2


def exact_moment(episodes: list[np.ndarray], lags: int, center: bool) -> np.ndarray:
    """(L, L): two passes over explicit windows in rational numbers, rounded once at the end."""
    n_series = episodes[0].shape[1]
    total = np.zeros((lags, lags), object)
    n = sum(max(len(x) - lags + 1, 0) for x in episodes)
    for p in range(n_series):
        rows = [[Fraction(float(v)) for v in x[s : s + lags, p]] for x in episodes for s in range(len(x) - lags + 1)]
        windows = np.array(rows, object).reshape(n, lags)
        if center:
            windows = windows - sum(windows) / n
        total = total + windows.T @ windows
    return (total / (n * n_series)).astype(np.float64)


def spread(matrix: np.ndarray) -> float:
    """The largest variance: what errors are measured by."""
    return float(np.diag(matrix).max())


def walks(seed: int, lengths: list[int], n_series: int, offset: float, scale: float) -> list[np.ndarray]:
    rng = np.random.default_rng(seed)
    drift = rng.standard_normal(n_series)  # another mean in every episode
    return [(rng.standard_normal((n, n_series)) + i * drift + offset) * scale for i, n in enumerate(lengths)]


histories = st.tuples(
    st.integers(0, 999),
    st.lists(st.integers(0, 14), min_size=1, max_size=4).filter(lambda lengths: max(lengths) > M + H),
    st.integers(1, 3),
    st.sampled_from([0.0, 1.0, -1e3, 1e6, 1e8, 1e12]),
    st.sampled_from([1e-140, 1e-9, 1.0, 3.7, 1e140]),
)


@FAST
@given(histories, st.randoms(use_true_random=False))
def test_any_history_is_the_exact_moment_to_rounding_of_the_variance(history, random):
    """In one go, in chunks, merged in any order and with other episodes taken away again, decayed throughout."""
    episodes = walks(*history)
    whole, chunked = LagMoments(M, H), LagMoments(M, H)
    parts = [LagMoments(M, H).update(x) for x in episodes]
    random.shuffle(parts)
    merged = LagMoments(M, H)
    for x in episodes:
        whole.update(x, new_episode=True)
        cuts = sorted(random.randint(0, len(x)) for _ in range(random.randint(0, 5)))
        for i, part in enumerate(np.split(x, cuts)):
            chunked.update(part, new_episode=i == 0)
    for part in parts:
        merged.merge(part)
    other = LagMoments(M, H).update(walks(1, [9], *history[2:])[0])
    without = merged.copy().merge(other).subtract(other)
    for center in (True, False):
        wanted = exact_moment([x / whole.unit for x in episodes], M + H, center)
        for found in (whole, chunked, merged, without, merged.copy().decay(0.3)):
            tolerance = 1e-12 if found is not without else 1e-10
            moment = found.window_moment(center) * (found.unit / whole.unit) ** 2
            assert np.abs(moment - wanted).max() <= tolerance * spread(wanted)
    assert whole.n_windows == chunked.n_windows == merged.n_windows == without.n_windows
    total = np.concatenate([x[a : len(x) - M - H + 1 + a] for a in range(M) for x in episodes if len(x) >= M + H])
    assert np.allclose(merged.mean, total.mean(axis=0), rtol=1e-12)


def test_one_pass_over_raw_sums_would_fail_that():
    """Negative control: E[xx'] - E[x]E[x]' of the numbers as they are."""
    (x,) = walks(0, [14], 2, 1e8, 1.0)
    windows = np.array([x[s : s + M + H] for s in range(len(x) - M - H + 1)])
    one_pass = np.einsum("nap,nbp->ab", windows, windows) / (2 * len(windows))
    mean = windows.mean(axis=0)
    one_pass -= mean @ mean.T / 2
    wanted = exact_moment([x], M + H, True)
    assert np.abs(one_pass - wanted).max() > 1e-2 * spread(wanted)


def autoregression(n: int = 10_000) -> np.ndarray:
    return lfilter([1], [1, -0.9], np.random.default_rng(0).standard_normal((n, 3)), axis=0)


@pytest.mark.parametrize("offset", [1e6, 1e7, 1e8])
def test_an_offset_does_not_change_the_correlations(offset):
    x = autoregression()
    plain, far = ReSU().fit(x), ReSU().fit(x + offset)
    assert plain.correlations_[0] == pytest.approx(0.9, abs=0.01) and plain.correlations_[1] < 0.05
    assert np.abs(far.correlations_ - plain.correlations_).max() < 1e-6  # x + 1e8 itself is rounded to 1.5e-8
    assert np.abs(far.transform(x + offset) - plain.transform(x)).max() < 1e-5
    online = ReSU()
    for part in np.array_split(x[:500] + offset, 250):
        online.partial_fit(part)
    batch = ReSU().fit(x[:500] + offset)
    assert np.abs(online.moments_.C_pp - batch.moments_.C_pp).max() < 1e-12 * spread(batch.moments_.C_pp)


@pytest.mark.parametrize("center", [True, False])
@pytest.mark.parametrize("power", [-990, -548, -320, -40, 3, 320, 498, 990])
def test_powers_of_two_do_not_change_the_correlations(power, center):
    """Far beyond where squares overflow or underflow; `unit` is not 1 there."""
    x = autoregression(2_000) + 3
    plain, scaled = ReSU(center=center).fit(x), ReSU(center=center).fit(np.ldexp(x, power))
    assert np.abs(scaled.correlations_ - plain.correlations_).max() < 1e-13
    assert np.allclose(np.ldexp(scaled.filters_, power), plain.filters_, rtol=1e-9)
    assert np.allclose(scaled.transform(np.ldexp(x, power)), plain.transform(x), rtol=1e-9, atol=1e-9)
    assert (scaled.moments_.unit == 1) == (abs(power) < 300)


def test_numbers_that_no_scaling_saves_are_refused():
    x = autoregression(200)
    with pytest.raises(ValueError, match=r"numbers beyond 1e\+300, the largest .*: rescale it"):
        ReSU().fit(x * 1e300)
    with pytest.raises(ValueError, match=r"varies by less than 1e-300: rescale it"):
        ReSU().fit(x * 1e-315)
    with pytest.raises(ValueError, match="no series"):
        LagMoments(2, 2).update(np.zeros((9, 0)))


@pytest.mark.parametrize("value", [236.7, 0.1, -1e-200, 1e299])
def test_constant_floats_have_no_variance_however_they_are_counted(value):
    x = np.full((500, 3), value)
    with pytest.raises(ValueError, match="no variance"):
        ReSU().fit(x)
    moments = LagMoments(8, 4, center=True)
    for part in np.array_split(x, 70):
        moments.update(part)
    moments.merge(LagMoments(8, 4).update(x[:77])).decay(0.3).subtract(LagMoments(8, 4).update(x[:20]))
    assert not moments.C_pp.any() and np.array_equal(moments.mean, x[0])
    with pytest.raises(ValueError, match="no variance"):
        canonical_directions(moments, 4)


@pytest.mark.parametrize("value", [0.0, 236.7, 1e12, 1e298])
def test_a_constant_series_among_moving_ones_changes_nothing_but_the_common_scale(value):
    """A response has unit variance over all series, as with still pixels: 3 of 4 series move, so it is 4 / 3 there."""
    x = autoregression(3_000)
    alone, beside = ReSU().fit(x), ReSU().fit(np.c_[x[:, :1], np.full(len(x), value), x[:, 1:]])
    assert np.abs(alone.correlations_ - beside.correlations_).max() < 1e-12
    assert np.allclose(beside.filters_, np.sqrt(4 / 3) * alone.filters_, rtol=1e-9)
    assert beside.mean_[1] == value and not beside.transform(np.c_[x[:, :1], x[:, 0] * 0 + value, x[:, 1:]])[:, 1].any()


def test_an_outlier_at_the_start_costs_nothing_that_counts():
    """A shift fixed at the first step seen would be 1e8 off for ever after."""
    x = autoregression(60)
    x[0] = 1e8
    moments = LagMoments(M, H)
    for part in np.array_split(x, 20):
        moments.update(part)
    for center in (True, False):
        wanted = exact_moment([x], M + H, center)
        assert np.abs(moments.window_moment(center) - wanted).max() <= 1e-12 * spread(wanted)
    assert np.abs(np.subtract(moments.counted.shift, x.mean(axis=0))).max() < 1e7


def test_decayed_frames_keep_the_variance_of_a_bright_still_scene():
    """Integers become floats about their means, exactly: one pixel in 10,000 flickers by one grey level at 254."""
    x = (254 + (np.random.default_rng(0).random((4000, 300)) < 1e-4)).astype(np.uint8)
    kept = LagMoments(1, 1, center=True).update(x)
    variance = kept.copy().decay(0.5).C_pp[0, 0]
    assert variance == pytest.approx(kept.C_pp[0, 0], rel=1e-13) and kept.exact
    mixed = kept.copy().decay(0.5).update(x, new_episode=True).C_pp[0, 0]
    assert mixed == pytest.approx(kept.C_pp[0, 0], rel=1e-12)


def test_frames_and_floats_mix_in_one_episode():
    x = screens(np.random.default_rng(0), 40, 3, 0.4)
    mixed = LagMoments(M, H).update(x[:13]).update(x[13:20] * 1.0).update(x[20:])
    wanted = exact_moment([x.astype(float)], M + H, True)
    assert np.abs(mixed.window_moment(True) - wanted).max() < 1e-12 * spread(wanted) and not mixed.exact


def test_files_keep_every_bit_and_those_of_before_are_read(tmp_path):
    x = autoregression(60) * 1e-165 + 1e-160
    moments = LagMoments(M, H, center=True).update(x[:37])
    moments.save(tmp_path / "new.npz")
    again = LagMoments.load(tmp_path / "new.npz")
    assert again == moments and again.update(x[37:]) == moments.update(x[37:]) and again.unit == moments.unit != 1
    for y in (autoregression(60) + 5, screens(np.random.default_rng(0), 60, 3, 0.3)):
        windows = np.array([y[s : s + M + H] for s in range(36)]).astype(np.float64 if y.dtype == float else np.int64)
        resu_files.write_npz(
            tmp_path / "old.npz", kind="LagMoments-1", memory=M, horizon=H, center=True, n_windows=36, n_series=3,
            gram=np.einsum("nap,nbp->ab", windows, windows), sums=windows.sum(axis=0), has_tail=True, tail=y[36:40],
        )  # fmt: skip
        old = LagMoments.load(tmp_path / "old.npz").update(y[40:])
        wanted = LagMoments(M, H, center=True).update(y)
        assert np.allclose(old.window_moment(), wanted.window_moment(), rtol=1e-11)
        assert old == wanted or not old.exact


def test_sums_do_not_change_once_they_are_counted():
    moments = LagMoments(M, H).update(autoregression(20))
    for array in (moments.gram, moments.sums, moments.counted.shift):
        with pytest.raises(ValueError, match="read-only"):
            array[0] = 1
    assert WindowSums.nothing(5, 3).plus(moments.counted).same(moments.counted)
