"""ReSU on image sequences: a shared bank of temporal filters, layers on its maps, pooling to a vector.

T frames of H x W pixels, K units of layer 1 (2K ON/OFF maps), K2 units of a layer above, C = rows * columns pooling
cells. How the layers are computed is written in resu_layers.py.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Self

import numpy as np

import resu_core
import resu_files
import resu_moments
import resu_patch_events
import resu_patch_layers
from resu_checks import as_choice, as_count, as_flag, as_grid, as_ridge
from resu_layers import FirstLayer, Layers, as_episode, expect
from resu_online import OnlineCode, OnlineEncoder
from resu_patch_layers import PatchLayer, PatchOptions
from resu_patch_moments import NEIGHBOURHOOD
from resu_patch_sums import Run

FORMAT = "ReSUEncoder-1"
OPTIONS = "memory horizon n_units grid n_layers center ridge memory2 horizon2 n_units2 n_windows2"  # of the constructor
LATER = "absolute_ridge future2"  # options that older files lack


class ReSUEncoder:
    """Frames -> feature vector: one to three ReSU layers and spatial average pooling.

    A fitted encoder never changes but by another fit, and any number of users may share it: what is remembered from
    frame to frame is in `online`. A fit, `with_filters` or `set_upper` that is refused leaves it as it was.

    Parameters (whole numbers of at least 1, where nothing else is said):
    memory      m, frames of the past that a filter of layer 1 sees, the newest included  [agent steps]
    horizon     h, frames ahead that it is fitted to predict  [agent steps]
    n_units     K, filters of layer 1, at most memory and at most horizon
    grid        (rows, columns) of the pooling cells, at most H and W; the edges of n cells over H pixels are
                floor(i H / n)
    n_layers    1, 2 or 3; the features are those of the topmost layer unless `encode_layers` is asked for others
    center      subtract each pixel's own mean (the layers above always centre their maps)
    ridge       added to the covariances of every layer, relative to their largest eigenvalue; at least 0  [1]
    absolute_ridge   added to them as it is; at least 0  [layer 1: (grey value / 255)^2; above: variance of a response]
    memory2     S, steps of the maps below that a filter of layers 2 and 3 sees, in a 3 x 3 neighbourhood  [agent steps]
    horizon2    steps ahead that it is fitted to predict  [agent steps]
    n_units2    K2, filters of layers 2 and 3, at most 2 K horizon2 (nine times as many
                with "patch")
    future2     what they predict of the neighbourhood: its "center", or the whole "patch"
    n_windows2  most windows of frames that their moments use, with all positions: evenly spaced runs of 256, or simply
                all where there are no more
    Attributes, once fitted:
    filters_       (K, m) float64, newest tap first; the responses to the frames of the fit have unit variance over all
                   pixels and windows; the largest tap of each is positive  [1 / grey value]
    correlations_  (K,) float64 in [0, 1], descending; NaN for filters that were not fitted
    mean_          (H, W) float64, mean of each pixel, zero without `center`  [grey values, 0 to 255]
    moments_       `LagMoments` that layer 1 was fitted on; not there after `load` or `with_filters`
    upper_         tuple of `PatchLayer`, one for each layer above the first, lowest first
    n_features     D = 2 K rows columns (2 K2 rows columns with a layer above): cell means of the rectified responses,
                   ordered (map, row, column), ON maps first  [standard deviations of the response]
    Raises    ValueError naming the option that is out of range, no whole number, or of another kind.
    Source    layer 1 pools the moments of all pixels and shares one bank: the original investigation's design; the
              directions are those of `resu_core.canonical_directions` (Qin et al. 2025, arXiv 2512.23146).

    >>> import numpy as np
    >>> from resu_conv import ReSUEncoder
    >>> t, x = np.arange(400)[:, None, None], np.arange(12)
    >>> frames = (127 + 100 * np.sin((t + x) / 4) * np.ones((12, 1))).astype(np.uint8)  # waves that move to the left
    >>> encoder = ReSUEncoder(memory=6, horizon=3, n_units=2, grid=(3, 2)).fit([frames])
    >>> encoder.correlations_.round(2)  # a wave follows from any two of its frames
    array([1., 1.])
    >>> features = encoder.encode(frames)
    >>> features.shape, encoder.n_features  # 4 maps, 3 x 2 cells
    ((400, 24), 24)
    >>> game = encoder.online(1)  # the same numbers, frame by frame
    >>> first = game.reset(frames[:1])
    >>> bool((game.step(frames[1:2])[0] == features[1]).all())
    True
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
        absolute_ridge: float = 0.0,
        future2: str = "center",
    ) -> None:
        self.memory, self.horizon = as_count("memory", memory), as_count("horizon", horizon)
        self.n_units = as_count("n_units", n_units, min(self.memory, self.horizon), "min(memory, horizon)")
        self.n_layers, self.grid = as_count("n_layers", n_layers, 3), as_grid(grid)
        self.center, self.ridge = as_flag("center", center), as_ridge(ridge)
        self.absolute_ridge = as_ridge(absolute_ridge, "absolute_ridge")
        self.future2 = as_choice("future2", future2, ("center", "patch"))
        self.memory2, self.horizon2 = as_count("memory2", memory2), as_count("horizon2", horizon2)
        self.n_units2, self.n_windows2 = as_count("n_units2", n_units2), as_count("n_windows2", n_windows2)
        most = 2 * self.n_units * self.horizon2 * (NEIGHBOURHOOD**2 if future2 == "patch" else 1)
        if self.n_layers > 1 and self.n_units2 > most:
            places = " * 9" if future2 == "patch" else ""
            raise ValueError(
                f"the layers above need n_units2 <= 2 * n_units * horizon2{places} = {most}, not {n_units2}"
            )
        self._layers: Layers | None = None

    @property
    def options(self) -> dict[str, Any]:
        """The constructor's arguments."""
        return {name: getattr(self, name) for name in f"{OPTIONS} {LATER}".split()}

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
        method   of `LagMoments.update`, for layer 1; on a device ("torch:cuda") the layers above are counted, too
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
        layers = Layers(self._fit_first(moments, episodes[0].shape[1:]))
        if self.n_layers > 1:
            window = self.memory2 + self.horizon2
            runs = resu_patch_layers.spread_runs([len(e) for e in episodes], window, self.n_windows2)
            for _ in range(self.n_layers - 1):
                layers = self._fit_above(layers, episodes, runs, resu_moments.torch_device(method))
        return self._become(layers, moments)

    def fit_moments(self, moments: resu_moments.LagMoments, frame_shape: tuple[int, int]) -> Self:
        """Fit layer 1 from moments alone: one small SVD. Layers above that were fitted before are kept.

        Raises   ValueError if the moments are of another memory, horizon or frame size, or hold no variance, or layers
                 above were fitted on frames of another size; the encoder stays as it was then.
        """
        return self._become(Layers(self._fit_first(moments, frame_shape), self._upper()), moments)

    def _fit_first(self, moments: resu_moments.LagMoments, frame_shape: tuple[int, int]) -> FirstLayer:
        if (moments.memory, moments.horizon) != (self.memory, self.horizon):
            raise ValueError(f"these moments have memory {moments.memory} and horizon {moments.horizon}, not {self}")
        height, width = (int(size) for size in frame_shape)
        if moments.n_series != height * width:
            raise ValueError(f"these moments hold {moments.n_series} pixels, not {height} x {width}")
        absolute = self.absolute_ridge * 255.0**2
        directions = resu_core.canonical_directions(moments, self.n_units, self.ridge, self.center, absolute)
        mean = moments.mean if self.center else np.zeros(height * width)
        return FirstLayer.build(directions.filters, directions.correlations, mean.reshape(height, width), self.grid)

    def _fit_above(self, layers: Layers, episodes: list[np.ndarray], runs: list[Run], device: str) -> Layers:
        """The layers with one more on top, fitted on the maps of the topmost one."""
        windows = self.memory2, self.horizon2, self.n_units2
        options = PatchOptions(*windows, self.ridge, self.absolute_ridge, self.future2)
        layer = resu_patch_events.fit_above(layers, episodes, runs, options, device)
        return Layers(layers.first, (*layers.upper, layer))

    def with_filters(self, filters: np.ndarray, mean: np.ndarray) -> Self:
        """Use given layer-1 filters (K, m), newest tap first, and pixel means (H, W) in place of fitted ones.

        For controls and hand-made filters; correlations_ becomes NaN, and moments_ goes away. Layers above that were
        fitted before are kept.
        Raises   ValueError if the shapes do not fit, a value is not finite, a filter is zero, a mean is no grey value,
                 or layers above were fitted on frames of another size; the encoder stays as it was then.
        """
        first = self._first_of(np.array(filters, np.float64), np.full(self.n_units, np.nan), np.array(mean, np.float64))
        return self._become(Layers(first, self._upper()), None)

    def _first_of(self, filters: np.ndarray, correlations: np.ndarray, mean: np.ndarray) -> FirstLayer:
        """Layer 1 from arrays of unknown shape."""
        expect("filters", filters, (self.n_units, self.memory))
        expect("correlations", np.nan_to_num(correlations), (self.n_units,))  # NaN with hand-made filters
        if mean.ndim != 2:
            raise ValueError(f"mean must be of shape (H, W), not {mean.shape}")
        expect("mean", mean, mean.shape)
        return FirstLayer.build(filters, correlations, mean, self.grid)

    def set_upper(self, layers: Sequence[PatchLayer]) -> Self:
        """Use these layers above the first, lowest first, in place of fitted ones (controls).

        Raises   ValueError if layer 1 is not fitted, there are not n_layers - 1 of them, or one does not fit the
                 options, the frame size or the maps below it; the encoder stays as it was then.
        """
        if self._layers is None:
            raise ValueError("layer 1 of this encoder is not fitted: call fit or with_filters before set_upper")
        return self._become(Layers(self._layers.first, self._checked(layers)), vars(self).get("moments_"))

    def _checked(self, layers: Sequence[PatchLayer]) -> tuple[PatchLayer, ...]:
        """Layers of unknown origin, of this encoder's options."""
        if len(layers) != self.n_layers - 1:
            raise ValueError(f"expected {self.n_layers - 1} layers above the first, not {len(layers)}")
        for i, layer in enumerate(layers, start=2):
            if layer.filters.shape[:2] != (self.n_units2, self.memory2):
                raise ValueError(
                    f"layer {i} has {layer.filters.shape[:2]} units and steps, not {(self.n_units2, self.memory2)}"
                )
        return tuple(layers)

    def _upper(self) -> tuple[PatchLayer, ...]:
        return () if self._layers is None else self._layers.upper

    def _become(self, layers: Layers, moments: resu_moments.LagMoments | None) -> Self:
        """Take over what was computed; nothing that can fail comes after this."""
        self._layers = layers
        vars(self).pop("moments_", None)
        if moments is not None:
            self.moments_ = moments
        return self

    def _fitted(self) -> Layers:
        if self._layers is None:
            raise ValueError("this encoder is not fitted: call fit, or load a saved one")
        if len(self._layers.upper) < self.n_layers - 1:
            raise ValueError("this encoder's layers above the first are not fitted: call fit on episodes")
        return self._layers

    @property
    def filters_(self) -> np.ndarray:
        """(K, m) float64: temporal filters of layer 1, newest tap first."""
        return self._part("filters_").first.filters

    @property
    def correlations_(self) -> np.ndarray:
        """(K,) float64: canonical correlations of layer 1, descending; NaN for filters that were not fitted."""
        return self._part("correlations_").first.correlations

    @property
    def mean_(self) -> np.ndarray:
        """(H, W) float64: mean of each pixel [grey values]; zero without `center`."""
        return self._part("mean_").first.mean

    @property
    def upper_(self) -> tuple[PatchLayer, ...]:
        """The layers above the first, lowest first."""
        return self._part("upper_").upper

    def _part(self, name: str) -> Layers:
        if self._layers is None:
            raise AttributeError(f"{name} is not there before the encoder is fitted: call fit, or load a saved one")
        return self._layers

    @property
    def layers_(self) -> Layers:
        """All that encoding needs, in the numbers that give every implementation the same bits.

        Raises   ValueError if not fitted.
        """
        return self._fitted()

    # --- encoding ---

    def encode(self, frames: np.ndarray, method: str = "auto") -> np.ndarray:
        """Features of one episode, from the topmost layer: (T, H, W) uint8 -> (T, D) float32.

        Before the first m - 1 frames exist, the first frame is repeated.
        method   "auto", "dense" or "events" (for encoders of one layer), "torch:<device>" ("torch:cuda"); the result
                 does not depend on it
        Raises   ValueError if not fitted or the frames are of another size or dtype.
        """
        layers = self._fitted()
        frames = layers.first.check_frames(frames)
        device = resu_moments.torch_device(method)
        if method not in ("auto", "dense", "events") and not device:
            raise ValueError(f"method must be 'auto', 'dense', 'events' or 'torch:<device>', not {method!r}")
        if device:
            import resu_torch_layers  # torch takes seconds to load, and most who encode do without

            return resu_torch_layers.encode(layers, frames, device)
        if self.n_layers > 1:
            return layers.encode(frames, (self.n_layers,))[0]
        return layers.first.encode(frames, method)

    def encode_layers(self, frames: np.ndarray, layers: Sequence[int]) -> list[np.ndarray]:
        """Features of several layers of one episode in one pass: [(T, D_layer) float32 for each of `layers`].

        layers   numbers from 1 to n_layers
        Raises   ValueError as `encode`, or if there is no such layer.
        """
        fitted = self._fitted()
        frames = fitted.first.check_frames(frames)
        if not len(layers) or not all(layer in range(1, self.n_layers + 1) for layer in layers):
            raise ValueError(f"layers must be numbers from 1 to {self.n_layers}, not {layers}")
        return fitted.encode(frames, layers)

    def maps(self, frames: np.ndarray) -> np.ndarray:
        """Maps of one episode from the topmost layer: (T, H, W) uint8 -> (T, 2K, H, W) float32, ON maps first."""
        layers = self._fitted()
        frames = layers.first.check_frames(frames)
        return np.moveaxis(layers.maps(frames, 0, len(frames)), -1, 1).copy()

    def online(self, n: int, method: str = "auto") -> OnlineCode:
        """The state of n environments, to be encoded step by step; any number of them may be in use at once.

        method   "auto", or "torch:<device>" ("torch:cuda"), which evaluates all windows anew at every step: for
                 hundreds of environments; the result does not depend on it
        Raises   ValueError if not fitted, n is no whole number of at least 1, or there is no such method.
        """
        layers, n, device = self._fitted(), as_count("n", n), resu_moments.torch_device(method)
        if method != "auto" and not device:
            raise ValueError(f"method must be 'auto' or 'torch:<device>', not {method!r}")
        if device:
            import resu_torch_layers

            return resu_torch_layers.TorchOnline(layers, n, device)
        return OnlineEncoder(layers, n)

    # --- files ---

    def save(self, path: resu_files.PathLike) -> None:
        """Write options and fitted arrays to an .npz file (no pickle, atomic).

        Raises   ValueError if not fitted; OSError if the file cannot be written.
        """
        self._fitted()
        arrays: dict[str, Any] = dict(filters=self.filters_, correlations=self.correlations_, mean=self.mean_)
        for i, layer in enumerate(self.upper_, start=2):
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
            options: dict[str, Any] = {name: data[name][()] for name in OPTIONS.split()}
            options |= {name: data[name].item() for name in LATER.split() if name in data}
            encoder = cls(**options)
            first = encoder._first_of(data["filters"], data["correlations"], data["mean"])
            upper = [
                PatchLayer(*(data[f"{name}{i}"] for name in ("filters", "correlations", "spectrum", "mean")))
                for i in range(2, encoder.n_layers + 1)
            ]
            return encoder._become(Layers(first, encoder._checked(upper)), None)
        except (KeyError, ValueError, TypeError, IndexError) as error:
            raise ValueError(f"{path} is not a consistent encoder file ({error})") from error
