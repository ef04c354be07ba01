"""Second moments of feature-map patches: the sufficient statistics of the layers above the first.

T steps of H x W positions, M maps, m memory, h horizon, L = m + h lags.

Maps count as zero outside the screen once they are centred, and patches that reach in from outside are counted, too.
That makes the covariance of a patch exactly block-Toeplitz in space: the product of two maps depends only on how far
apart they are, and sums of products over all positions are correlations, which the Fourier transform gives for all
offsets at once (Wiener and Khinchin): a hundredth of the work of (9 m + h)^2 M^2 / 2 products per position. In time the
windows of a run are summed exactly, its first and last steps included: they are counted directly.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Self

import numpy as np
from numpy.lib.stride_tricks import as_strided
from scipy import fft
from threadpoolctl import threadpool_limits

import resu_moment_kernels
from resu_patch_sum_kernels import REACH, SIDE
from resu_threads import for_spans, n_threads

NEIGHBOURHOOD = 3  # side of a patch [pixels]
FREQUENCIES = 128  # per block of the sums over time
DIRECT = 4  # runs up to this many times a window are counted step by step


class PatchMoments:
    """Second moments of patches of feature maps, past and future, centred by each position's own mean.

    past    3 x 3 neighbourhood of M maps over `memory` steps, newest first: d_p = memory * 9 * M, ordered (step, row,
            column, map)
    future  over the next `horizon` steps, the M maps of the centre ("center"): d_f = horizon * M, or of the whole
            neighbourhood ("patch"): d_f = horizon * 9 * M, ordered like the past, but oldest first
    shift   (H, W, M) a provisional mean, taken off before anything is summed: nothing large is left to cancel
    n_windows counts samples (windows times positions on the screen).
    """

    def __init__(self, memory: int, horizon: int, shift: np.ndarray, future: str = "center") -> None:
        self.memory, self.horizon, self.future = memory, horizon, future
        self.shift = np.asarray(shift, np.float64)
        height, width, self.n_maps = shift.shape
        self.n_windows = 0
        self._n_steps = 0  # windows in time
        lags = memory + horizon
        # [a, k]: sum over windows of the products of window positions a and a + k, oldest first, for every offset
        self._products = np.zeros((lags, lags, self.n_maps, SIDE * SIDE, self.n_maps))
        self._sums = np.zeros((lags, height, width, self.n_maps))  # at each window position
        self._matrices: tuple[np.ndarray, np.ndarray, np.ndarray] | None = None  # of what was counted so far

    def add_sums(self, products: np.ndarray, sums: np.ndarray, n_steps: int) -> Self:
        """Add what was summed elsewhere: products (L, L, M, 25, M) and sums (L, H, W, M) of n_steps windows."""
        self._matrices = None
        self._products += products
        self._sums += sums
        self._n_steps += n_steps
        self.n_windows += n_steps * self.shift.shape[0] * self.shift.shape[1]
        return self

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
        centred = np.subtract(maps, self.shift, dtype=np.float32, casting="same_kind")
        with threadpool_limits(1, "blas"):  # small products: threads would only wait for each other
            if len(maps) <= DIRECT * self.n_lags:
                for s, k, products in _pairs(centred, self.n_lags):
                    first, last = max(s - n_windows + 1, 0), min(s, self.n_lags - 1 - k)
                    self._products[first : last + 1, k] += products
            else:
                self._count_by_spectra(centred, n_windows)
        sums = centred[:n_windows].sum(axis=0, dtype=np.float64)
        for a in range(self.n_lags):
            self._sums[a] += sums
            if a < self.n_lags - 1:
                sums += centred[a + n_windows].astype(np.float64) - centred[a]
        self._n_steps += n_windows
        self.n_windows += n_windows * self.shift.shape[0] * self.shift.shape[1]
        return self

    def _count_by_spectra(self, centred: np.ndarray, n_windows: int) -> None:
        """Products of all pairs of steps k apart, less those that begin before or after a window position's range."""
        total = _all_products(centred, self.n_lags)
        for k in range(self.n_lags):
            self._products[: self.n_lags - k, k] += total[k]
        edge = self.n_lags - 1
        for s, k, products in _pairs(centred[:edge], edge):
            self._products[s + 1 : self.n_lags - k, k] -= products
        for s, k, products in _pairs(centred[-edge:], edge):
            s += len(centred) - edge
            self._products[: min(s - n_windows + 1, self.n_lags - k), k] -= products

    def merge(self, other: PatchMoments) -> Self:
        """Add the windows that `other` counted about the same shift.

        Raises   ValueError if memory, horizon, future or shift differ.
        """
        kinds = [(one.memory, one.horizon, one.future) for one in (self, other)]
        if kinds[0] != kinds[1] or not np.array_equal(other.shift, self.shift):
            raise ValueError("only moments of equal memory, horizon, future and shift can be merged")
        return self.add_sums(other._products, other._sums, other._n_steps)

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
        ahead = around if self.future == "patch" else [(0, 0)]
        future = [(self.memory + j, dy, dx) for j in range(self.horizon) for dy, dx in ahead]
        places = past + future
        n, m = len(places), self.n_maps
        joint = np.empty((n, m, n, m))
        for r, (time_r, y_r, x_r) in enumerate(places):
            for c, (time_c, y_c, x_c) in enumerate(places):
                if time_c >= time_r:
                    block = self._block(products, time_c, time_r, y_c - y_r, x_c - x_r)
                    joint[r, :, c] = block
                    joint[c, :, r] = block.T
        square = joint.reshape(n * m, n * m)
        d = len(past) * m
        self._matrices = square[:d, :d], square[d:, :d], square[d:, d:]
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


def _pairs(centred: np.ndarray, n_lags: int) -> Iterator[tuple[int, int, np.ndarray]]:
    """(s, k, products (M, 25, M) of step s and step s + k) for all pairs less than n_lags apart: maps (T, H, W, M)."""
    recent: list[np.ndarray] = []  # padded, newest first
    for u, image in enumerate(centred):
        padded = np.pad(image, ((REACH, REACH), (REACH, REACH), (0, 0)))
        recent = [padded, *recent[: n_lags - 1]]
        for k, products in enumerate(_offset_products(recent, padded)):
            yield u - k, k, products


def _all_products(centred: np.ndarray, n_lags: int) -> np.ndarray:
    """Sums over all pairs of steps k apart: maps (T, H, W, M) float32 -> (n_lags, M, 25, M) float64."""
    n_frames, height, width, n_maps = centred.shape
    size = [fft.next_fast_len(n + REACH, real=True) for n in (height, width)]  # no offset wraps round
    spectra = fft.rfft2(centred, size, axes=(1, 2), workers=n_threads())
    flat = np.ascontiguousarray(spectra).reshape(n_frames, -1, n_maps)
    products = np.zeros((n_lags, flat.shape[1], n_maps, n_maps), np.complex64)
    x, out = flat.view(np.float32), products.view(np.float32)
    for_spans(lambda a, b: resu_moment_kernels.lagged_spectra(x, a, b, out), x.shape[1], FREQUENCIES)
    products = products.reshape(n_lags, size[0], -1, n_maps, n_maps)
    space = fft.irfft2(products, size, axes=(1, 2), workers=n_threads())
    offsets = np.arange(-REACH, REACH + 1)
    near = space[:, offsets[:, None], offsets]  # (n_lags, 5, 5, M, M)
    return np.moveaxis(near.reshape(n_lags, SIDE * SIDE, n_maps, n_maps), 1, 2).astype(np.float64)


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
