"""The core's invariants: exactness under any history, agreement of all paths, whitening, scale, refusals."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import linalg

import resu_core
import resu_moment_kernels
from resu_checks import as_series
from resu_conv import ReSUEncoder
from resu_core import ReSU, canonical_directions, fix_signs, inverse_sqrt
from resu_moments import BLOCK, LagMoments, changed_fraction
from screens import screens

FAST = settings(max_examples=40, deadline=None, derandomize=True)


def slow_gram(x: np.ndarray, lags: int) -> tuple[np.ndarray, np.ndarray, int]:
    """Gram matrix and sums over explicit windows, in Python integers."""
    gram, sums = np.zeros((lags, lags), object), np.zeros((lags, x.shape[1]), object)
    for s in range(len(x) - lags + 1):
        window = x[s : s + lags].astype(object)
        gram += window @ window.T
        sums += window
    return gram, sums, max(len(x) - lags + 1, 0)


def slow_centred(x: np.ndarray, m: int, h: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """C_pp, C_fp, C_ff by np.cov of each series' own windows, averaged over series."""
    blocks = []
    for p in range(x.shape[1]):
        windows = np.array([np.r_[x[s : s + m, p][::-1], x[s + m : s + m + h, p]] for s in range(len(x) - m - h + 1)])
        blocks.append(np.cov(windows.T.astype(float), bias=True))
    c = np.mean(blocks, axis=0)
    return c[:m, :m], c[m:, :m], c[m:, m:]


episodes_of_uint8 = st.lists(st.tuples(st.integers(0, 25), st.integers(0, 2**32 - 1)), min_size=1, max_size=5)


@FAST
@given(st.integers(1, 5), st.integers(1, 4), st.integers(1, 9), episodes_of_uint8, st.randoms(use_true_random=False))
def test_any_history_of_chunks_merges_and_subtractions_is_bitwise_the_same(m, h, p, shape, random):
    episodes = [np.random.default_rng(seed).integers(0, 256, (n, p)).astype(np.uint8) for n, seed in shape]
    whole = LagMoments(m, h)
    for x in episodes:
        whole.update(x, new_episode=True)
    gram, sums, n = 0, 0, 0
    for x in episodes:
        g, s, k = slow_gram(x, m + h)
        gram, sums, n = gram + g, sums + s, n + k
    assert (whole.gram == gram).all() and (whole.sums == sums).all() and whole.n_windows == n

    chunked = LagMoments(m, h)
    for x in episodes:
        cuts = sorted(random.randint(0, len(x)) for _ in range(random.randint(0, 6)))
        for i, part in enumerate(np.split(x, cuts)):
            chunked.update(part, new_episode=i == 0)
    assert chunked == whole

    machines = [LagMoments(m, h) for _ in range(3)]
    for x in random.sample(episodes, len(episodes)):
        machines[random.randrange(3)].update(x, new_episode=True)
    merged = LagMoments(m, h)
    for machine in random.sample(machines, 3):
        merged.merge(machine)
    assert merged == whole

    other = LagMoments(m, h).update(np.random.default_rng(1).integers(0, 256, (30, p)).astype(np.uint8))
    assert merged.merge(other).subtract(other) == whole


@FAST
@given(st.integers(1, 6), st.integers(1, 6), st.sampled_from([1, 7, 8, 64, 83]), st.integers(0, 60), st.integers(0, 99))
def test_event_driven_equals_dense(m, h, p, n, seed):
    x = screens(np.random.default_rng(seed), n + 1, p, moving=0.1)
    assert LagMoments(m, h).update(x, method="events") == LagMoments(m, h).update(x, method="dense")


@pytest.mark.parametrize("p", [1, 511, 512, 513, 6720])
def test_sums_about_integers_are_exact(p):
    n, rng = 1000, np.random.default_rng(p)
    sums = rng.integers(0, 255, p) * n + rng.integers(-(2**18), 2**18, (7, p))
    shift = np.rint(sums.mean(axis=0) / n).astype(np.int64)
    rest = sums - n * shift
    cross, products = np.empty(7, np.int64), np.full((7, 7), np.nan)
    found = resu_moment_kernels.products_about_integers(sums, n, cross, products)
    assert found == (np.abs(rest).max(), shift @ shift)
    assert np.array_equal(products, rest @ rest.T) and np.array_equal(cross, sums @ shift)  # below 2^53
    kept, near, again = np.empty(sums.shape), np.empty(p, np.int64), np.empty(7, np.int64)
    assert resu_moment_kernels.about_integers(sums, n, near, kept, again) == np.abs(rest).max()
    assert np.array_equal(kept, rest) and np.array_equal(near, shift) and np.array_equal(again, cross)


def test_event_driven_equals_dense_across_blocks():
    x = screens(np.random.default_rng(0), 2 * BLOCK + 77, 56)
    events, dense = LagMoments(8, 4).update(x, method="events"), LagMoments(8, 4).update(x, method="dense")
    gram, sums, n = slow_gram(x, 12)
    assert events == dense
    assert (dense.gram == gram).all() and (dense.sums == sums).all() and dense.n_windows == n


def test_frames_larger_than_a_tile_are_exact():
    """All-white frames of 210 x 160: the 32-bit partial sums of one tile must not overflow."""
    x = np.full((13, 210 * 160), 255, np.uint8)
    moments = LagMoments(8, 4).update(x)
    assert (moments.gram == 2 * 210 * 160 * 255**2).all()


@pytest.mark.parametrize("dtype", [np.uint8, np.float64])
def test_centred_moments_equal_covariances_of_each_series(dtype):
    rng = np.random.default_rng(3)
    x = (screens(rng, 300, 5, moving=0.3) // 2 + np.array([0, 10, 100, 120, 127], np.uint8)).astype(dtype)
    moments = LagMoments(4, 3, center=True).update(x)
    for ours, slow in zip((moments.C_pp, moments.C_fp, moments.C_ff), slow_centred(x, 4, 3), strict=True):
        assert np.allclose(ours, slow, rtol=1e-10, atol=1e-9)
    assert moments.matrices(center=False)[0][0, 0] == pytest.approx(float((x[3 : 3 + 294].astype(float) ** 2).mean()))


def test_centring_can_be_chosen_without_touching_the_moments():
    x = screens(np.random.default_rng(3), 300, 5, moving=0.3)
    centred, plain = LagMoments(4, 3, center=True).update(x), LagMoments(4, 3).update(x)
    for center, like in ((True, centred), (False, plain)):
        for moments in (centred, plain):
            found = canonical_directions(moments, 2, center=center)
            assert np.array_equal(found.filters, canonical_directions(like, 2).filters)
    assert centred.center and not plain.center
    assert not np.array_equal(canonical_directions(centred, 2).filters, canonical_directions(plain, 2).filters)


def test_centring_survives_a_bright_still_scene():
    """One pixel flickers by one grey level on a bright screen: the exact sums lose nothing to cancellation."""
    x = np.full((4000, 2000), 254, np.uint8)
    x[::2, 7] = 255
    variance = LagMoments(1, 1, center=True).update(x).C_pp[0, 0]
    assert variance == pytest.approx(float(np.var(x[:-1, 7].astype(float)) / 2000), rel=1e-12)


def test_windows_do_not_span_episodes():
    x = screens(np.random.default_rng(0), 40, 6)
    apart = LagMoments(3, 2).update(x[:20], new_episode=True).update(x[20:], new_episode=True)
    joined = LagMoments(3, 2).update(x[:20]).update(x[20:])
    assert apart.n_windows == 32 and joined.n_windows == 36 and apart != joined


def test_whitening_identity_and_orthogonal_responses():
    x = np.random.default_rng(0).standard_normal((2000, 3)).cumsum(axis=0)
    moments = LagMoments(8, 5, center=True).update(x)
    psi = canonical_directions(moments, 5, ridge=0).filters
    assert np.abs(psi @ moments.C_pp @ psi.T - np.eye(5)).max() < 1e-6
    root = inverse_sqrt(moments.C_ff)
    assert np.abs(root @ moments.C_ff @ root - np.eye(5)).max() < 1e-7
    ridge = 1e-3
    psi = canonical_directions(moments, 5, ridge=ridge).filters
    loaded = moments.C_pp + ridge * np.linalg.eigvalsh(moments.C_pp)[-1] * np.eye(8)
    assert np.abs(psi @ loaded @ psi.T - np.eye(5)).max() < 1e-9


@pytest.mark.parametrize("n", [1, 2, 8, 33])
def test_decompositions_are_scipys_bit_for_bit(n):
    a = np.random.default_rng(n).standard_normal((n, n))
    for symmetric in (a @ a.T, a + a.T, np.eye(n), np.zeros((n, n))):
        for found, wanted in zip(resu_core._eigh(symmetric), linalg.eigh(symmetric), strict=True):
            assert found.tobytes() == wanted.tobytes()
    for square_or_not in (a, a[: n // 2 + 1], a[:, : n // 2 + 1], np.zeros((n, n))):
        wanted = linalg.svd(square_or_not, full_matrices=False)
        for found, part in zip(resu_core._svd(square_or_not), wanted[1:], strict=True):
            assert found.tobytes() == part.tobytes()


@pytest.mark.parametrize("factor", [1e-6, 1e-3, 7.3, 1e5])
def test_scale_invariance(factor):
    x = np.random.default_rng(1).standard_normal((3000, 2)).cumsum(axis=0)
    a, b = ReSU(ridge=1e-4).fit(x), ReSU(ridge=1e-4).fit(factor * x)
    assert np.abs(a.correlations_ - b.correlations_).max() < 1e-9
    assert np.abs(a.filters_ - factor * b.filters_).max() < 1e-5 * np.abs(a.filters_).max()
    assert np.allclose(a.transform(x), b.transform(factor * x), atol=1e-4)


def test_an_absolute_ridge_is_added_to_the_variances_as_it_is():
    """Against the generalised eigenvalue problem, which needs no whitening; both ridges add up."""
    moments = LagMoments(8, 5, center=True).update(np.random.default_rng(1).standard_normal((3000, 2)).cumsum(axis=0))
    c_pp, c_fp, c_ff = moments.matrices()
    for ridge, absolute in ((0.0, 3.0), (1e-3, 3.0)):
        loaded_p, loaded_f = (c + (ridge * np.linalg.eigvalsh(c)[-1] + absolute) * np.eye(len(c)) for c in (c_pp, c_ff))
        squares = linalg.eigh(c_fp.T @ np.linalg.solve(loaded_f, c_fp), loaded_p, eigvals_only=True)[::-1][:5]
        found = canonical_directions(moments, 5, ridge, absolute_ridge=absolute)
        assert np.allclose(found.correlations, np.sqrt(np.maximum(squares, 0)), atol=1e-7)
        assert np.abs(found.filters @ loaded_p @ found.filters.T - np.eye(5)).max() < 1e-9


@pytest.mark.parametrize("factor", [1e-3, 7.3])
def test_an_absolute_ridge_has_the_unit_of_a_variance(factor):
    x = np.random.default_rng(1).standard_normal((3000, 2)).cumsum(axis=0)
    a = ReSU(ridge=0.0, absolute_ridge=0.3).fit(x)
    b = ReSU(ridge=0.0, absolute_ridge=0.3 * factor**2).fit(factor * x)
    assert np.abs(a.correlations_ - b.correlations_).max() < 1e-9
    c = ReSU(ridge=0.0, absolute_ridge=0.3).fit(factor * x)  # negative control: the data's scale matters
    assert np.abs(a.correlations_ - c.correlations_).max() > 1e-3
    with pytest.raises(ValueError, match=r"absolute_ridge of .* is more than"):
        ReSU(absolute_ridge=0.3).fit(1e-200 * x)
    assert np.array_equal(ReSU(absolute_ridge=0.3).fit(1e200 * x).filters_, ReSU().fit(1e200 * x).filters_)


@pytest.mark.parametrize("center", [False, True])
def test_an_encoder_centres_as_it_is_told_whatever_the_moments_say(center):
    frames = screens(np.random.default_rng(5), 300, (6, 5), 0.3)
    options = dict(memory=4, horizon=3, n_units=2, grid=(1, 1))
    wanted = ReSUEncoder(center=center, **options).fit([frames])
    moments = LagMoments(4, 3, center=not center).update(frames.reshape(300, -1))
    found = ReSUEncoder(center=center, **options).fit_moments(moments, (6, 5))
    assert np.array_equal(found.filters_, wanted.filters_) and np.array_equal(found.mean_, wanted.mean_)
    other = ReSUEncoder(center=not center, **options).fit([frames])
    assert not np.array_equal(found.filters_, other.filters_)  # negative control


def test_an_encoder_measures_it_in_shares_of_255():
    frames = screens(np.random.default_rng(5), 300, (6, 5), 0.3)
    options = dict(memory=4, horizon=3, n_units=2, center=False, ridge=0.0, absolute_ridge=1.5e-3)
    encoder = ReSUEncoder(**options, grid=(1, 1)).fit([frames])
    estimator = ReSU(**options).fit(frames.reshape(300, -1) / 255)
    assert np.allclose(encoder.correlations_, estimator.correlations_, atol=1e-9)
    assert np.allclose(encoder.filters_ * 255, estimator.filters_, rtol=1e-6, atol=1e-9)


def test_signs_are_fixed_even_between_near_equal_taps():
    filters = np.array([[-0.5, 0.4], [1.0, -1.0 - 1e-12], [-1.0, 1.0 + 1e-12], [0.0, 0.0]])
    assert fix_signs(filters).tolist() == [-1, 1, -1, 1]


def test_equal_data_gives_equal_bytes_in_any_order():
    rng = np.random.default_rng(2)
    episodes = [screens(rng, n, 30, 0.1) for n in (50, 90, 33)]
    fits = []
    for order in ((0, 1, 2), (2, 0, 1)):
        resu = ReSU()
        for i in order:
            resu.partial_fit(episodes[i], new_episode=True)
        fits.append(resu.filters_.tobytes() + resu.correlations_.tobytes() + resu.mean_.tobytes())
    assert fits[0] == fits[1]


def test_frame_by_frame_is_bitwise_the_batch_fit():
    x = screens(np.random.default_rng(5), 60, 20, 0.2)
    batch, online = ReSU().fit(x), ReSU()
    for frame in x:
        online.partial_fit(frame[None])
    assert online.moments_ == batch.moments_
    assert np.array_equal(online.filters_, batch.filters_)


def test_transform_is_the_rectified_projection_of_the_past():
    x = screens(np.random.default_rng(5), 50, 4, 0.3)
    resu = ReSU(memory=5, horizon=3, n_units=2).fit(x)
    out = resu.transform(x)
    assert out.shape == (50, 4, 4)
    for t in (0, 2, 4, 30, 49):
        past = np.array([x[max(t - j, 0)] for j in range(5)]) - resu.mean_
        z = resu.filters_ @ past
        assert np.allclose(out[t].T, np.r_[np.maximum(z, 0), np.maximum(-z, 0)])
    assert (out >= 0).all() and not (out[..., :2] * out[..., 2:]).any()


def test_decay_weighs_old_windows_and_one_changes_nothing():
    x, y = screens(np.random.default_rng(0), 50, 6), screens(np.random.default_rng(1), 50, 6)
    moments = LagMoments(3, 2).update(x)
    assert moments.copy().decay(1.0) == moments and moments.copy().decay(1.0).exact
    mixed = moments.copy().decay(0.25).update(y, new_episode=True)
    alone = LagMoments(3, 2).update(y)
    weight = 0.25 * moments.n_windows
    expected = (weight * moments.C_pp + alone.n_windows * alone.C_pp) / (weight + alone.n_windows)
    assert np.allclose(mixed.C_pp, expected, rtol=1e-12) and not mixed.exact


def test_save_and_load_continue_the_episode(tmp_path):
    x = screens(np.random.default_rng(0), 50, 6)
    moments = LagMoments(3, 2, center=True).update(x[:20])
    moments.save(tmp_path / "moments.npz")
    again = LagMoments.load(tmp_path / "moments.npz").update(x[20:])
    assert again == LagMoments(3, 2).update(x) and again.center and again.exact
    empty = LagMoments(3, 2)
    empty.save(tmp_path / "empty.npz")
    assert LagMoments.load(tmp_path / "empty.npz") == empty
    moments.save(tmp_path / "twin.npz")
    assert (tmp_path / "moments.npz").read_bytes() == (tmp_path / "twin.npz").read_bytes()


def test_fast_path_choice_sees_motion():
    still, moving = screens(np.random.default_rng(0), 500, 100, 0.001), screens(np.random.default_rng(0), 500, 100, 0.5)
    assert changed_fraction(still) < 0.005 < 0.4 < changed_fraction(moving)


BAD_SERIES = [
    (np.zeros((3, 4, 5), np.uint8), r"shape \(3, 4, 5\)"),
    (np.array([[0.0], [np.nan]]), "NaN or infinity, first at step 1"),
    (np.array([[np.inf]]), "NaN or infinity"),
    (np.array([["a"]]), "dtype"),
    (np.zeros((2, 2), complex), "dtype"),
]


@pytest.mark.parametrize(("x", "message"), BAD_SERIES)
def test_bad_series_are_refused_and_change_nothing(x, message):
    moments = LagMoments(2, 2).update(np.arange(20.0)[:, None])
    before = moments.copy()
    with pytest.raises(ValueError, match=message):
        moments.update(x)
    assert moments == before
    with pytest.raises(ValueError, match=message):
        as_series(x)


def test_other_bad_input_is_refused_in_one_clear_sentence():
    x = screens(np.random.default_rng(0), 50, 6)
    with pytest.raises(ValueError, match="memory must be an integer"):
        LagMoments(0, 4)
    with pytest.raises(ValueError, match="7 series per step, but these moments hold 6"):
        LagMoments(2, 2).update(x).update(np.zeros((5, 7), np.uint8))
    with pytest.raises(ValueError, match="do not combine"):
        LagMoments(2, 2).update(x).merge(LagMoments(2, 3).update(x))
    with pytest.raises(ValueError, match="do not combine"):
        LagMoments(2, 2).update(x).merge(LagMoments(2, 2).update(x[:, :3]))
    with pytest.raises(ValueError, match="cannot subtract"):
        LagMoments(2, 2).update(x[:10]).subtract(LagMoments(2, 2).update(x))
    with pytest.raises(ValueError, match="alpha"):
        LagMoments(2, 2).decay(0)
    with pytest.raises(ValueError, match="constant"):
        ReSU().fit(np.full((50, 3), 9, np.uint8))
    with pytest.raises(ValueError, match="n_units"):
        ReSU(n_units=5).fit(x)
    with pytest.raises(ValueError, match="fewer than memory"):
        ReSU().fit(x[:11])
    with pytest.raises(ValueError, match="windows are too few"):
        ReSU().fit(x[:12])
    with pytest.raises(ValueError, match="ridge"):
        ReSU(ridge=-1).fit(x)
    with pytest.raises(ValueError, match="not fitted"):
        ReSU().transform(x)
    with pytest.raises(ValueError, match="5 features"):
        ReSU().fit(x).transform(x[:, :5])
    with pytest.raises(OverflowError, match="64 bits"):
        moments = LagMoments(1, 1).update(x)
        for _ in range(64):
            moments.merge(moments)


@pytest.mark.parametrize("damage", ["truncate", "text", "other", "missing"])
def test_damaged_moment_files_are_refused(tmp_path, damage):
    path = tmp_path / "moments.npz"
    LagMoments(2, 2).update(screens(np.random.default_rng(0), 50, 6)).save(path)
    if damage == "truncate":
        path.write_bytes(path.read_bytes()[:-200])
    elif damage == "text":
        path.write_text("not an archive")
    elif damage == "other":
        np.savez(path, a=1)
    else:
        path.unlink()
    with pytest.raises((ValueError, FileNotFoundError), match=r"moments\.npz"):
        LagMoments.load(path)
