"""ReSU layers above the first: canonical directions of 3 x 3 patches of the maps below, and their place in the stack.

H x W positions, M maps below, S = memory steps, K units (2K ON/OFF maps).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

import resu_core
from resu_patch_kernels import FRACTION
from resu_patch_moments import NEIGHBOURHOOD, PatchMoments

RUN = 256  # consecutive windows per run: the spectra of a run fit into memory
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

    @property
    def weights(self) -> np.ndarray:
        """(S, 3, 3M, K) float32, as the kernels take them."""
        n_units, n_steps = self.filters.shape[:2]
        return np.ascontiguousarray(np.moveaxis(self.filters, 0, -1), np.float32).reshape(
            n_steps, NEIGHBOURHOOD, -1, n_units
        )

    def gain(self, area: np.ndarray) -> np.ndarray:
        """(C, 2K) float64: from summed responses to cell means, for cells of area (C,) pixels."""
        return np.repeat(1 / (FRACTION * area[:, None]), 2 * len(self.filters), axis=1)

    @property
    def flat_mean(self) -> np.ndarray:
        """(H * W, M) float32."""
        return np.ascontiguousarray(self.mean, np.float32).reshape(-1, self.mean.shape[2])


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
    memory: int,
    horizon: int,
    n_units: int,
    ridge: float,
) -> PatchLayer:
    """Canonical directions between a patch's past and its centre's future.

    maps_of  (episode, first step, last step + 1) -> maps below (T, H, W, M) float32, uncentred
    runs     of `spread_runs`
    ridge    relative, as in `resu_core.canonical_directions`
    Raises   ValueError as `resu_core.canonical_directions`.
    """
    shift = np.mean([maps_of(*run).mean(axis=0, dtype=np.float64) for run in runs[::GLIMPSE]], axis=0)
    moments = PatchMoments(memory, horizon, shift)
    for run in runs:
        moments.update(maps_of(*run))
    return layer_of(moments, n_units, ridge)


def layer_of(moments: PatchMoments, n_units: int, ridge: float) -> PatchLayer:
    """The layer of these moments. Raises ValueError as `resu_core.canonical_directions`."""
    directions = resu_core.canonical_directions(moments, n_units, ridge)
    shape = (n_units, moments.memory, NEIGHBOURHOOD, NEIGHBOURHOOD, moments.n_maps)
    return PatchLayer(directions.filters.reshape(shape), directions.correlations, directions.spectrum, moments.mean)
