"""Moments of layers above the first from events: the integers of a dense count, however the runs are cut."""

from collections.abc import Sequence

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import resu_patch_events
from resu_conv import ReSUEncoder
from resu_core import rectify
from resu_layers import Layers
from resu_patch_events import usual
from resu_patch_layers import PatchLayer, PatchOptions, fit_patch_layer, layer_of, spread_runs
from resu_patch_sums import MapSums
from screens import screens

Run = tuple[int, int, int]


def dense(layers: Layers, sums: MapSums, episodes: Sequence[np.ndarray], runs: Sequence[Run]) -> np.ndarray:
    """[a, k, i, offset, j]: the same products, every step, pixel and offset of them."""
    lags, (height, width) = sums.memory + sums.horizon, layers.first.mean.shape
    n_maps = 2 * sums.rest.shape[1]
    out = np.zeros((lags, lags, n_maps, 5, 5, n_maps), np.int64)
    for episode, start, stop in runs:
        exact = layers.responses(episodes[episode], start, stop).astype(np.int64)
        responses = (2 * exact + 2**sums.bits) // 2 ** (sums.bits + 1)
        maps = rectify(responses) - rectify(sums.rest.astype(np.int64))
        maps = np.pad(maps.reshape(-1, height, width, n_maps), ((0, 0), (2, 2), (2, 2), (0, 0)))
        for w in range(stop - start - lags + 1):
            for a in range(lags):
                older = maps[w + a, 2 : 2 + height, 2 : 2 + width]
                for k in range(lags - a):
                    for dy in range(5):
                        for dx in range(5):
                            newer = maps[w + a + k, dy : dy + height, dx : dx + width]
                            out[a, k, :, dy, dx] += np.einsum("yxi,yxj->ij", older, newer)
    return out


@settings(max_examples=25, deadline=None, derandomize=True)
@given(
    shape=st.tuples(st.integers(1, 6), st.integers(1, 6)),
    lengths=st.lists(st.integers(1, 24), min_size=1, max_size=3),
    memory=st.integers(1, 4), horizon=st.integers(1, 3), bits=st.integers(6, 26),
    share=st.sampled_from([0.0, 0.05, 0.5]), n_layers=st.integers(1, 3), seed=st.integers(0, 99),
    future=st.sampled_from(["center", "patch"]),
)  # fmt: skip
def test_sums_are_those_of_a_dense_count_and_do_not_depend_on_the_runs(
    shape, lengths, memory, horizon, bits, share, n_layers, seed, future
):
    rng = np.random.default_rng(seed)
    taught = [screens(rng, 100, shape, 0.4)]
    options = dict(memory=3, horizon=2, n_units=2, grid=(1, 1), memory2=2, horizon2=1, n_units2=2)
    layers = ReSUEncoder(n_layers=n_layers, **options).fit(taught).layers_
    episodes = [screens(rng, n, shape, share) for n in lengths]
    lags = memory + horizon
    whole = [(i, 0, n) for i, n in enumerate(lengths) if n >= lags]
    if not whole:
        return
    rest, _, _ = usual(layers, episodes, whole)
    sums = MapSums(layers, memory, horizon, rest, bits, future).count(episodes, whole)
    products, levels = sums.integers()
    wanted = dense(layers, sums, episodes, whole)
    found = products.reshape(wanted.shape)
    for k in range(lags):
        near = slice(0, 5) if k < memory or future == "patch" else slice(1, 4)  # what past and future need
        assert np.array_equal(found[:, k, :, near, near], wanted[:, k, :, near, near]), k
    windows = [  # one by one, and in another order
        (i, at, at + lags) for i, n in enumerate(lengths) for at in range(n - lags + 1)
    ]
    apart = MapSums(layers, memory, horizon, rest, bits, future).count(
        episodes, [windows[j] for j in rng.permutation(len(windows))]
    )
    for a, b in zip(apart.integers(), (products, levels), strict=True):
        assert np.array_equal(a, b)
    assert apart.n_steps == sums.n_steps == len(windows)


def ball(rng: np.random.Generator, n: int, shape: tuple[int, int] = (14, 12)) -> np.ndarray:
    """Something small and bright that walks over a still picture, the same for all."""
    frames = np.repeat(np.random.default_rng(99).integers(0, 60, (1, *shape), np.uint8), n, axis=0)
    places = np.cumsum(rng.integers(-1, 2, (n, 2)), axis=0) % np.subtract(shape, 1)
    for frame, (y, x) in zip(frames, places, strict=True):
        frame[y : y + 2, x : x + 2] = 200
    return frames


@pytest.fixture(scope="module")
def game() -> tuple[Layers, list[np.ndarray], list[Run]]:
    episodes = [ball(np.random.default_rng(i), n) for i, n in enumerate((300, 5, 160))]
    return ReSUEncoder(grid=(2, 3)).fit(episodes).layers_, episodes, spread_runs([300, 5, 160], 6, 10_000)


@pytest.mark.parametrize("threads", ["1", "3"])
def test_the_layer_is_that_of_the_spectra_to_their_rounding(game, threads, monkeypatch):
    monkeypatch.setenv("RESU_NUM_THREADS", threads)
    layers, episodes, runs = game
    exact = resu_patch_events.fit_above(*game, PatchOptions(4, 2, 4))
    by_spectra = fit_patch_layer(lambda i, a, b: layers.maps(episodes[i], a, b), runs, PatchOptions(4, 2, 4))
    assert np.allclose(exact.correlations, by_spectra.correlations, atol=1e-6)
    assert np.allclose(exact.mean, by_spectra.mean, atol=1e-4)
    assert 1 - smallest_cosine(exact, by_spectra) < 1e-4
    part = fit_patch_layer(lambda i, a, b: layers.maps(episodes[i], a, b), runs[:1], PatchOptions(4, 2, 4))
    assert 1 - smallest_cosine(part, by_spectra) > 1e-3  # negative control


def smallest_cosine(one: PatchLayer, other: PatchLayer) -> float:
    pairs = zip(one.filters, other.filters, strict=True)
    return min(abs((a * b).sum()) / np.linalg.norm(a) / np.linalg.norm(b) for a, b in pairs)


def test_what_moves_nearly_everywhere_is_counted_by_spectra(game, monkeypatch):
    monkeypatch.setattr(resu_patch_events, "MapSums", None)
    busy = [screens(np.random.default_rng(5), 300, (14, 12), 0.6)]
    resu_patch_events.fit_above(game[0], busy, spread_runs([300], 6, 10_000), PatchOptions(4, 2, 4))
    with pytest.raises(TypeError):
        resu_patch_events.fit_above(*game, PatchOptions(4, 2, 4))


def test_sums_that_do_not_fit_are_noticed_and_more_digits_rounded_away(game, monkeypatch):
    layers, episodes, runs = game
    rest, _, power = usual(layers, episodes, runs)
    few = MapSums(layers, 4, 2, rest, 0).count(episodes, runs)
    assert few.power > power > 0
    with pytest.raises(OverflowError, match="64 bits"):
        few.integers()
    with pytest.raises(OverflowError, match="64 bits"):
        few.moments()
    monkeypatch.setattr(resu_patch_events, "usual", lambda *given: (rest, 0.0, 0.0))  # expects next to nothing
    layer = resu_patch_events.fit_above(*game, PatchOptions(4, 2, 4))
    wanted = layer_of(MapSums(layers, 4, 2, rest, 6).count(episodes, runs).moments(), PatchOptions(4, 2, 4))
    assert np.array_equal(layer.filters, wanted.filters)
