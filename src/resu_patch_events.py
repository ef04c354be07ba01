"""Fitting a layer above the first: exactly, from the events, where little moves; by spectra where much does.

P pixels, K units of the topmost layer.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

import resu_core
from resu_layers import Layers
from resu_patch_layers import PatchLayer, PatchOptions, fit_patch_layer, layer_of
from resu_patch_sums import FULL, MapSums, Run

SAMPLES = 64  # steps that are looked at to see what is usual
SPARSE = 0.4  # share of pixels that deviate up to which counting events is the faster way (bench_layers.py)
ROOM = 6  # binary digits between what the samples let expect of sums and what they may be


def usual(layers: Layers, episodes: Sequence[np.ndarray], runs: Sequence[Run]) -> tuple[np.ndarray, float, float]:
    """What is usual, from some evenly spaced steps.

    Returns   rest (P, K) int32, the medians of the topmost layer's responses; the share of pixels that deviate from
              them; the largest sum over pixels of a map's squared deviations, per step
    """
    chosen = np.unique(np.linspace(0, len(runs) - 1, SAMPLES).astype(int))
    steps = [(runs[i][0], (runs[i][1] + runs[i][2]) // 2) for i in chosen]
    seen = np.concatenate([layers.responses(episodes[episode], step, step + 1) for episode, step in steps])
    rest = np.sort(seen, axis=0)[len(seen) // 2]
    share = float(np.mean([(each != rest).any(axis=1).mean() for each in seen]))
    usually = resu_core.rectify(rest.astype(np.float64))
    squares = [((resu_core.rectify(each.astype(np.float64)) - usually) ** 2).sum(axis=0) for each in seen]
    return rest, share, float(np.mean(squares, axis=0).max())


def fit_above(
    layers: Layers,
    episodes: Sequence[np.ndarray],
    runs: Sequence[Run],
    options: PatchOptions,
    device: str = "",
) -> PatchLayer:
    """Canonical directions between the past of a 3 x 3 patch of the topmost maps and its future, or its centre's.

    episodes   each (T, H, W) uint8       runs     of `resu_patch_layers.spread_runs`
    device     of torch, to count on; default: none
    Raises     ValueError as `resu_core.canonical_directions`.
    """
    rest, share, power = usual(layers, episodes, runs)
    if share > SPARSE:
        return fit_patch_layer(lambda episode, *span: layers.maps(episodes[episode], *span), runs, options)
    bits, expected = 0, power * sum(stop - start for _, start, stop in runs) * 2**ROOM
    while expected / 4**bits > FULL:
        bits += 1
    sums = _sums(layers, options, rest, bits, device).count(episodes, runs)
    while sums.power >= FULL:  # the samples misled
        bits += ROOM
        sums = _sums(layers, options, rest, bits, device).count(episodes, runs)
    return layer_of(sums.moments(), options)


def _sums(layers: Layers, options: PatchOptions, rest: np.ndarray, bits: int, device: str) -> MapSums:
    """Nothing is counted yet."""
    windows = options.memory, options.horizon
    if not device:
        return MapSums(layers, *windows, rest, bits, options.future)
    import resu_torch_sums  # torch takes seconds to load, and most who fit do without

    return resu_torch_sums.TorchSums(layers, *windows, rest, bits, device, options.future)
