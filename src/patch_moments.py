"""Second moments of feature-map patches: the sufficient statistics of the layers above the first.

T steps of H x W positions, M maps, m memory, h horizon, L = m + h lags.

Maps count as zero outside the screen once they are centred, and patches that reach in from outside are counted, too.
That makes the covariance of a patch exactly block-Toeplitz in space: the product of two maps depends only on how far
apart they are. So 25 offsets times L lags are summed in place of (9 m + h)^2 / 2 pairs: a tenth of the work.
"""

from __future__ import annotations

from typing import Self

import numpy as np
from numpy.lib.stride_tricks import as_strided

NEIGHBOURHOOD = 3  # side of a patch [pixels]
REACH = NEIGHBOURHOOD - 1  # the largest offset between two pixels of a patch
SIDE = 2 * REACH + 1  # offsets along one axis


class PatchMoments:
    """Second moments of past patches and future centres of feature maps, centred by each position's own mean.

    past    3 x 3 neighbourhood of M maps over `memory` steps, newest first: d_p = memory * 9 * M, ordered (step, row,
            column, map)
    future  the centre's M maps over the next `horizon` steps:               d_f = horizon * M
    shift   (H, W, M) a provisional mean, taken off before anything is summed: nothing large is left to cancel
    n_windows counts samples (windows times positions on the screen).
    """

    def __init__(self, memory: int, horizon: int, shift: np.ndarray) -> None:
        self.memory, self.horizon = memory, horizon
        self.shift = np.asarray(shift, np.float64)
        height, width, self.n_maps = shift.shape
        self.n_windows = 0
        self._n_steps = 0  # windows in time
        lags = memory + horizon
        # [a, k]: sum over windows of the products of window positions a and a + k, oldest first, for every offset
        self._products = np.zeros((lags, lags, self.n_maps, SIDE * SIDE, self.n_maps))
        self._sums = np.zeros((lags, height, width, self.n_maps))  # at each window position
        self._matrices: tuple[np.ndarray, np.ndarray, np.ndarray] | None = None  # of what was counted so far

    @property
    def n_lags(self) -> int:
        """L = m + h."""
        return self.memory + self.horizon

    def update(self, maps: np.ndarray) -> Self:
        """Count every window of L steps within maps (T, H, W, M), consecutive steps of one episode, oldest first."""
        n_windows = len(maps) - self.n_lags + 1
        if n_windows < 1:
            return self
        self._matrices = None
        centred = (maps - self.shift).astype(np.float32)
        recent: list[np.ndarray] = []  # padded centre maps, newest first
        for u, image in enumerate(centred):
            padded = np.pad(image, ((REACH, REACH), (REACH, REACH), (0, 0)))
            recent = [padded, *recent[: self.n_lags - 1]]
            products = _offset_products(recent, padded)  # (lags, M, 25, M): of step u - k and step u
            for k in range(len(recent)):
                for a in range(max(u - k - n_windows + 1, 0), min(u - k, self.n_lags - 1 - k) + 1):
                    self._products[a, k] += products[k]
        for a in range(self.n_lags):
            self._sums[a] += centred[a : a + n_windows].sum(axis=0, dtype=np.float64)
        self._n_steps += n_windows
        self.n_windows += n_windows * self.shift.shape[0] * self.shift.shape[1]
        return self

    def merge(self, other: PatchMoments) -> Self:
        """Add the windows that `other` counted about the same shift."""
        if (other.memory, other.horizon) != (self.memory, self.horizon) or not np.array_equal(other.shift, self.shift):
            raise ValueError("only moments of equal memory, horizon and shift can be merged")
        self._matrices = None
        self._products += other._products
        self._sums += other._sums
        self._n_steps += other._n_steps
        self.n_windows += other.n_windows
        return self

    def _centred_products(self) -> np.ndarray:
        """`_products` less those of the windows' own means, per sample."""
        if not self._n_steps:
            raise ValueError(f"no window of {self.n_lags} steps counted yet")
        out = self._products.copy()
        pad = ((0, 0), (REACH, REACH), (REACH, REACH), (0, 0))
        mean = np.pad(self._sums / self._n_steps, pad)
        for b in range(self.n_lags):
            between = _offset_products([mean[b - k] for k in range(b + 1)], mean[b])
            for k in range(b + 1):
                out[b - k, k] -= self._n_steps * between[k]
        return out / self.n_windows

    def _block(self, products: np.ndarray, newer: int, older: int, dy: int, dx: int) -> np.ndarray:
        """(M, M): <older value at p, newer value at p + (dy, dx)>; window positions, newer >= older."""
        return products[older, newer - older, :, (dy + REACH) * SIDE + dx + REACH]

    def matrices(self) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """C_pp (d_p, d_p), C_fp (d_f, d_p), C_ff (d_f, d_f) float64.

        Raises   ValueError if no window was counted.
        """
        if self._matrices is not None:
            return self._matrices
        products = self._centred_products()
        around = [(dy, dx) for dy in (-1, 0, 1) for dx in (-1, 0, 1)]
        past = [(self.memory - 1 - j, dy, dx) for j in range(self.memory) for dy, dx in around]
        future = [(self.memory + j, 0, 0) for j in range(self.horizon)]
        places = past + future
        n, m = len(places), self.n_maps
        joint = np.empty((n, m, n, m))
        for r, (time_r, y_r, x_r) in enumerate(places):
            for c, (time_c, y_c, x_c) in enumerate(places):
                if time_c >= time_r:
                    block = self._block(products, time_c, time_r, y_c - y_r, x_c - x_r)
                    joint[r, :, c] = block
                    joint[c, :, r] = block.T
        joint = joint.reshape(n * m, n * m)
        d = len(past) * m
        self._matrices = joint[:d, :d], joint[d:, :d], joint[d:, d:]
        return self._matrices

    @property
    def mean(self) -> np.ndarray:
        """(H, W, M) float64: mean of each map at each position, over the past steps of all windows."""
        return self.shift + self._sums[: self.memory].mean(axis=0) / self._n_steps

    @property
    def C_pp(self) -> np.ndarray:  # noqa: N802
        """(d_p, d_p) float64."""
        return self.matrices()[0]

    @property
    def C_fp(self) -> np.ndarray:  # noqa: N802
        """(d_f, d_p) float64."""
        return self.matrices()[1]

    @property
    def C_ff(self) -> np.ndarray:  # noqa: N802
        """(d_f, d_f) float64."""
        return self.matrices()[2]


def _offset_products(earlier: list[np.ndarray], later: np.ndarray) -> np.ndarray:
    """Sums over positions p of earlier_k(p) later(p + offset), for every k and each of the 25 offsets.

    earlier   k arrays (H + 4, W + 4, M), zero on a border of 2        later   one such array
    Returns   (k, M, 25, M)
    """
    height, width, n_maps = later.shape
    inner_y, inner_x = height - 2 * REACH, width - 2 * REACH
    step_y, step_x, step_m = later.strides
    shifted = as_strided(
        later, (inner_y, inner_x, SIDE, SIDE * n_maps), (step_y, step_x, step_y, step_m), writeable=False
    )
    left = np.concatenate([a[REACH:-REACH, REACH:-REACH] for a in earlier], axis=-1)
    found = left.reshape(inner_y * inner_x, -1).T @ shifted.reshape(inner_y * inner_x, -1)
    return found.reshape(len(earlier), n_maps, SIDE * SIDE, n_maps)
