"""ReSU layers above the first: canonical directions of 3 x 3 patches of the maps below, and their place in the stack.

H x W positions, M maps below, S = memory steps, K units (2K ON/OFF maps).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

import resu_core
from resu_patch_kernels import FRACTION, MAP_BITS, Above
from resu_patch_moments import NEIGHBOURHOOD, PatchMoments

RUN = 256  # consecutive windows per run: the spectra of a run fit into memory
TOTAL_BITS = 51  # of the largest sum of products: below 2^53 with a rounded sum's doubt, where float64 is exact
GLIMPSE = 8  # one run in so many settles the provisional mean


@dataclass(frozen=True)
class PatchLayer:
    """A fitted layer.

    filters       (K, S, 3, 3, M) float64, newest step first, on maps centred by `mean` and zero outside the screen
    correlations  (K,) float64 in [0, 1], descending       spectrum  all canonical correlations
    mean          (H, W, M) float64, of each map below at each position
    """

    filters: np.ndarray
    correlations: np.ndarray
    spectrum: np.ndarray
    mean: np.ndarray


class PatchOptions(NamedTuple):
    """How a layer above the first is fitted.

    memory, horizon   steps of past and future       n_units   K
    ridge, absolute_ridge   as in `resu_core.canonical_directions`; maps are in standard deviations of a response
    future    what is predicted: "center", the maps at the middle of the patch, or "patch", at all of its 3 x 3 places
    """

    memory: int
    horizon: int
    n_units: int
    ridge: float = 1e-6
    absolute_ridge: float = 0.0
    future: str = "center"


def above(layer: PatchLayer, lower: np.ndarray, reach: int, area: np.ndarray) -> Above:
    """The layer in the whole numbers that give every implementation the same bits.

    Weights are rounded to multiples of a power of two, 2^-25 of the largest response that they could give, or finer.
    lower   (M,) float64, value of one step of each map below, powers of two; a map is less than 2^reach steps
    area    (C,) pixels of each pooling cell
    """
    n_units, n_steps, *_, n_maps = layer.filters.shape
    bits = max(reach - MAP_BITS, 0)
    unit = lower * 2.0**bits
    steps = layer.filters * unit
    largest = np.abs(steps).sum(axis=(1, 2, 3, 4)) * 2.0 ** (reach - bits)
    scale = 2.0 ** np.floor(TOTAL_BITS - np.log2(np.where(largest > 0, largest, 1.0)))
    whole = np.rint(steps * scale[:, None, None, None, None])
    # from the patch that a unit sees to what a map's pixel adds to the units around it: the other way round
    given = np.ascontiguousarray(whole[:, :, ::-1, ::-1].transpose(4, 2, 3, 1, 0))  # [map, row, column, step, unit]
    phases = np.stack([np.roll(given, slot, axis=3) for slot in range(n_steps)])
    return Above(
        weights=phases.reshape(n_steps, n_maps, NEIGHBOURHOOD, -1),
        still=given.sum(axis=3).reshape(n_maps, NEIGHBOURHOOD, -1),
        mean=np.rint(layer.mean / unit).astype(np.int32).reshape(-1, n_maps),
        bits=bits,
        factor=FRACTION / scale,
        gain=np.repeat(1 / (FRACTION * area[:, None]), 2 * n_units, axis=1),
        width=layer.mean.shape[1],
    )


def spread_runs(lengths: Sequence[int], window: int, n_windows: int) -> list[tuple[int, int, int]]:
    """Evenly spaced runs of consecutive windows, none of which spans two episodes.

    lengths    steps of each episode           window  steps per window
    n_windows  how many windows to choose; where there are no more than that, all are taken
    Returns    (episode, first step, last step + 1) of each run, in order
    Raises     ValueError if no episode is as long as a window.
    """
    runs = [
        (episode, start, min(start + RUN, length - window + 1) + window - 1)
        for episode, length in enumerate(lengths)
        for start in range(0, length - window + 1, RUN)
    ]
    if not runs:
        raise ValueError(f"no episode has {window} steps")
    wanted = max(1, min(len(runs), round(n_windows / RUN))) if n_windows < sum(lengths) else len(runs)
    return [runs[i] for i in np.unique(np.linspace(0, len(runs) - 1, wanted).astype(int))]


def fit_patch_layer(
    maps_of: Callable[[int, int, int], np.ndarray],
    runs: Sequence[tuple[int, int, int]],
    options: PatchOptions,
) -> PatchLayer:
    """Canonical directions between a patch's past and its future.

    maps_of  (episode, first step, last step + 1) -> maps below (T, H, W, M) float32, uncentred
    runs     of `spread_runs`
    Raises   ValueError as `resu_core.canonical_directions`.
    """
    shift = np.mean([maps_of(*run).mean(axis=0, dtype=np.float64) for run in runs[::GLIMPSE]], axis=0)
    moments = PatchMoments(options.memory, options.horizon, shift, options.future)
    for run in runs:
        moments.update(maps_of(*run))
    return layer_of(moments, options)


def layer_of(moments: PatchMoments, options: PatchOptions) -> PatchLayer:
    """The layer of these moments. Raises ValueError as `resu_core.canonical_directions`."""
    directions = resu_core.canonical_directions(
        moments, options.n_units, options.ridge, absolute_ridge=options.absolute_ridge
    )
    shape = (options.n_units, moments.memory, NEIGHBOURHOOD, NEIGHBOURHOOD, moments.n_maps)
    return PatchLayer(directions.filters.reshape(shape), directions.correlations, directions.spectrum, moments.mean)
