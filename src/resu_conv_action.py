"""The layer-1 encoder with the agent's own actions in its past: one-hot lags beside the grey values.

T frames of P = H * W pixels, m memory, h horizon, K units, A actions; action a_s is the one chosen after frame s, so
that a_{t-1}, a_{t-2}, ... are known at frame t. Per pixel

    past    [y_t, ..., y_{t-m+1}; onehot(a_{t-1}), ..., onehot(a_{t-n})]      future  [y_{t+1}, ..., y_{t+h}]

and, with `include_current`, onehot(a_t) in front of the other one-hots. The moments are pooled over pixels and one bank
is shared, as in layer 1. All pixels of a frame see the same actions, so two things follow. The actions only enter the
pooled cross-covariance through the sum of the frame: what brightens some pixels and dims others as much is invisible
to them. And an action tap adds the same number to the response of every pixel of a frame.

Windows are counted once all of their actions exist. When encoding, the first frame stands in for frames before it, and
missing actions count as the mean one-hot, which is zero after centring.
"""

from __future__ import annotations

from collections.abc import Sequence
from types import SimpleNamespace
from typing import Any, Self

import numpy as np

import resu_conv
import resu_core
import resu_files
from resu_action_moments import ActionMoments, as_actions
from resu_action_online import ActionLayer, OnlineActionEncoder
from resu_checks import as_count
from resu_layers import FirstLayer, as_episode, expect

FORMAT = "ActionReSUEncoder-1"
OPTIONS = "n_actions memory horizon n_units grid action_memory include_current ridge"  # of the constructor
ARRAYS = ("filters", "action_filters", "mean", "correlations", "action_share")  # what a fit finds


class ActionReSUEncoder:
    """Frames and actions -> feature vector: one ReSU layer with action taps, and spatial average pooling.

    n_actions   A, size of the action set
    memory, horizon, n_units, grid, ridge   as in `ReSUEncoder` [agent steps, agent steps, units, cells]
    action_memory     n, past actions that the filters see [agent steps]; default: memory
    include_current   also a_t, the action about to be taken after the newest frame
    Before the CCA grey values and one-hots are each divided by the root of the largest eigenvalue of their own
    covariance: the relative ridge then weighs alike on both, and neither the unit of the grey values nor the number of
    lags matters. The filters are given back in the unit of the input.
    Fitted:     filters_ (K, m) pixel taps, action_filters_ (K, n_lags, A) action taps, both newest first: the response
                is filters_ . (y - mean_) + sum over lags of action_filters_[:, lag, action]. The action taps of a lag
                are centred (their mean over the windows is zero); an action never seen in the fit has taps 0.
                The largest pixel tap of each filter is positive. correlations_ (K,), mean_ (H, W),
                action_share_ (K,) in [0, 1]: variance of the action part of the response over the summed variances of
                its pixel part and its action part (their covariance left out), moments_ (ActionMoments, not saved).
                A unit whose correlation is no higher than chance has any share: compare with shuffled actions.
    n_features = 2 K rows columns, ordered (map, row, column), ON maps first.
    Raises      ValueError for options out of range.
    """

    def __init__(
        self,
        n_actions: int,
        memory: int = 8,
        horizon: int = 4,
        n_units: int = 4,
        grid: tuple[int, int] = (16, 8),
        *,
        action_memory: int | None = None,
        include_current: bool = False,
        ridge: float = 1e-6,
    ) -> None:
        plain = resu_conv.ReSUEncoder(memory, horizon, n_units, grid, ridge=ridge)  # checks these
        moments = ActionMoments(memory, horizon, n_actions, action_memory, include_current)  # and these
        self.memory, self.horizon, self.n_units = plain.memory, plain.horizon, plain.n_units
        self.grid, self.ridge, self.n_features = plain.grid, plain.ridge, plain.n_features
        self.n_actions, self.action_memory = moments.n_actions, moments.action_memory
        self.include_current, self._delays = moments.include_current, moments.delays
        self._layer: ActionLayer | None = None

    @property
    def options(self) -> dict[str, Any]:
        """The constructor's arguments."""
        return {name: getattr(self, name) for name in OPTIONS.split()}

    @property
    def n_lags(self) -> int:
        """Action lags: n, or n + 1 with the current action."""
        return len(self._delays)

    def __repr__(self) -> str:
        return f"ActionReSUEncoder({', '.join(f'{name}={value!r}' for name, value in self.options.items())})"

    # --- fitting ---

    def fit(self, episodes: Sequence[np.ndarray] | np.ndarray, actions: Sequence[np.ndarray] | np.ndarray) -> Self:
        """Fit in closed form.

        episodes   list of (T, H, W) uint8; one (T, H, W) array counts as one episode
        actions    list of (T,) integers in 0 .. A - 1, one per frame, chosen after it
        Raises     ValueError if the lists are empty or of different length, an episode is too short for one window,
                   frames differ in size or are not uint8, actions are out of range, or nothing ever changes.
        """
        if isinstance(episodes, np.ndarray) and episodes.ndim == 3:
            episodes, actions = [episodes], [np.asarray(actions)]
        episodes = [as_episode(frames, f"episode {i}") for i, frames in enumerate(episodes)]
        if not episodes or len(actions) != len(episodes):
            raise ValueError(
                f"expected episodes with as many arrays of actions, not {len(episodes)} and {len(actions)}"
            )
        moments = self._new_moments()
        chosen = [
            as_actions(a, len(frames), self.n_actions, f"actions of episode {i}")
            for i, (frames, a) in enumerate(zip(episodes, actions, strict=True))
        ]
        for i, frames in enumerate(episodes):
            if frames.shape[1:] != episodes[0].shape[1:]:
                raise ValueError(f"episode {i} has frames {frames.shape[1:]}, episode 0 has {episodes[0].shape[1:]}")
            if len(frames) < moments.min_frames:
                raise ValueError(f"episode {i} has {len(frames)} frames, fewer than a window of {moments.min_frames}")
            moments.update(frames.reshape(len(frames), -1), chosen[i], new_episode=True)
        return self.fit_moments(moments, episodes[0].shape[1:])

    def _new_moments(self) -> ActionMoments:
        return ActionMoments(self.memory, self.horizon, self.n_actions, self.action_memory, self.include_current)

    def fit_moments(self, moments: ActionMoments, frame_shape: tuple[int, int]) -> Self:
        """Fit from moments alone: one small SVD.

        Raises   ValueError if the moments are of other options or another frame size, or hold no variance.
        """
        if moments.options != self._new_moments().options:
            raise ValueError(f"these moments have the options {moments.options}, not those of {self}")
        height, width = (int(size) for size in frame_shape)
        if moments.pixels.n_series != height * width:
            raise ValueError(f"these moments hold {moments.pixels.n_series} pixels, not {height} x {width}")
        m, c_pp = self.memory, moments.C_pp
        blocks = c_pp[:m, :m], c_pp[m:, m:]
        units = [np.sqrt(np.linalg.eigvalsh(block)[-1]) if block.any() else 1.0 for block in blocks]
        unit = np.repeat(units, [len(block) for block in blocks])
        parts = c_pp / np.outer(unit, unit), moments.C_fp / (units[0] * unit), moments.C_ff / units[0] ** 2
        scaled = SimpleNamespace(n_windows=moments.n_windows, matrices=lambda: parts)
        directions = resu_core.canonical_directions(scaled, self.n_units, self.ridge)
        joint = directions.filters / unit
        joint *= resu_core.fix_signs(joint[:, :m])[:, None]
        pixel_part, action_part = (
            np.einsum("ki,ij,kj->k", part, block, part)
            for part, block in zip(np.split(joint, [m], axis=1), blocks, strict=True)
        )
        counts = moments.action_counts
        taps = joint[:, m:].reshape(self.n_units, self.n_lags, self.n_actions)
        centred = taps - np.einsum("kla,la->kl", taps, counts / moments.n_windows)[:, :, None]
        mean = moments.pixels.mean.reshape(height, width)
        share = action_part / (pixel_part + action_part)
        taps = np.where(counts > 0, centred, 0.0)
        return self._become([joint[:, :m].copy(), taps, mean, directions.correlations, share], moments)

    def with_filters(self, filters: np.ndarray, action_filters: np.ndarray, mean: np.ndarray) -> Self:
        """Use given pixel taps (K, m), action taps (K, n_lags, A) and pixel means (H, W) in place of fitted ones.

        For controls and hand-made filters; correlations_ and action_share_ become NaN, and moments_ goes away.
        Raises   ValueError if the shapes do not fit, a value is not finite, or a filter is zero; the encoder stays as
                 it was then.
        """
        arrays = [np.array(array, np.float64) for array in (filters, action_filters, mean)]
        return self._become([*arrays, *np.full((2, self.n_units), np.nan)], None)

    def _become(self, arrays: Sequence[np.ndarray], moments: ActionMoments | None) -> Self:
        """Take over fitted numbers, named in ARRAYS, all of them or none."""
        filters, action_filters, mean, correlations, share = arrays
        shapes = (self.n_units, self.memory), (self.n_units, self.n_lags, self.n_actions), mean.shape[:2]
        for name, array, shape in zip(ARRAYS, arrays, shapes, strict=False):
            if array.shape != shape or array.ndim < 2 or not np.isfinite(array).all():
                raise ValueError(f"{name} of shape {array.shape} must be finite and of shape {shape}")
        largest = np.abs(action_filters).max(axis=2).sum(axis=1)
        first = FirstLayer.build(filters, correlations, mean, self.grid, largest)
        self._layer = ActionLayer(first, action_filters, self._delays)
        self.filters_, self.action_filters_, self.mean_ = filters, action_filters, mean
        self.correlations_, self.action_share_ = correlations, share
        vars(self).pop("moments_", None)
        if moments is not None:
            self.moments_ = moments
        return self

    # --- encoding ---

    def _fitted(self) -> ActionLayer:
        if self._layer is None:
            raise ValueError("this encoder is not fitted: call fit, or load a saved one")
        return self._layer

    def encode(self, frames: np.ndarray, actions: np.ndarray) -> np.ndarray:
        """Features of one episode: (T, H, W) uint8 and (T,) integers -> (T, D) float32.

        actions   actions[t] was chosen after frame t; features of frame t see the actions before it (and actions[t]
                  with include_current). Before the first frames and actions exist, the first frame is repeated and
                  actions count as the mean one-hot.
        Raises    ValueError if not fitted, the frames are of another size or dtype, or the actions do not fit.
        """
        layer = self._fitted()
        frames = layer.first.check_frames(frames)
        return layer.encode(frames, as_actions(actions, len(frames), self.n_actions))

    def online(self, n: int) -> OnlineActionEncoder:
        """The state of n environments, to be encoded step by step. Raises ValueError if not fitted or n < 1."""
        return OnlineActionEncoder(self._fitted(), as_count("n", n))

    # --- files ---

    def save(self, path: resu_files.PathLike) -> None:
        """Write options and fitted arrays to an .npz file (no pickle, atomic).

        Raises   ValueError if not fitted; OSError if the file cannot be written.
        """
        self._fitted()
        resu_files.write_npz(path, kind=FORMAT, **self.options, **{name: getattr(self, f"{name}_") for name in ARRAYS})

    @classmethod
    def load(cls, path: resu_files.PathLike) -> ActionReSUEncoder:
        """Read a file of `save`.

        Raises   FileNotFoundError, or ValueError if the file is damaged, of another kind, or inconsistent.
        """
        data = resu_files.read_npz(path, ("kind",))
        if str(data["kind"]) != FORMAT:
            raise ValueError(f"{path} is not an action encoder file of a known version ({FORMAT})")
        try:
            options: dict[str, Any] = {name: data[name][()] for name in OPTIONS.split()}
            encoder = cls(**options)
            for name in ("correlations", "action_share"):
                expect(name, np.nan_to_num(data[name]), (encoder.n_units,))  # NaN with hand-made filters
            return encoder._become([data[name] for name in ARRAYS], None)
        except (KeyError, ValueError, TypeError, IndexError) as error:
            raise ValueError(f"{path} is not a consistent action encoder file ({error})") from error
