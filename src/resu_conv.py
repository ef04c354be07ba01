"""ReSU on image sequences: a shared bank of temporal filters, layers on its maps, pooling to a vector.

T frames of H x W pixels, K units of layer 1 (2K ON/OFF maps), K2 units of a layer above, C = rows * columns pooling
cells.

Layer 1 works on integers from end to end: its taps are rounded to multiples of a power of two (relative error below
2^-20), so that a response and every sum of responses is an exact integer. Dense and event-driven, offline and online
encoding therefore give the same bits, whatever the blocks and threads. The layers above see 3 x 3 patches of maps over
some steps; their responses are kept as multiples of 2^-16 for the same reason (resu_patch_layers.py).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple, Self

import numpy as np

import resu_core
import resu_files
import resu_layer1_kernels
import resu_moments
import resu_patch_kernels
import resu_patch_layers
from resu_patch_layers import PatchLayer
from resu_patch_moments import NEIGHBOURHOOD

DENSE_FRACTION = 0.03  # above this share of changed pixels dense encoding is the faster (bench_core.py)
RESPONSE_BITS = 30  # sum_j |tap_j| * 255 stays below 2^30: responses fit in 32 bits
UPPER_BLOCK = 512  # frames per parallel block of the layers above; results do not depend on it
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


class IntegerForm(NamedTuple):
    """Layer 1 as it is computed: sum_j taps[j] * pixel_j - offsets per pixel, rectified, summed by cell, times gain.

    taps (m, K) int32, newest first     offsets (P, K) int32     row_edges (rows + 1,), column_edges (columns + 1,)
    gain (C, 2K) float64
    """

    taps: np.ndarray
    offsets: np.ndarray
    row_edges: np.ndarray
    column_edges: np.ndarray
    gain: np.ndarray


class ReSUEncoder:
    """Frames -> feature vector: one to three ReSU layers and spatial average pooling.

    memory, horizon, n_units  layer 1: m, h, K [agent steps, agent steps, units]
    grid      (rows, columns) of the pooling cells; the edges of n cells over H pixels are floor(i H / n)
    n_layers  1, 2 or 3; the features are those of the topmost layer unless `encode` is asked for others
    center    subtract each pixel's own mean (the layers above always centre their maps)
    ridge     relative ridge of every layer's CCA
    memory2, horizon2, n_units2   layers 2 and 3: steps, steps, K2; past = 3 x 3 neighbourhood, future = the centre
    n_windows2  most windows of frames that their moments use, with all positions: evenly spaced runs of 256, or simply
              all where there are no more
    Fitted:   filters_ (K, m), correlations_ (K,), mean_ (H, W), moments_ (LagMoments, not saved), upper_: a
              `PatchLayer` for each layer above the first, lowest first
    n_features = 2 K rows columns (2 K2 rows columns for a layer above), ordered (map, row, column), ON maps first.
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
        n_windows2: int = 1_000_000,
    ) -> None:
        resu_moments.LagMoments(memory, horizon)  # checks both
        if not 1 <= n_units <= min(memory, horizon):
            raise ValueError(f"n_units must lie in 1 .. min(memory, horizon) = {min(memory, horizon)}, not {n_units}")
        if n_layers not in (1, 2, 3):
            raise ValueError(f"n_layers must be 1, 2 or 3, not {n_layers}")
        if len(grid) != 2 or min(grid) < 1:
            raise ValueError(f"grid must be two positive numbers (rows, columns), not {grid}")
        if min(memory2, horizon2, n_units2, n_windows2) < 1 or (n_layers > 1 and n_units2 > 2 * n_units * horizon2):
            raise ValueError("the layers above need positive options and n_units2 <= 2 * n_units * horizon2")
        self.memory, self.horizon, self.n_units = int(memory), int(horizon), int(n_units)
        self.grid, self.n_layers = (int(grid[0]), int(grid[1])), int(n_layers)
        self.center, self.ridge = bool(center), float(ridge)
        self.memory2, self.horizon2, self.n_units2, self.n_windows2 = memory2, horizon2, n_units2, n_windows2
        self.upper_: list[PatchLayer] = []
        self._online: dict[str, np.ndarray] | None = None

    @property
    def options(self) -> dict[str, Any]:
        """The constructor's arguments."""
        names = "memory horizon n_units grid n_layers center ridge memory2 horizon2 n_units2 n_windows2"
        return {name: getattr(self, name) for name in names.split()}

    @property
    def n_features(self) -> int:
        """D, the length of a feature vector of the topmost layer."""
        return self.n_features_of(self.n_layers)

    def n_features_of(self, layer: int) -> int:
        """The length of the feature vector of layer 1 .. n_layers."""
        return 2 * (self.n_units if layer == 1 else self.n_units2) * self.grid[0] * self.grid[1]

    def __repr__(self) -> str:
        return f"ReSUEncoder({', '.join(f'{name}={value!r}' for name, value in self.options.items())})"

    # --- fitting ---

    def fit(self, episodes: Sequence[np.ndarray] | np.ndarray, method: str = "auto") -> Self:
        """Fit in closed form on a list of episodes (T, H, W) uint8; one (T, H, W) array counts as one episode.

        An episode that is shorter than a window (memory + horizon frames) adds nothing.
        method   of `LagMoments.update`, for layer 1
        Raises   ValueError if the list is empty, every episode is too short, frames differ in size or are not uint8,
                 or nothing ever changes.
        """
        if isinstance(episodes, np.ndarray) and episodes.ndim == 3:
            episodes = [episodes]
        episodes = [as_episode(frames, f"episode {i}") for i, frames in enumerate(episodes)]
        if not episodes:
            raise ValueError("no episodes to fit on")
        moments = resu_moments.LagMoments(self.memory, self.horizon, self.center)
        for i, frames in enumerate(episodes):
            if frames.shape[1:] != episodes[0].shape[1:]:
                raise ValueError(f"episode {i} has frames {frames.shape[1:]}, episode 0 has {episodes[0].shape[1:]}")
            moments.update(frames.reshape(len(frames), -1), new_episode=True, method=method)
        if not moments.n_windows:
            raise ValueError(f"no episode has memory + horizon = {moments.n_lags} frames")
        self.fit_moments(moments, episodes[0].shape[1:])
        if self.n_layers > 1:
            self._fit_upper(episodes)
        return self

    def fit_moments(self, moments: resu_moments.LagMoments, frame_shape: tuple[int, int]) -> Self:
        """Fit layer 1 from moments alone: one small SVD. Layers above that were fitted before are kept.

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

    def integer_form(self) -> IntegerForm:
        """Layer 1 in the numbers that give every implementation the same bits. Raises ValueError if not fitted."""
        self._check_fitted()
        return IntegerForm(self._taps, self._offsets, self._row_edges, self._column_edges, self._gain)

    def with_filters(self, filters: np.ndarray, mean: np.ndarray) -> Self:
        """Use given layer-1 filters (K, m), newest tap first, and pixel means (H, W) in place of fitted ones.

        For controls and hand-made filters; correlations_ becomes NaN.
        Raises   ValueError if the shapes do not fit or a value is not finite.
        """
        filters, mean = np.array(filters, np.float64), np.array(mean, np.float64)
        _expect(filters, (self.n_units, self.memory))
        _expect(mean, mean.shape[:2])
        return self._set_first_layer(filters, np.full(self.n_units, np.nan), mean)

    def _fit_upper(self, episodes: list[np.ndarray]) -> None:
        """Fit the layers above the first, one after the other, each on the maps of the one below."""
        runs = resu_patch_layers.spread_runs([len(e) for e in episodes], self.memory2 + self.horizon2, self.n_windows2)
        self.upper_ = []
        for _ in range(self.n_layers - 1):
            layer = resu_patch_layers.fit_patch_layer(
                lambda episode, start, stop: self._maps_between(episodes[episode], start, stop),
                runs,
                self.memory2,
                self.horizon2,
                self.n_units2,
                self.ridge,
            )
            self.set_upper([*self.upper_, layer])

    def set_upper(self, layers: list[PatchLayer]) -> None:
        """Use these layers above the first, lowest first, in place of fitted ones (controls, saved files)."""
        self.upper_ = layers
        self._weights = tuple(layer.weights for layer in layers)
        self._means = tuple(layer.flat_mean for layer in layers)
        self._gains = tuple(layer.gain(self._area) for layer in layers)
        self._online = None

    def _check_fitted(self) -> None:
        if not hasattr(self, "filters_"):
            raise ValueError("this encoder is not fitted: call fit, or load a saved one")
        if len(self.upper_) < self.n_layers - 1:
            raise ValueError("this encoder's layers above the first are not fitted: call fit on episodes")

    def _check_frames(self, frames: Any) -> np.ndarray:
        self._check_fitted()
        frames = as_episode(frames)
        if frames.shape[1:] != self.mean_.shape:
            raise ValueError(f"frames are {frames.shape[1:]} pixels, but this encoder was fitted on {self.mean_.shape}")
        return np.ascontiguousarray(frames)

    # --- encoding ---

    def encode(self, frames: np.ndarray, method: str = "auto") -> np.ndarray:
        """Features of one episode, from the topmost layer: (T, H, W) uint8 -> (T, D) float32.

        Before the first m - 1 frames exist, the first frame is repeated.
        method   "auto", "dense", "events" or "torch:<device>" ("torch:cuda"), for encoders of one layer; the result
                 does not depend on it
        Raises   ValueError if not fitted or the frames are of another size or dtype.
        """
        frames = self._check_frames(frames)
        device = resu_moments.torch_device(method)
        if method not in ("auto", "dense", "events") and not device:
            raise ValueError(f"method must be 'auto', 'dense', 'events' or 'torch:<device>', not {method!r}")
        if self.n_layers > 1:
            return self.encode_layers(frames, (self.n_layers,))[0]
        if device:
            return self._encode_in_torch(frames, device)
        pixels = frames.reshape(len(frames), -1)
        out = np.empty((len(frames), self.n_features), np.float32)
        if method == "dense" or (method == "auto" and resu_moments.changed_fraction(pixels) > DENSE_FRACTION):
            resu_layer1_kernels.encode_dense(
                pixels, self._taps, self._offsets, frames.shape[2], self._row_edges, self._column_edges, self._gain,
                resu_moments.BLOCK, out,
            )  # fmt: skip
        else:
            resu_layer1_kernels.encode_events(
                pixels, self._taps, self._offsets, self._cell_of, self._gain, resu_moments.BLOCK, out
            )
        return out

    def _encode_in_torch(self, frames: np.ndarray, device: str) -> np.ndarray:
        import torch  # it takes seconds to load, and most who encode do without

        import resu_torch_kernels

        layer = resu_torch_kernels.DenseLayer(*self.integer_form()).to(device)
        return layer.encode(torch.from_numpy(frames).to(device)).cpu().numpy()

    def encode_layers(self, frames: np.ndarray, layers: Sequence[int]) -> list[np.ndarray]:
        """Features of several layers of one episode in one pass: [(T, D_layer) float32 for each of `layers`].

        layers   numbers from 1 to n_layers
        Raises   ValueError as `encode`, or if there is no such layer.
        """
        frames = self._check_frames(frames)
        if not layers or not all(1 <= layer <= self.n_layers for layer in layers):
            raise ValueError(f"layers must be numbers from 1 to {self.n_layers}, not {layers}")
        if self.n_layers == 1:
            return [self.encode(frames)] * len(layers)
        pooled, _ = self._run_layers(frames, 0, len(self.upper_), layers, with_maps=False)
        return [pooled[layer - 1] for layer in layers]

    def _run_layers(
        self, frames: np.ndarray, first: int, n_upper: int, pool: Sequence[int], with_maps: bool
    ) -> tuple[tuple[np.ndarray, ...], np.ndarray]:
        """Layer 1 and n_upper layers above it, for the frames from `first` on: pooled features of each layer named in
        `pool` (others have no column), and the topmost layer's responses (T - first, P, K) int32 (or no row)."""
        n_frames, n = len(frames), len(frames) - first
        pooled = tuple(
            np.empty((n, self.n_features_of(layer) if layer in pool else 0), np.float32)
            for layer in range(1, n_upper + 2)
        )
        maps = np.empty((n if with_maps else 0, self.mean_.size, self.n_units2), np.int32)
        lead = n_upper * (self.memory2 - 1)
        resu_patch_kernels.encode_layers(
            frames.reshape(n_frames, -1), first, lead, self._taps, self._offsets, self._unit, self._gain,
            self._weights[:n_upper], self._means[:n_upper], self._gains[:n_upper], self.mean_.shape, self._cell_of,
            UPPER_BLOCK, pooled, maps,
        )  # fmt: skip
        return pooled, maps

    def _maps_between(self, frames: np.ndarray, start: int, stop: int) -> np.ndarray:
        """ON/OFF maps (stop - start, H, W, M) float32 of the topmost layer fitted so far, steps start .. stop - 1."""
        n_upper = len(self.upper_)
        begin = max(start - (self.memory - 1) - n_upper * (self.memory2 - 1), 0)
        frames = np.ascontiguousarray(frames[begin:stop])
        height, width = self.mean_.shape
        if n_upper:
            _, responses = self._run_layers(frames, start - begin, n_upper, (), with_maps=True)
            value = responses.astype(np.float32) / np.float32(resu_patch_kernels.FRACTION)
        else:
            value = np.empty((stop - start, height * width, self.n_units), np.float32)
            pixels = frames.reshape(len(frames), -1)
            resu_layer1_kernels.first_layer_responses(
                pixels, start - begin, self._taps, self._offsets, self._unit, value
            )
        return resu_core.rectify(value).reshape(stop - start, height, width, -1)

    def maps(self, frames: np.ndarray) -> np.ndarray:
        """Maps of one episode from the topmost layer: (T, H, W) uint8 -> (T, 2K, H, W) float32, ON maps first."""
        frames = self._check_frames(frames)
        return np.moveaxis(self._maps_between(frames, 0, len(frames)), -1, 1).copy()

    def reset(self, frames: np.ndarray) -> np.ndarray:
        """Start online encoding of B environments at their first frames (B, H, W) uint8; returns (B, D) float32."""
        frames = self._check_frames(frames)
        n, p, k, c, m = len(frames), frames[0].size, self.n_units, len(self._area), self.memory
        self._online = {
            "last": np.empty((n, p), np.uint8),
            "now": np.zeros(n, np.int64),
            "response": np.empty((n, p, k), np.int32),
            "sums": np.empty((n, c, 2 * k), np.int64),
            "places": np.empty((n, m, p), np.int32),
            "jumps": np.empty((n, m, p), np.int16),
            "counts": np.empty((n, m), np.int64),
            "stamp": np.empty((n, p), np.int64),
            "moved": np.empty((n, p), np.int32),
            "n_moved": np.zeros(n, np.int64),
            "nowhere": np.zeros(n, bool),
            "everywhere": np.ones(n, bool),
            "out": np.empty((n, 2 * k * c), np.float32),
        }
        if self.n_layers > 1:
            self._online["top"] = np.empty((n, self.n_features), np.float32)
            self._upper_states = [self._new_upper_state() for _ in range(n)]
        return self.step(frames, np.ones(n, bool))

    def _new_upper_state(self) -> dict[str, Any]:
        """What the layers above keep of one environment between steps; arrays as in `resu_patch_kernels`."""
        (height, width), p, n = self.mean_.shape, self.mean_.size, len(self.upper_)
        return {
            "rings": tuple(
                np.empty((self.memory2, height + 2, width + 2, layer.mean.shape[2]), np.float32)
                for layer in self.upper_
            ),
            "responses": tuple(np.empty((p, self.n_units2), np.int32) for _ in range(n)),
            "sums": tuple(np.empty(gain.shape, np.int64) for gain in self._gains),
            "last_changes": tuple(np.empty(p, np.int64) for _ in range(n)),
            "actives": tuple(np.empty(p, np.int32) for _ in range(n)),
            "n_actives": np.zeros(n, np.int64),
        }

    def step(
        self, frames: np.ndarray, restarted: np.ndarray | None = None, where: np.ndarray | None = None
    ) -> np.ndarray:
        """Features after one new frame in each environment: (B, H, W) uint8 -> (B, D) float32, a fresh array.

        restarted  (B,) bool, True where the frame is the first of a new episode; default: nowhere
        where      (B,) bool, environments that have a new frame; the others keep their features; default: all
        Raises     ValueError before `reset`, or if the number of environments or the frame size changed.
        """
        frames = self._check_frames(frames)
        if self._online is None:
            raise ValueError("call reset(frames) with the first frames before step")
        state = self._online
        n = len(state["now"])
        restarted = state["nowhere"] if restarted is None else np.asarray(restarted, bool)
        where = state["everywhere"] if where is None else np.asarray(where, bool)
        if len(frames) != n or restarted.shape != (n,) or where.shape != (n,):
            raise ValueError(f"expected frames and flags of {n} environments, not {len(frames)} and {restarted.shape}")
        resu_layer1_kernels.encode_step(
            frames.reshape(n, -1), where, restarted, state["last"], state["now"], self._taps, self._offsets,
            self._cell_of, self._gain, state["response"], state["sums"], state["places"], state["jumps"],
            state["counts"], state["stamp"], state["moved"], state["n_moved"], state["out"],
        )  # fmt: skip
        if self.n_layers == 1:
            return state["out"].copy()
        for b in np.flatnonzero(where):
            state["top"][b] = self._step_upper(int(b), bool(restarted[b]))
        return state["top"].copy()

    def _step_upper(self, b: int, fresh: bool) -> np.ndarray:
        assert self._online is not None
        lower, upper = self._online, self._upper_states[b]
        out = np.empty(self.n_features, np.float32)
        resu_patch_kernels.encode_layers_step(
            lower["now"][b], fresh, lower["moved"][b], lower["n_moved"][b], lower["response"][b], self._unit,
            self._weights, self._means, self._cell_of, upper["rings"], upper["responses"], upper["sums"],
            upper["last_changes"], upper["actives"], upper["n_actives"], self._gains[-1], out,
        )  # fmt: skip
        return out

    # --- files ---

    def save(self, path: resu_files.PathLike) -> None:
        """Write options and fitted arrays to an .npz file (no pickle, atomic); the online state is not kept."""
        self._check_fitted()
        arrays: dict[str, Any] = dict(filters=self.filters_, correlations=self.correlations_, mean=self.mean_)
        for i, layer in enumerate(self.upper_ if self.n_layers > 1 else [], start=2):
            parts = dict(filters=layer.filters, correlations=layer.correlations, spectrum=layer.spectrum)
            arrays |= {f"{name}{i}": array for name, array in (*parts.items(), ("mean", layer.mean))}
        resu_files.write_npz(path, kind=FORMAT, **self.options, **arrays)

    @classmethod
    def load(cls, path: resu_files.PathLike) -> ReSUEncoder:
        """Read a file of `save`.

        Raises   FileNotFoundError, or ValueError if the file is damaged, of another kind, or inconsistent.
        """
        data = resu_files.read_npz(path, ("kind",))
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
            _expect(np.nan_to_num(data["correlations"]), (encoder.n_units,))  # NaN with hand-made filters
            _expect(data["mean"], data["mean"].shape[:2])
            encoder._set_first_layer(data["filters"], data["correlations"], data["mean"])
            n_maps, layers = 2 * encoder.n_units, []
            for i in range(2, encoder.n_layers + 1):
                names = ("filters", "correlations", "spectrum", "mean")
                layer = PatchLayer(*(data[f"{name}{i}"] for name in names))
                neighbourhood = (NEIGHBOURHOOD, NEIGHBOURHOOD, n_maps)
                _expect(layer.filters, (encoder.n_units2, encoder.memory2, *neighbourhood))
                _expect(layer.mean, (*encoder.mean_.shape, n_maps))
                layers.append(layer)
                n_maps = 2 * encoder.n_units2
            if layers:
                encoder.set_upper(layers)
        except (KeyError, ValueError, TypeError, IndexError) as error:
            raise ValueError(f"{path} is not a consistent encoder file ({error})") from error
        return encoder


def _expect(array: np.ndarray, shape: tuple[int, ...]) -> None:
    if array.shape != shape or array.dtype != np.float64 or not np.isfinite(array).all():
        raise ValueError(f"an array is {array.dtype} {array.shape} where finite float64 {shape} is expected")
