"""ReSU on image sequences: a shared bank of temporal filters, a second layer on its maps, pooling to a vector.

T frames of H x W pixels, K units of layer 1 (2K ON/OFF maps), K2 units of layer 2, C = rows * columns pooling cells.

Layer 1 works on integers from end to end: its taps are rounded to multiples of a power of two (relative error below
2^-20), so that a response and every sum of responses is an exact integer. Dense and event-driven, offline and online
encoding therefore give the same bits, whatever the blocks and threads.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Self

import numpy as np

import array_files
import lag_moments
import resu_core
import resu_kernels
from patch_moments import NEIGHBOURHOOD, PatchMoments

DENSE_FRACTION = 0.03  # above this share of changed pixels dense encoding is the faster (bench_core.py)
RESPONSE_BITS = 30  # sum_j |tap_j| * 255 stays below 2^30: responses fit in 32 bits
FORMAT = "ReSUEncoder-1"


def as_episode(frames: Any, where: str = "frames") -> np.ndarray:
    """frames as (T, H, W) uint8.

    Raises   ValueError naming `where` if the shape or dtype is another, or there are no frames.
    """
    frames = np.asarray(frames)
    if frames.ndim != 3 or frames.dtype != np.uint8:
        raise ValueError(f"{where} must be a uint8 array (T, H, W), not {frames.dtype} of shape {frames.shape}")
    if 0 in frames.shape:
        raise ValueError(f"{where} is empty: shape {frames.shape}")
    return frames


class ReSUEncoder:
    """Frames -> feature vector: one or two ReSU layers and spatial average pooling.

    memory, horizon, n_units  layer 1: m, h, K [agent steps, agent steps, units]
    grid      (rows, columns) of the pooling cells; the edges of n cells over H pixels are floor(i H / n)
    n_layers  1 or 2; with 2 the features are those of layer 2
    center    subtract each pixel's own mean
    ridge     relative ridge of both layers' CCA
    memory2, horizon2, n_units2, n_windows2   layer 2: steps, steps, K2, and how many evenly spaced windows of frames
              (each with all H * W positions) its moments use
    Fitted:   filters_ (K, m), correlations_ (K,), mean_ (H, W), moments_ (LagMoments, not saved); with two layers
              filters2_ (K2, memory2, 3, 3, 2K), correlations2_ (K2,), mean2_ (H, W, 2K)
    n_features = 2 K rows columns (2 K2 rows columns with two layers), ordered (map, row, column), ON maps first.
    Raises    ValueError for options out of range.
    Source    layer 1 pools the moments of all pixels and shares one bank: the original investigation's design.
    """

    def __init__(
        self,
        memory: int = 8,
        horizon: int = 4,
        n_units: int = 4,
        grid: tuple[int, int] = (16, 8),
        n_layers: int = 1,
        *,
        center: bool = True,
        ridge: float = 1e-6,
        memory2: int = 4,
        horizon2: int = 2,
        n_units2: int = 8,
        n_windows2: int = 400,
    ) -> None:
        lag_moments.LagMoments(memory, horizon)  # checks both
        if not 1 <= n_units <= min(memory, horizon):
            raise ValueError(f"n_units must lie in 1 .. min(memory, horizon) = {min(memory, horizon)}, not {n_units}")
        if n_layers not in (1, 2):
            raise ValueError(f"n_layers must be 1 or 2, not {n_layers}")
        if len(grid) != 2 or min(grid) < 1:
            raise ValueError(f"grid must be two positive numbers (rows, columns), not {grid}")
        if n_layers == 2 and (min(memory2, horizon2, n_units2, n_windows2) < 1 or n_units2 > 2 * n_units * horizon2):
            raise ValueError("layer 2 needs positive options and n_units2 <= 2 * n_units * horizon2")
        self.memory, self.horizon, self.n_units = int(memory), int(horizon), int(n_units)
        self.grid, self.n_layers = (int(grid[0]), int(grid[1])), int(n_layers)
        self.center, self.ridge = bool(center), float(ridge)
        self.memory2, self.horizon2, self.n_units2, self.n_windows2 = memory2, horizon2, n_units2, n_windows2
        self._online: dict[str, np.ndarray] | None = None

    @property
    def options(self) -> dict[str, Any]:
        """The constructor's arguments."""
        names = "memory horizon n_units grid n_layers center ridge memory2 horizon2 n_units2 n_windows2"
        return {name: getattr(self, name) for name in names.split()}

    @property
    def n_features(self) -> int:
        """D, the length of a feature vector."""
        return 2 * (self.n_units if self.n_layers == 1 else self.n_units2) * self.grid[0] * self.grid[1]

    def __repr__(self) -> str:
        return f"ReSUEncoder({', '.join(f'{name}={value!r}' for name, value in self.options.items())})"

    # --- fitting ---

    def fit(self, episodes: Sequence[np.ndarray] | np.ndarray) -> Self:
        """Fit in closed form on a list of episodes (T, H, W) uint8; one (T, H, W) array counts as one episode.

        Raises   ValueError if the list is empty, an episode is shorter than memory + horizon, frames differ in size
                 or are not uint8, or nothing ever changes.
        """
        if isinstance(episodes, np.ndarray) and episodes.ndim == 3:
            episodes = [episodes]
        episodes = [as_episode(frames, f"episode {i}") for i, frames in enumerate(episodes)]
        if not episodes:
            raise ValueError("no episodes to fit on")
        moments = lag_moments.LagMoments(self.memory, self.horizon, self.center)
        for i, frames in enumerate(episodes):
            if frames.shape[1:] != episodes[0].shape[1:]:
                raise ValueError(f"episode {i} has frames {frames.shape[1:]}, episode 0 has {episodes[0].shape[1:]}")
            if len(frames) < moments.n_lags:
                raise ValueError(
                    f"episode {i} has {len(frames)} frames, fewer than memory + horizon = {moments.n_lags}"
                )
            moments.update(frames.reshape(len(frames), -1), new_episode=True)
        self.fit_moments(moments, episodes[0].shape[1:])
        if self.n_layers == 2:
            self._fit_second_layer(episodes)
        return self

    def fit_moments(self, moments: lag_moments.LagMoments, frame_shape: tuple[int, int]) -> Self:
        """Fit layer 1 from moments alone: one small SVD. A second layer that was fitted before is kept.

        Raises   ValueError if the moments are of another memory, horizon or frame size, or hold no variance.
        """
        if (moments.memory, moments.horizon) != (self.memory, self.horizon):
            raise ValueError(f"these moments have memory {moments.memory} and horizon {moments.horizon}, not {self}")
        height, width = (int(size) for size in frame_shape)
        if moments.n_series != height * width:
            raise ValueError(f"these moments hold {moments.n_series} pixels, not {height} x {width}")
        directions = resu_core.canonical_directions(moments, self.n_units, self.ridge)
        mean = moments.mean if self.center else np.zeros(height * width)
        self.moments_ = moments
        return self._set_first_layer(directions.filters, directions.correlations, mean.reshape(height, width))

    def _set_first_layer(self, filters: np.ndarray, correlations: np.ndarray, mean: np.ndarray) -> Self:
        height, width = mean.shape
        if self.grid[0] > height or self.grid[1] > width:
            raise ValueError(f"a grid of {self.grid} cells does not fit frames of {height} x {width} pixels")
        self.filters_, self.correlations_, self.mean_ = filters, correlations, mean
        reach = 255.0 * np.abs(filters).sum(axis=1)
        scale = 2.0 ** np.floor(RESPONSE_BITS - np.log2(reach))
        taps = np.rint(filters * scale[:, None])
        self._taps = np.ascontiguousarray(taps.T, np.int32)
        self._offsets = np.rint(mean.reshape(-1, 1) * taps.sum(axis=1)).astype(np.int32)
        self._row_edges, self._column_edges = (
            np.arange(n + 1) * size // n for n, size in zip(self.grid, mean.shape, strict=True)
        )
        rows, columns = (np.repeat(np.arange(len(e) - 1), np.diff(e)) for e in (self._row_edges, self._column_edges))
        self._cell_of = (rows[:, None] * self.grid[1] + columns).astype(np.int32).ravel()
        self._area = np.bincount(self._cell_of).astype(np.float64)
        self._unit = 1 / scale
        self._gain = np.tile(self._unit, 2) / self._area[:, None]
        self._online = None
        return self

    def with_filters(self, filters: np.ndarray, mean: np.ndarray) -> Self:
        """Use given layer-1 filters (K, m), newest tap first, and pixel means (H, W) in place of fitted ones.

        For controls and hand-made filters; correlations_ becomes NaN.
        Raises   ValueError if the shapes do not fit or a value is not finite.
        """
        filters, mean = np.array(filters, np.float64), np.array(mean, np.float64)
        _expect(filters, (self.n_units, self.memory))
        _expect(mean, mean.shape[:2])
        return self._set_first_layer(filters, np.full(self.n_units, np.nan), mean)

    def _fit_second_layer(self, episodes: list[np.ndarray]) -> None:
        """CCA on patches of layer-1 maps, over evenly spaced windows of the frames that lie within one episode."""
        length = self.memory2 + self.horizon2
        starts = [np.arange(max(len(frames) - length + 1, 0)) for frames in episodes]
        windows = [(e, s) for e, s_e in enumerate(starts) for s in s_e]
        chosen = np.unique(np.linspace(0, len(windows) - 1, min(self.n_windows2, len(windows))).astype(int))
        moments = PatchMoments(self.memory2, self.horizon2, 2 * self.n_units)
        for index in chosen:
            episode, start = windows[index]
            lead = min(start, self.memory - 1)  # frames before the window that its first maps look back on
            moments.update(self._padded_maps(episodes[episode][start - lead : start + length])[lead:])
        directions = resu_core.canonical_directions(moments, self.n_units2, self.ridge)
        shape = (self.n_units2, self.memory2, NEIGHBOURHOOD, NEIGHBOURHOOD, 2 * self.n_units)
        self.spectrum2_ = directions.spectrum
        self._set_second_layer(
            directions.filters.reshape(shape), directions.correlations, moments.mean.reshape(*self.mean_.shape, -1)
        )

    def _set_second_layer(self, filters: np.ndarray, correlations: np.ndarray, mean: np.ndarray) -> None:
        self.filters2_, self.correlations2_, self.mean2_ = filters, correlations, mean
        self._weights = np.ascontiguousarray(np.moveaxis(filters, 0, -1), np.float32)
        summed = filters.sum(axis=1)  # (K2, 3, 3, 2K): a constant map answers with the sum over steps
        padded = np.pad(mean, ((1, 1), (1, 1), (0, 0)), mode="edge")
        height, width = self.mean_.shape
        bias = sum(
            padded[dy : dy + height, dx : dx + width] @ summed[:, dy, dx].T
            for dy in range(NEIGHBOURHOOD)
            for dx in range(NEIGHBOURHOOD)
        )
        self._bias = np.asarray(bias, np.float32).reshape(height * width, -1)

    def _check_fitted(self) -> None:
        if not hasattr(self, "filters_"):
            raise ValueError("this encoder is not fitted: call fit, or load a saved one")
        if self.n_layers == 2 and not hasattr(self, "filters2_"):
            raise ValueError("this encoder's second layer is not fitted: call fit on episodes")

    def _check_frames(self, frames: Any) -> np.ndarray:
        self._check_fitted()
        frames = as_episode(frames)
        if frames.shape[1:] != self.mean_.shape:
            raise ValueError(f"frames are {frames.shape[1:]} pixels, but this encoder was fitted on {self.mean_.shape}")
        return np.ascontiguousarray(frames)

    # --- encoding ---

    def encode(self, frames: np.ndarray, method: str = "auto") -> np.ndarray:
        """Features of one episode: (T, H, W) uint8 -> (T, D) float32.

        Before the first m - 1 frames exist, the first frame is repeated.
        method   "auto", "dense" or "events"; the result does not depend on it
        Raises   ValueError if not fitted or the frames are of another size or dtype.
        """
        frames = self._check_frames(frames)
        if method not in ("auto", "dense", "events"):
            raise ValueError(f"method must be 'auto', 'dense' or 'events', not {method!r}")
        n_frames, height, width = frames.shape
        pixels = frames.reshape(n_frames, -1)
        out = np.empty((n_frames, self.n_features), np.float32)
        if self.n_layers == 2:
            resu_kernels.encode_two_layers(
                pixels, self._taps, self._offsets, self._unit, self._weights, self._bias, (height, width),
                self._cell_of, self._area, max(64, 4 * self.memory2), out,
            )  # fmt: skip
        elif method == "dense" or (method == "auto" and lag_moments.changed_fraction(pixels) > DENSE_FRACTION):
            resu_kernels.encode_dense(
                pixels, self._taps, self._offsets, width, self._row_edges, self._column_edges, self._gain,
                lag_moments.BLOCK, out,
            )  # fmt: skip
        else:
            resu_kernels.encode_events(
                pixels, self._taps, self._offsets, self._cell_of, self._gain, lag_moments.BLOCK, out
            )
        return out

    def _padded_maps(self, frames: np.ndarray) -> np.ndarray:
        n_frames, height, width = frames.shape
        padded = np.empty((n_frames, height + 2, width + 2, 2 * self.n_units), np.float32)
        pixels = np.ascontiguousarray(frames).reshape(n_frames, -1)
        resu_kernels.first_layer_maps(pixels, self._taps, self._offsets, self._unit, padded)
        return padded

    def maps(self, frames: np.ndarray) -> np.ndarray:
        """Layer-1 maps of one episode: (T, H, W) uint8 -> (T, 2K, H, W) float32, ON maps first."""
        frames = self._check_frames(frames)
        return np.moveaxis(self._padded_maps(frames)[:, 1:-1, 1:-1], -1, 1).copy()

    def reset(self, frames: np.ndarray) -> np.ndarray:
        """Start online encoding of B environments at their first frames (B, H, W) uint8; returns (B, D) float32."""
        frames = self._check_frames(frames)
        n, p, k, c = len(frames), frames[0].size, self.n_units, len(self._area)
        self._online = {
            "history": np.empty((n, 4 * self.memory, p), np.uint8),
            "newest": np.zeros(n, np.int64),
            "response": np.empty((n, p, k), np.int32),
            "sums": np.empty((n, c, 2 * k), np.int64),
            "last_change": np.empty((n, p), np.int64),
            "active": np.empty((n, p), np.int32),
            "n_active": np.zeros(n, np.int64),
            "out": np.empty((n, 2 * k * c), np.float32),
        }
        if self.n_layers == 2:
            height, width = self.mean_.shape
            self._online["maps"] = np.empty((n, self.memory2, height + 2, width + 2, 2 * k), np.float32)
            self._online["steps"] = np.zeros(n, np.int64)
        return self.step(frames, np.ones(n, bool))

    def step(self, frames: np.ndarray, restarted: np.ndarray | None = None) -> np.ndarray:
        """Features after one new frame in each environment: (B, H, W) uint8 -> (B, D) float32, a fresh array.

        restarted  (B,) bool, True where the frame is the first of a new episode; default: nowhere
        Raises     ValueError before `reset`, or if the number of environments or the frame size changed.
        """
        frames = self._check_frames(frames)
        if self._online is None:
            raise ValueError("call reset(frames) with the first frames before step")
        state = self._online
        n = len(state["newest"])
        restarted = np.zeros(n, bool) if restarted is None else np.asarray(restarted, bool)
        if len(frames) != n or restarted.shape != (n,):
            raise ValueError(f"expected frames and flags of {n} environments, not {len(frames)} and {restarted.shape}")
        resu_kernels.encode_step(
            frames.reshape(n, -1), restarted, state["history"], state["newest"], self._taps, self._offsets,
            self._cell_of, self._gain, state["response"], state["sums"], state["last_change"], state["active"],
            state["n_active"], state["out"],
        )  # fmt: skip
        return state["out"].copy() if self.n_layers == 1 else self._step_second_layer(restarted)

    def _step_second_layer(self, restarted: np.ndarray) -> np.ndarray:
        assert self._online is not None
        state = self._online
        out = np.empty((len(restarted), self.n_features), np.float32)
        for b, fresh in enumerate(restarted):
            ring = state["maps"][b]
            state["steps"][b] = 0 if fresh else state["steps"][b] + 1
            row = state["steps"][b] % self.memory2
            resu_kernels.first_layer_map(
                state["history"][b], state["newest"][b], self._taps, self._offsets, self._unit, ring[row]
            )
            if fresh:
                ring[:] = ring[row]
            resu_kernels.second_layer_pool(
                ring, state["steps"][b], self._weights, self._bias, self._cell_of, self._area, out[b]
            )
        return out

    # --- files ---

    def save(self, path: array_files.PathLike) -> None:
        """Write options and fitted arrays to an .npz file (no pickle, atomic); the online state is not kept."""
        self._check_fitted()
        arrays: dict[str, Any] = dict(filters=self.filters_, correlations=self.correlations_, mean=self.mean_)
        if self.n_layers == 2:
            arrays |= dict(filters2=self.filters2_, correlations2=self.correlations2_, mean2=self.mean2_)
        array_files.write_npz(path, kind=FORMAT, **self.options, **arrays)

    @classmethod
    def load(cls, path: array_files.PathLike) -> ReSUEncoder:
        """Read a file of `save`.

        Raises   FileNotFoundError, or ValueError if the file is damaged, of another kind, or inconsistent.
        """
        data = array_files.read_npz(path, ("kind",))
        if str(data.pop("kind")) != FORMAT:
            raise ValueError(f"{path} is not an encoder file of a known version ({FORMAT})")
        try:
            encoder = cls(
                int(data["memory"]), int(data["horizon"]), int(data["n_units"]),
                (int(data["grid"][0]), int(data["grid"][1])), int(data["n_layers"]), center=bool(data["center"]),
                ridge=float(data["ridge"]), memory2=int(data["memory2"]), horizon2=int(data["horizon2"]),
                n_units2=int(data["n_units2"]), n_windows2=int(data["n_windows2"]),
            )  # fmt: skip
            _expect(data["filters"], (encoder.n_units, encoder.memory))
            _expect(data["correlations"], (encoder.n_units,))
            _expect(data["mean"], data["mean"].shape[:2])
            encoder._set_first_layer(data["filters"], data["correlations"], data["mean"])
            if encoder.n_layers == 2:
                n_maps = 2 * encoder.n_units
                _expect(data["filters2"], (encoder.n_units2, encoder.memory2, NEIGHBOURHOOD, NEIGHBOURHOOD, n_maps))
                _expect(data["mean2"], (*encoder.mean_.shape, n_maps))
                encoder._set_second_layer(data["filters2"], data["correlations2"], data["mean2"])
        except (KeyError, ValueError, TypeError, IndexError) as error:
            raise ValueError(f"{path} is not a consistent encoder file ({error})") from error
        return encoder


def _expect(array: np.ndarray, shape: tuple[int, ...]) -> None:
    if array.shape != shape or array.dtype != np.float64 or not np.isfinite(array).all():
        raise ValueError(f"an array is {array.dtype} {array.shape} where finite float64 {shape} is expected")
