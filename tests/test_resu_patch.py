"""Layers above the first: patches of maps against the definition, offline = online, exact moments."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import resu_patch_moments
from encoders import UPPER, fitted
from resu_conv import ReSUEncoder
from resu_core import canonical_directions, rectify
from resu_layers import UPPER_BLOCK, Layers
from resu_patch_kernels import FRACTION, LARGEST
from resu_patch_layers import spread_runs
from resu_patch_moments import PatchMoments
from screens import screens


def slow_upper_maps(maps: np.ndarray, layer) -> np.ndarray:
    """Definition: (T, H, W, M) maps below, from an episode's start on -> (T, H, W, 2K), in float64."""
    centred = np.pad(maps - layer.mean, ((0, 0), (1, 1), (1, 1), (0, 0)))
    n_frames, height, width = maps.shape[:3]
    z = np.zeros((n_frames, height, width, len(layer.filters)))
    for j in range(layer.filters.shape[1]):
        earlier = centred[np.maximum(np.arange(n_frames) - j, 0)]
        for dy in range(3):
            for dx in range(3):
                z += earlier[:, dy : dy + height, dx : dx + width] @ layer.filters[:, j, dy, dx].T
    return np.concatenate([np.maximum(z, 0), np.maximum(-z, 0)], axis=-1)


def dense_responses(layers: Layers, frames: np.ndarray) -> np.ndarray:
    """(T, P, K) int64 of the topmost layer: every product of every frame, in Python's order of things."""
    lower = Layers(layers.first).responses(frames, 0, len(frames)).astype(np.int64)
    n, (height, width) = len(frames), layers.first.mean.shape
    for above in layers.above:
        maps = (rectify(lower) + (2**above.bits >> 1)) // 2**above.bits - above.mean
        n_maps, n_steps, n_units = maps.shape[-1], len(above.weights), len(above.factor)
        given = above.weights[0].reshape(n_maps, 3, 3, n_steps, n_units).astype(np.int64)
        total = np.zeros((n, height + 2, width + 2, n_units), np.int64)
        for s in range(n_steps):
            earlier = maps[np.maximum(np.arange(n) - s, 0)].reshape(n, height, width, n_maps)
            for dy in range(3):
                for dx in range(3):
                    total[:, dy : dy + height, dx : dx + width] += earlier @ given[:, dy, dx, s]
        most = LARGEST * FRACTION
        lower = np.rint(np.clip(total[:, 1:-1, 1:-1] * above.factor, -most, most)).astype(np.int64)
        lower = lower.reshape(n, height * width, n_units)
    return lower


@settings(max_examples=40, deadline=None, derandomize=True)
@given(
    shape=st.tuples(st.integers(1, 7), st.integers(1, 7)), n=st.integers(1, 30), cut=st.integers(0, 29),
    moving=st.sampled_from([0.0, 0.02, 0.3, 1.0]), n_layers=st.integers(2, 3), memory2=st.integers(1, 4),
    n_units2=st.integers(1, 4), seed=st.integers(0, 99),
)  # fmt: skip
def test_responses_that_move_are_those_of_a_dense_evaluation(shape, n, cut, moving, n_layers, memory2, n_units2, seed):
    rng = np.random.default_rng(seed)
    options = dict(memory=3, horizon=2, n_units=2, grid=(1, 1), memory2=memory2, horizon2=1, n_units2=n_units2)
    encoder = ReSUEncoder(n_layers=n_layers, **options).fit([screens(rng, 80, shape, 0.4)])
    layers, frames = encoder.layers_, screens(rng, n, shape, moving)
    found = layers.responses(frames, 0, n)
    assert np.array_equal(found, dense_responses(layers, frames))
    start = min(cut, n - 1)  # begun in the middle, too
    assert np.array_equal(layers.responses(frames, start, n), found[start:])


@pytest.mark.parametrize("n_layers", [1, 2])
def test_environments_may_move_on_one_without_the_other(n_layers):
    rng = np.random.default_rng(5)
    games = [screens(rng, 30, (12, 10), 0.2) for _ in range(2)]
    encoder = ReSUEncoder(grid=(3, 4), n_layers=n_layers, n_windows2=200).fit(games)
    wanted = [encoder.encode(frames) for frames in games]
    state = encoder.online(2)
    features = state.reset(np.stack([games[0][0], games[1][0]]))
    at = np.zeros(2, int)
    while (at < 29).any():
        where = (rng.random(2) < 0.5) & (at < 29)
        at += where
        shown = np.stack([games[b][at[b]] if where[b] else rng.integers(0, 255, (12, 10), np.uint8) for b in range(2)])
        features = state.step(shown, where=where)
        for b in range(2):
            assert np.array_equal(features[b], wanted[b][at[b]])


@pytest.mark.parametrize("moving", [0.003, 0.2])
def test_upper_layers_online_equal_offline_and_the_definition(moving):
    encoder, frames = fitted((9, 7), (3, 2), moving, n_layers=3, **UPPER)
    below = np.moveaxis(ReSUEncoder(**(encoder.options | dict(n_layers=1))).fit([frames]).maps(frames), 1, -1)
    features = encoder.encode_layers(frames, (1, 2, 3))
    assert np.array_equal(features[0], ReSUEncoder(grid=(3, 2)).fit([frames]).encode(frames))
    rows, columns = [0, 3, 6, 9], [0, 3, 7]
    for layer, found in zip(encoder.upper_, features[1:], strict=True):
        below = slow_upper_maps(below, layer)
        cells = [below[:, rows[r] : rows[r + 1], columns[c] : columns[c + 1]] for r in range(3) for c in range(2)]
        expected = np.stack([cell.mean(axis=(1, 2)) for cell in cells], axis=-1).reshape(len(frames), -1)
        assert np.allclose(found, expected, rtol=1e-3, atol=2e-3 * expected.std())
    assert np.allclose(np.moveaxis(encoder.maps(frames), 1, -1), below, rtol=1e-3, atol=1e-2)
    assert np.array_equal(encoder.encode(frames), features[2])
    game = encoder.online(1)
    online = [game.reset(frames[:1])] + [game.step(frames[t : t + 1]) for t in range(1, len(frames))]
    assert np.array_equal(np.concatenate(online), features[2])


def test_upper_layers_online_with_restarts_and_across_blocks():
    encoder, _ = fitted((9, 7), (3, 2), 0.05, n_layers=3, **UPPER)
    rng = np.random.default_rng(3)
    games = [screens(rng, n, (9, 7), 0.01) for n in (30, UPPER_BLOCK + 50)]
    stream = np.concatenate(games)
    game = encoder.online(1)
    online = [game.reset(stream[:1])]
    online += [game.step(stream[t : t + 1], np.array([t == 30])) for t in range(1, len(stream))]
    assert np.array_equal(np.concatenate(online), np.concatenate([encoder.encode(game) for game in games]))


def slow_patch_moments(maps: np.ndarray, memory: int, horizon: int, future: str = "center") -> np.ndarray:
    """Joint covariance of (past patch, its or its centre's future), by window, a border of one pixel included."""
    n, height, width, _ = maps.shape
    n_windows = n - memory - horizon + 1
    # The mean of each window position, so that the zeros outside the screen stand for centred maps.
    means = [maps[a : a + n_windows].mean(axis=0) for a in range(memory + horizon)]
    joint = 0.0
    for w in range(n_windows):
        padded = [np.pad(maps[w + a] - means[a], ((2, 2), (2, 2), (0, 0))) for a in range(memory + horizon)]
        for y in range(height + 2):
            for x in range(width + 2):
                past = [padded[memory - 1 - j][y : y + 3, x : x + 3].ravel() for j in range(memory)]
                whole = [padded[memory + j][y : y + 3, x : x + 3] for j in range(horizon)]
                ahead = [patch.ravel() if future == "patch" else patch[1, 1] for patch in whole]
                sample = np.concatenate([*past, *ahead])
                joint = joint + np.outer(sample, sample)
    return joint / (n_windows * height * width)


@pytest.mark.parametrize("future", ["center", "patch"])
def test_patch_moments_are_covariances_of_patches(future):
    rng = np.random.default_rng(0)
    maps = rng.standard_normal((14, 5, 6, 2)).astype(np.float32) + 3
    moments = PatchMoments(2, 2, np.full((5, 6, 2), 2.5), future).update(maps)
    joint = slow_patch_moments(maps.astype(np.float64), 2, 2, future)
    assert moments.C_ff.shape == ((4, 4) if future == "center" else (36, 36))
    assert np.allclose(moments.C_pp, joint[:36, :36], atol=1e-5)
    assert np.allclose(moments.C_fp, joint[36:, :36], atol=1e-5)
    assert np.allclose(moments.C_ff, joint[36:, 36:], atol=1e-5)
    assert np.allclose(moments.mean, 3, atol=1.2) and moments.n_windows == 11 * 30
    late = slow_patch_moments(maps[1:].astype(np.float64), 2, 2)  # negative control: one window fewer is noticed
    assert not np.allclose(moments.C_pp, late[:36, :36], atol=1e-3)


@pytest.mark.parametrize("shape", [(7, 6, 3), (8, 11, 2)])
def test_long_runs_by_spectra_equal_short_ones_counted_directly(shape, monkeypatch):
    rng = np.random.default_rng(2)
    maps = (rng.standard_normal((70, *shape)).cumsum(axis=0) + 5).astype(np.float32)
    by_spectra = PatchMoments(3, 2, maps.mean(axis=0)).update(maps).update(maps[:30])
    monkeypatch.setattr(resu_patch_moments, "DIRECT", 10**6)
    directly = PatchMoments(3, 2, maps.mean(axis=0)).update(maps).update(maps[:30])
    for name in ("C_pp", "C_fp", "C_ff", "mean"):
        a, b = getattr(by_spectra, name), getattr(directly, name)
        assert np.abs(a - b).max() < 1e-5 * np.abs(b).max()
    assert by_spectra.n_windows == directly.n_windows


def test_patch_moments_merge_and_do_not_depend_on_the_shift():
    rng = np.random.default_rng(1)
    parts = [rng.standard_normal((n, 4, 5, 3)).astype(np.float32) for n in (9, 5, 20)]
    together = PatchMoments(3, 1, np.zeros((4, 5, 3)))
    merged = PatchMoments(3, 1, np.zeros((4, 5, 3)))
    shifted = PatchMoments(3, 1, np.ones((4, 5, 3)))
    for part in parts:
        together.update(part)
        merged.merge(PatchMoments(3, 1, np.zeros((4, 5, 3))).update(part))
        shifted.update(part)
    assert np.array_equal(merged.C_pp, together.C_pp) and merged.n_windows == together.n_windows
    assert np.allclose(shifted.C_fp, together.C_fp, atol=1e-5) and np.allclose(shifted.mean, together.mean)
    assert np.linalg.eigvalsh(together.C_pp).min() > -1e-9  # a covariance
    with pytest.raises(ValueError, match="can be merged"):
        merged.merge(PatchMoments(2, 1, np.zeros((4, 5, 3))))
    with pytest.raises(ValueError, match="can be merged"):
        merged.merge(PatchMoments(3, 1, np.zeros((4, 5, 3)), "patch"))
    with pytest.raises(ValueError, match="no window"):
        PatchMoments(3, 1, np.zeros((4, 5, 3))).update(parts[1][:3]).matrices()


def test_upper_layers_are_fitted_on_the_maps_of_whole_episodes():
    """The runs look back on the frames before them; with every window used, the moments are those of all maps."""
    episodes = [screens(np.random.default_rng(i), n, (6, 5), 0.3) for i, n in enumerate((60, 300))]
    options = dict(grid=(2, 2), memory2=2, horizon2=1)
    encoder = ReSUEncoder(n_layers=2, n_windows2=10_000, **options).fit(episodes)
    below = ReSUEncoder(**options).fit(episodes)
    moments = PatchMoments(2, 1, np.zeros((6, 5, 8)))
    for frames in episodes:
        moments.update(np.moveaxis(below.maps(frames), 1, -1))
    expected = canonical_directions(moments, 8)
    assert np.allclose(encoder.upper_[0].correlations, expected.correlations, atol=1e-5)
    assert np.allclose(encoder.upper_[0].mean, moments.mean, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("moving", [0.05, 0.6])  # counted from events, and by spectra
def test_a_layer_that_predicts_whole_patches_is_that_of_its_maps(moving):
    episodes = [screens(np.random.default_rng(i), n, (6, 5), moving) for i, n in enumerate((60, 300))]
    options = dict(grid=(2, 2), memory2=2, horizon2=1, n_units2=10)
    encoder = ReSUEncoder(n_layers=2, future2="patch", absolute_ridge=1e-4, ridge=0.0, **options).fit(episodes)
    below = ReSUEncoder(absolute_ridge=1e-4, ridge=0.0, **options).fit(episodes)
    moments = PatchMoments(2, 1, np.zeros((6, 5, 8)), "patch")
    for frames in episodes:
        moments.update(np.moveaxis(below.maps(frames), 1, -1))
    expected = canonical_directions(moments, 10, ridge=0.0, absolute_ridge=1e-4)
    assert np.allclose(encoder.upper_[0].correlations, expected.correlations, atol=1e-4)
    center = ReSUEncoder(n_layers=2, absolute_ridge=1e-4, ridge=0.0, **options | dict(n_units2=8)).fit(episodes)
    assert not np.allclose(encoder.upper_[0].correlations[:8], center.upper_[0].correlations, atol=1e-2)  # control


def test_runs_cover_everything_or_are_evenly_spread():
    window = 6
    every = spread_runs([50, 3, 200, 6], window, 10**6)
    counted = {(e, s) for e, start, stop in every for s in range(start, stop - window + 1)}
    assert counted == {(e, s) for e, n in enumerate([50, 3, 200, 6]) for s in range(n - window + 1)}
    some = spread_runs([1000] * 10, window, 2560)
    assert sum(stop - start - window + 1 for _, start, stop in some) == pytest.approx(2560, rel=0.15)
    assert {e for e, *_ in some} == set(range(10)) and some == sorted(set(some))
    with pytest.raises(ValueError, match="no episode has 6 steps"):
        spread_runs([5, 2], window, 10)
