"""Sums of products of maps in patches, in integers: what a layer above the first is fitted on.

T frames of H x W pixels, P = H * W, K units of the topmost layer (M = 2K maps), L = memory + horizon.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence

import numpy as np

import resu_core
import resu_layer1_kernels
import resu_patch_kernels
import resu_patch_sum_kernels
from resu_layers import Layers
from resu_patch_kernels import rounded
from resu_patch_moments import PatchMoments
from resu_patch_sum_kernels import REACH, SIDE, Rest, Sums
from resu_threads import for_blocks

Run = tuple[int, int, int]  # (episode, first step, last step + 1)
FULL = 2.0**62  # of the largest sum of squares: by Cauchy and Schwarz no other sum is larger


class MapSums:
    """Exact sums of products of the topmost layer's maps in patches, in integers: see `resu_patch_sum_kernels`.

    layers   fitted       memory, horizon   of the layer to come
    rest     (P, K) int32 responses that are usual; what is counted are deviations from them
    bits     binary digits that are rounded away, so that sums of products fit into 64 bits
    future   "center" or "patch", as in `PatchMoments`
    """

    def __init__(
        self, layers: Layers, memory: int, horizon: int, rest: np.ndarray, bits: int, future: str = "center"
    ) -> None:
        self.layers, self.memory, self.horizon, self.bits = layers, memory, horizon, bits
        self.rest = rounded(rest.astype(np.int64), bits).astype(np.int32)
        self.n_steps = 0  # windows in time
        self._sums: deque[Sums] = deque()  # one per thread that counted
        self.future = future
        self._wide = memory + horizon if future == "patch" else memory  # steps between two patches, no mere centres
        self._shape = memory + horizon, rest.shape[0], 2 * rest.shape[1]

    def count(self, episodes: Sequence[np.ndarray], runs: Sequence[Run]) -> MapSums:
        """Add the windows of some runs of episodes (T, H, W) uint8, on all cores."""
        for_blocks(lambda i: self._count(episodes[runs[i][0]], *runs[i][1:]), len(runs))
        self.n_steps += sum(stop - start - self._shape[0] + 1 for _, start, stop in runs)
        return self

    def _count(self, frames: np.ndarray, start: int, stop: int) -> None:
        bank, above = self.layers.first.bank, self.layers.above
        try:
            sums = self._sums.pop()
        except IndexError:
            sums = resu_patch_sum_kernels.new_sums(*self._shape)
        seen, first = self.layers.section(frames, start, stop)
        pixels, span = seen.reshape(-1, self._shape[1]), (self.layers.lead(first), first, len(seen))
        events = resu_layer1_kernels.new_events(bank)
        deviating = resu_patch_sum_kernels.new_deviating(self._shape[0], frames.shape[1:], self._shape[2])
        rest = Rest(self.rest, self.bits, frames.shape[2])
        if above:
            patches = resu_patch_kernels.new_patches(above)
            resu_patch_sum_kernels.count_above(
                pixels, span, (bank, events), above, patches, (rest, self._wide), deviating, sums
            )
        else:
            resu_patch_sum_kernels.count_first(pixels, span, bank, events, rest, self._wide, deviating, sums)
        self._sums.append(sums)

    @property
    def power(self) -> float:
        """The largest sum of squares of a map."""
        return float(sum((sums.power for sums in self._sums), np.zeros(self._shape[2])).max())

    def integers(self) -> tuple[np.ndarray, np.ndarray]:
        """(L, L, M, 25, M) and (L, P, M) int64 by window position: sums of products, and of the deviations themselves.

        Products are [older position, steps to the newer, map there, which way the newer one lies, map there].

        Raises   OverflowError if a sum may have left 64 bits.
        """
        if self.power >= FULL:
            raise OverflowError("sums of products do not fit into 64 bits")
        return self._integers()

    def _integers(self) -> tuple[np.ndarray, np.ndarray]:
        n_lags = self._shape[0]
        whole = resu_patch_sum_kernels.new_sums(*self._shape)
        for sums in self._sums:
            for total, part in zip(whole[:-1], sums[:-1], strict=True):
                total += part
        products, levels = whole.outer, whole.levels + whole.level
        for k in range(n_lags):
            products[: n_lags - k, k] += whole.inner[k]
        # from [dy, later, dx, earlier], towards the earlier one, to [earlier, dy and dx towards the later one, later]
        products = np.ascontiguousarray(products[:, :, ::-1, :, ::-1].transpose(0, 1, 5, 2, 4, 3))
        for dy in range(REACH):  # at k = 0 rows above mirror those below
            products[:, 0, :, dy] = products[:, 0, :, SIDE - 1 - dy, ::-1].swapaxes(1, 3)
        return products.reshape(n_lags, n_lags, -1, SIDE * SIDE, self._shape[2]), levels

    def moments(self) -> PatchMoments:
        """In the units of the maps. Raises ValueError if nothing was counted, OverflowError as `integers`."""
        products, levels = self.integers()
        n_lags, _, n_maps = self._shape
        unit = np.tile(self.layers.unit * 2.0**self.bits, 2)
        shape = (*self.layers.first.mean.shape, n_maps)
        shift = (resu_core.rectify(self.rest.astype(np.float64)) * unit).reshape(shape)
        scaled = products * np.multiply.outer(unit, unit)[:, None]
        moments = PatchMoments(self.memory, self.horizon, shift, self.future)
        return moments.add_sums(scaled, (levels * unit).reshape(n_lags, *shape), self.n_steps)
