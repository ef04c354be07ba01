"""Controls: codes of the same shape as ReSU's that lack what is claimed to matter.

Raw pixels have no filters; random filters and temporal PCA have filters that were not made to predict; frame
differences and cosines are filters that a person would write down; rotated filters have ReSU's span without its units.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy import linalg

from resu_checks import as_count, as_grid
from resu_conv import ReSUEncoder
from resu_core import fix_signs
from resu_layers import as_episode, cell_edges
from resu_online import flags_of
from resu_patch_layers import PatchLayer

MEASURED = 256  # frames on which random patch filters are scaled


class RawPixels:
    """The newest n_frames frames, flattened, newest first; before the episode's start its first frame is repeated.

    grid   (rows, columns) of cells whose means stand for their pixels, float32; default: the pixels themselves, uint8
    """

    def __init__(
        self, n_frames: int = 2, shape: tuple[int, int] = (84, 84), grid: tuple[int, int] | None = None
    ) -> None:
        self.n_frames, self.shape = as_count("n_frames", n_frames), (int(shape[0]), int(shape[1]))
        self.grid = None if grid is None else as_grid(grid)
        self._edges = None if self.grid is None else cell_edges(self.grid, self.shape)

    @property
    def dtype(self) -> type:
        """Of the features."""
        return np.uint8 if self.grid is None else np.float32

    @property
    def n_features(self) -> int:
        """n_frames * H * W, or n_frames * rows * columns."""
        return self.n_frames * int(np.prod(self.grid or self.shape))

    def check_frames(self, frames: np.ndarray) -> np.ndarray:
        """frames as (T, H * W) uint8, or their cells' means. Raises ValueError if they are of another size or dtype."""
        frames = as_episode(frames)
        if frames.shape[1:] != self.shape:
            raise ValueError(f"frames are {frames.shape[1:]} pixels, but this code is of {self.shape}")
        if self._edges is not None:
            rows, columns = self._edges
            sums = np.add.reduceat(frames, rows[:-1], axis=1, dtype=np.int64)
            sums = np.add.reduceat(sums, columns[:-1], axis=2)
            frames = (sums / np.outer(np.diff(rows), np.diff(columns))).astype(np.float32)
        return frames.reshape(len(frames), -1)

    def encode(self, frames: np.ndarray) -> np.ndarray:
        """(T, H, W) uint8 -> (T, D). Raises ValueError if the frames are of another size or dtype."""
        flat = self.check_frames(frames)
        lagged = [flat[np.maximum(np.arange(len(flat)) - j, 0)] for j in range(self.n_frames)]
        return np.concatenate(lagged, axis=1)

    def online(self, n: int) -> OnlinePixels:
        """The state of n environments, to be encoded step by step. Raises ValueError if n is not at least 1."""
        return OnlinePixels(self, as_count("n", n))


class OnlinePixels:
    """The newest frames of n environments; made by `RawPixels.online`. Methods as those of `OnlineEncoder`."""

    def __init__(self, code: RawPixels, n: int) -> None:
        self._code, self._begun = code, False
        shape = n, code.n_frames, code.n_features // code.n_frames
        self._history: np.ndarray = np.empty(shape, code.dtype)  # newest first

    def reset(self, frames: np.ndarray) -> np.ndarray:
        """First frames (n, H, W) uint8 -> (n, D)."""
        flat = self._code.check_frames(frames)
        flags = flags_of(len(self._history), flat, None, None, default=(True, True))
        self._begun = True
        return self._advance(flat, *flags)

    def step(
        self, frames: np.ndarray, restarted: np.ndarray | None = None, where: np.ndarray | None = None
    ) -> np.ndarray:
        """Next frames (n, H, W) uint8 -> (n, D); (n,) flags: first frames of episodes, who has one."""
        if not self._begun:
            raise ValueError("call reset(frames) with the first frames before step")
        flat = self._code.check_frames(frames)
        return self._advance(flat, *flags_of(len(self._history), flat, restarted, where, default=(False, True)))

    def _advance(self, flat: np.ndarray, restarted: np.ndarray, where: np.ndarray) -> np.ndarray:
        self._history[where, 1:] = self._history[where, :-1]
        self._history[where, 0] = flat[where]
        again = restarted & where
        self._history[again] = flat[again][:, None]
        return self._history.reshape(len(flat), -1).copy()


def random_filters(like: ReSUEncoder, seed: int) -> ReSUEncoder:
    """Control: the encoder with Gaussian filters of unit response variance in place of the canonical ones.

    Everything else (mean, grid, rectification, pooling) is the same.
    """
    rng = np.random.default_rng(seed)
    return _with_filters(like, rng.standard_normal(like.filters_.shape))


def temporal_pca(like: ReSUEncoder) -> ReSUEncoder:
    """Control: the first K principal components of the past window, scaled to unit variance, as filters."""
    _, vectors = linalg.eigh(like.moments_.C_pp)
    return _with_filters(like, vectors[:, ::-1][:, : like.n_units].T)


def rotated(like: ReSUEncoder, seed: int) -> ReSUEncoder:
    """Control: the canonical span in another basis, Q Psi with Q (K, K) a uniformly random rotation or reflection.

    Psi C Psi' = I gives Q Psi C Psi' Q' = I: responses are as uncorrelated and as large as those of the canonical
    filters, and hold the same numbers before they are rectified. With K = 1 nothing is left to turn: the same filter.
    """
    rng = np.random.default_rng(seed)
    turn, upper = np.linalg.qr(rng.standard_normal((like.n_units, like.n_units)))
    filters = turn * np.where(np.diag(upper) < 0, -1.0, 1.0) @ like.filters_  # signs make Q uniform (Haar)
    return _with_whitened(like, filters)


def dct(like: ReSUEncoder) -> ReSUEncoder:
    """Control: the K lowest frequencies of the cosine transform (DCT-II) of the past window, scaled to unit variance.

    The first one is the mean over the window; as taps they are orthogonal.
    """
    middles = np.arange(like.memory) + 0.5
    return _with_filters(like, np.cos(np.pi / like.memory * np.outer(np.arange(like.n_units), middles)))


def frame_differences(like: ReSUEncoder) -> ReSUEncoder:
    """Control: the newest frame and the differences of neighbouring frames as filters, scaled to unit variance.

    The K - 1 newest differences; with K = 1 the newest frame alone, with K = m a basis of the whole window.
    """
    filters = np.zeros(like.filters_.shape)
    filters[0, 0] = 1
    for k in range(1, len(filters)):
        filters[k, k - 1 : k + 1] = 1, -1
    return _with_filters(like, filters)


def random_upper(like: ReSUEncoder, episodes: list[np.ndarray], seed: int) -> ReSUEncoder:
    """Control: the fitted layers below the topmost under Gaussian patch filters of equal size in its place, scaled to
    unit variance on `episodes`.

    Raises   ValueError unless `like` has at least two layers.
    """
    if like.n_layers < 2:
        raise ValueError("this control stands for a layer above the first, but the encoder has 1 layer")
    rng = np.random.default_rng(seed)
    fitted = like.upper_[-1]
    filters = rng.standard_normal(fitted.filters.shape)
    twin = ReSUEncoder(**like.options).with_filters(like.filters_, like.mean_)
    unknown = np.full(len(filters), np.nan)
    twin.set_upper([*like.upper_[:-1], PatchLayer(filters, unknown, unknown, fitted.mean)])
    maps = twin.maps(episodes[len(episodes) // 2][:MEASURED])
    response = maps[:, : len(filters)] - maps[:, len(filters) :]
    filters = filters / np.sqrt((response**2).mean(axis=(0, 2, 3)))[:, None, None, None, None]
    twin.set_upper([*like.upper_[:-1], PatchLayer(filters, unknown, unknown, fitted.mean)])
    return twin


def _with_filters(like: ReSUEncoder, filters: NDArray[np.float64]) -> ReSUEncoder:
    variance = np.einsum("ki,ij,kj->k", filters, like.moments_.C_pp, filters)
    return _with_whitened(like, filters / np.sqrt(variance)[:, None])


def _with_whitened(like: ReSUEncoder, filters: NDArray[np.float64]) -> ReSUEncoder:
    filters = filters * fix_signs(filters)[:, None]
    return ReSUEncoder(**like.options).with_filters(filters, like.mean_)
