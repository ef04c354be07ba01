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
import resu_layer1_kernels
import resu_moment_kernels
import resu_moments

BLOCK = 65_536  # windows per float64 sum: 255 * P * BLOCK < 2^53, so that every sum is an exact integer
MISSING = -1  # stands for an action that was never chosen
FORMAT = "ActionReSUEncoder-1"


def as_actions(actions: Any, n: int, n_actions: int, where: str = "actions") -> np.ndarray:
    """actions as (n,) int64.

    Raises   ValueError naming `where` if they are not n integers in 0 .. n_actions - 1.
    """
    actions = np.asarray(actions)
    if actions.shape != (n,) or (n and actions.dtype.kind not in "iu"):
        raise ValueError(f"{where} must be integers of shape ({n},), not {actions.dtype} of shape {actions.shape}")
    if n and not (actions.min() >= 0 and actions.max() < n_actions):
        raise ValueError(f"{where} must lie in 0 .. {n_actions - 1}, not in {actions.min()} .. {actions.max()}")
    return actions.astype(np.int64)


class ActionMoments:
    """Exact pooled second moments of pixel pasts with one-hot actions and of pixel futures.

    memory, horizon   m, h >= 1 [agent steps]
    n_actions         A >= 1
    action_memory     n >= 0, past actions in the window; default m
    include_current   also a_t, the action about to be taken
    Attributes:
    pixels        LagMoments of the windows counted here (centred)
    cross         (L, n_lags, A) int64, L = m + h: sum over windows of (sum of frame, oldest first) * onehot
    action_gram   (n_lags, A, n_lags, A) int64: sum over windows of onehot * onehot, newest first (times P, if pooled)
    Everything is an integer, so that any order of chunks and merges gives the same bits.
    Raises        ValueError for options out of range.
    """

    def __init__(
        self,
        memory: int,
        horizon: int,
        n_actions: int,
        action_memory: int | None = None,
        include_current: bool = False,
    ) -> None:
        self.pixels = resu_moments.LagMoments(memory, horizon, center=True)
        action_memory = memory if action_memory is None else action_memory
        for name, value, least in (("n_actions", n_actions, 1), ("action_memory", action_memory, 0)):
            if not isinstance(value, (int, np.integer)) or value < least:
                raise ValueError(f"{name} must be an integer of at least {least}, not {value!r}")
        if action_memory == 0 and not include_current:
            raise ValueError("action_memory 0 without include_current leaves no actions: use the plain encoder")
        self.n_actions, self.action_memory = int(n_actions), int(action_memory)
        self.include_current = bool(include_current)
        self.cross = np.zeros((self.pixels.n_lags, self.n_lags, self.n_actions), np.int64)
        self.action_gram = np.zeros((self.n_lags, self.n_actions) * 2, np.int64)
        self._lead = max(self.action_memory - self.memory + 1, 0)  # frames before the first window of an episode
        self._seen = 0  # frames of the open episode, counted up to _lead
        self._close()

    def _close(self) -> None:
        self._seen = 0
        self._tail_sums, self._tail_actions = np.empty(0, np.int64), np.empty(0, np.int64)

    @property
    def memory(self) -> int:
        """m."""
        return self.pixels.memory

    @property
    def horizon(self) -> int:
        """h."""
        return self.pixels.horizon

    @property
    def delays(self) -> range:
        """d of each action lag a_{t-d}, newest first."""
        return range(0 if self.include_current else 1, self.action_memory + 1)

    @property
    def n_lags(self) -> int:
        """Action lags: n, or n + 1 with the current action."""
        return len(self.delays)

    @property
    def n_windows(self) -> int:
        """N, windows counted per pixel."""
        return int(self.pixels.n_windows)

    @property
    def min_frames(self) -> int:
        """Frames of the shortest episode that holds a window."""
        return self._lead + self.pixels.n_lags

    @property
    def options(self) -> tuple[int, int, int, int, bool]:
        """The constructor's arguments."""
        return self.memory, self.horizon, self.n_actions, self.action_memory, self.include_current

    def update(self, x: np.ndarray, actions: np.ndarray, new_episode: bool = False) -> Self:
        """Count every window that ends in the new frames.

        x            (T, P) uint8, any T; every pixel is one series
        actions      (T,) integers in 0 .. A - 1, actions[i] chosen after frame i
        new_episode  False: x continues the episode of the last call, windows across the seam count
        Raises       ValueError if shapes, dtypes or actions are others; OverflowError beyond 2^63.
        """
        x = np.asarray(x)
        if x.ndim != 2 or x.dtype != np.uint8:
            raise ValueError(f"x must be a uint8 array (T, P), not {x.dtype} of shape {x.shape}")
        x = np.ascontiguousarray(x)
        actions = as_actions(actions, len(x), self.n_actions)
        skipped = self._lead if new_episode else self._lead - self._seen
        self.pixels.update(x[skipped:], new_episode)
        if new_episode:
            self._close()
        self._seen = min(self._seen + len(x), self._lead)
        sums = np.empty(len(x), np.int64)
        resu_moment_kernels.frame_sums_u8(x, sums)
        sums = np.concatenate([self._tail_sums, sums])
        actions = np.concatenate([self._tail_actions, actions])
        self._count(sums, actions)
        kept = max(len(sums) - (self.min_frames - 1), 0)
        self._tail_sums, self._tail_actions = sums[kept:].copy(), actions[kept:].copy()
        return self

    def _count(self, sums: np.ndarray, actions: np.ndarray) -> None:
        """Add every window that lies within frames of these sums (T,) and actions (T,), the first _lead left out."""
        lags, n_codes = self.pixels.n_lags, self.n_actions**2
        for start in range(self._lead, len(sums) - lags + 1, BLOCK):
            n = min(BLOCK, len(sums) - lags + 1 - start)
            now = start + self.memory - 1
            shown = [actions[now - d : now - d + n] for d in self.delays]
            frames = sums[start : start + n + lags - 1].astype(np.float64)
            for i, first in enumerate(shown):
                for a in range(lags):
                    values = np.bincount(first, frames[a : a + n], self.n_actions)
                    self.cross[a, i] += values.astype(np.int64)
                for j, second in enumerate(shown[: i + 1]):
                    counts = np.bincount(first * self.n_actions + second, minlength=n_codes)
                    self.action_gram[i, :, j] += counts.reshape(self.n_actions, -1)
                    if j < i:
                        self.action_gram[j, :, i] += counts.reshape(self.n_actions, -1).T

    def merge(self, other: ActionMoments) -> Self:
        """Add the windows that `other` counted. This object's open episode stays open; the other's is not joined.

        Raises   ValueError if an option or the number of pixels differs.
        """
        if not isinstance(other, ActionMoments) or other.options != self.options:
            raise ValueError("only action moments of the same options combine")
        self.pixels.merge(other.pixels)
        self.cross = self.cross + other.cross
        self.action_gram = self.action_gram + other.action_gram
        return self

    def __eq__(self, other: object) -> bool:
        """Same options and same counted windows, bit for bit (the open episode does not matter)."""
        if not isinstance(other, ActionMoments):
            return NotImplemented
        return (
            self.options == other.options
            and self.pixels == other.pixels
            and np.array_equal(self.cross, other.cross)
            and np.array_equal(self.action_gram, other.action_gram)
        )

    __hash__ = None  # type: ignore[assignment]

    @property
    def action_counts(self) -> np.ndarray:
        """(n_lags, A) int64: in how many windows each action was seen at each lag."""
        return np.einsum("iaia->ia", self.action_gram).copy()

    def _shared(self) -> np.ndarray:
        """(L, n_lags * A) float64: centred pixel-action covariance, positions oldest first, evaluated exactly."""
        n, pixels = self.n_windows, self.pixels
        if pixels.sums is None or n == 0:
            raise ValueError(f"no window of {self.min_frames} frames counted yet")
        totals = pixels.sums.sum(axis=1).astype(object)
        exact = n * self.cross.reshape(len(totals), -1).astype(object) - np.outer(totals, self.action_counts.ravel())
        return exact.astype(np.float64) / (float(n) ** 2 * pixels.n_series)

    @property
    def C_aa(self) -> np.ndarray:  # noqa: N802
        """(n_lags * A, n_lags * A) float64: centred covariance of the one-hots, newest first."""
        n, counts = self.n_windows, self.action_counts.ravel()
        if n == 0:
            raise ValueError(f"no window of {self.min_frames} frames counted yet")
        gram = self.action_gram.reshape(len(counts), -1).astype(object)
        return (n * gram - np.outer(counts.astype(object), counts)).astype(np.float64) / float(n) ** 2

    def matrices(self) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """C_pp, C_fp, C_ff."""
        return self.C_pp, self.C_fp, self.C_ff

    @property
    def C_pp(self) -> np.ndarray:  # noqa: N802
        """(m + n_lags * A,) squared, float64: pixel lags newest first, then the one-hots, newest first."""
        shared = self._shared()[: self.memory][::-1]
        return np.block([[self.pixels.C_pp, shared], [shared.T, self.C_aa]])

    @property
    def C_fp(self) -> np.ndarray:  # noqa: N802
        """(h, m + n_lags * A) float64: rows t+1 .. t+h, columns as in C_pp."""
        return np.hstack([self.pixels.C_fp, self._shared()[self.memory :]])

    @property
    def C_ff(self) -> np.ndarray:  # noqa: N802
        """(h, h) float64, t+1 first."""
        return self.pixels.C_ff


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
        self._online: dict[str, Any] | None = None

    @property
    def options(self) -> dict[str, Any]:
        """The constructor's arguments."""
        names = "n_actions memory horizon n_units grid action_memory include_current ridge"
        return {name: getattr(self, name) for name in names.split()}

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
        episodes = [resu_conv.as_episode(frames, f"episode {i}") for i, frames in enumerate(episodes)]
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
        self._set(joint[:, :m].copy(), np.where(counts > 0, centred, 0.0), mean)
        self.moments_, self.correlations_ = moments, directions.correlations
        self.action_share_ = action_part / (pixel_part + action_part)
        return self

    def with_filters(self, filters: np.ndarray, action_filters: np.ndarray, mean: np.ndarray) -> Self:
        """Use given pixel taps (K, m), action taps (K, n_lags, A) and pixel means (H, W) in place of fitted ones.

        For controls and hand-made filters; correlations_ and action_share_ become NaN.
        Raises   ValueError if the shapes do not fit, a value is not finite, or a filter is zero.
        """
        arrays = [np.array(array, np.float64) for array in (filters, action_filters, mean)]
        shapes = (self.n_units, self.memory), (self.n_units, self.n_lags, self.n_actions), arrays[2].shape[:2]
        for name, array, shape in zip(("filters", "action_filters", "mean"), arrays, shapes, strict=True):
            if array.shape != shape or array.ndim < 2 or not np.isfinite(array).all():
                raise ValueError(f"{name} of shape {array.shape} must be finite and of shape {shape}")
        self._set(*arrays)
        self.correlations_, self.action_share_ = np.full((2, self.n_units), np.nan)
        return self

    def _set(self, filters: np.ndarray, action_filters: np.ndarray, mean: np.ndarray) -> None:
        if self.grid[0] > mean.shape[0] or self.grid[1] > mean.shape[1]:
            raise ValueError(f"a grid of {self.grid} does not fit frames of {mean.shape[0]} x {mean.shape[1]} pixels")
        reach = 255.0 * np.abs(filters).sum(axis=1) + np.abs(action_filters).max(axis=2).sum(axis=1)
        if (reach == 0).any():
            raise ValueError("a filter has no tap that differs from zero")
        self.filters_, self.action_filters_, self.mean_ = filters, action_filters, mean
        scale = 2.0 ** np.floor(resu_conv.RESPONSE_BITS - np.log2(reach))
        taps = np.rint(filters * scale[:, None])
        self._taps = np.ascontiguousarray(taps.T, np.int32)
        self._bias = np.ascontiguousarray(-np.rint(taps.sum(axis=1)[:, None] * mean.ravel()), np.int32)
        self._shift_of = np.zeros((self.n_lags, self.n_actions + 1, self.n_units), np.int32)  # last row: MISSING
        self._shift_of[:, :-1] = np.rint(action_filters * scale[:, None, None]).transpose(1, 2, 0)
        self._row_edges, self._column_edges = (
            np.arange(n + 1) * size // n for n, size in zip(self.grid, mean.shape, strict=True)
        )
        area = np.outer(np.diff(self._row_edges), np.diff(self._column_edges)).ravel()
        self._gain = np.tile(1 / scale, 2) / area[:, None]
        self._online = None

    # --- encoding ---

    def _check_frames(self, frames: Any) -> np.ndarray:
        if not hasattr(self, "filters_"):
            raise ValueError("this encoder is not fitted: call fit, or load a saved one")
        frames = resu_conv.as_episode(frames)
        if frames.shape[1:] != self.mean_.shape:
            raise ValueError(f"frames are {frames.shape[1:]} pixels, but this encoder was fitted on {self.mean_.shape}")
        return np.ascontiguousarray(frames)

    def _shifts(self, codes: Sequence[np.ndarray]) -> np.ndarray:
        """What the actions add: one code (N,) per lag, newest first -> (N, K) int32."""
        total = np.zeros((len(codes[0]), self.n_units), np.int32)
        for table, code in zip(self._shift_of, codes, strict=True):
            total += table[code]
        return total

    def encode(self, frames: np.ndarray, actions: np.ndarray) -> np.ndarray:
        """Features of one episode: (T, H, W) uint8 and (T,) integers -> (T, D) float32.

        actions   actions[t] was chosen after frame t; features of frame t see the actions before it (and actions[t]
                  with include_current). Before the first frames and actions exist, the first frame is repeated and
                  actions count as the mean one-hot.
        Raises    ValueError if not fitted, the frames are of another size or dtype, or the actions do not fit.
        """
        frames = self._check_frames(frames)
        n_frames, height, width = frames.shape
        actions = as_actions(actions, n_frames, self.n_actions)
        padded = np.concatenate([np.full(self.action_memory, MISSING), actions])
        starts = [self.action_memory - delay for delay in self._delays]
        shifts = self._shifts([padded[start : start + n_frames] for start in starts])
        out = np.empty((n_frames, self.n_features), np.float32)
        resu_layer1_kernels.encode_dense_shifted(
            frames.reshape(n_frames, height * width), self._taps, self._bias, shifts, width, self._row_edges,
            self._column_edges, self._gain, resu_moments.BLOCK, out,
        )  # fmt: skip
        return out

    def reset(self, frames: np.ndarray, next_actions: np.ndarray | None = None) -> np.ndarray:
        """Start online encoding of B environments at their first frames (B, H, W) uint8; returns (B, D) float32.

        next_actions   (B,) the actions about to be taken: needed with include_current, refused without
        """
        frames = self._check_frames(frames)
        n = len(frames)
        current = self._current(next_actions, n)
        self._online = {
            "history": np.empty((n, self.memory, frames[0].size), np.uint8),  # a ring; all environments share `newest`
            "newest": 0,
            "past": np.full((self.action_memory, n), MISSING),  # newest first
        }
        return self._advance(frames, np.full(n, MISSING), current, np.ones(n, bool))

    def step(
        self,
        frames: np.ndarray,
        actions_taken: np.ndarray,
        restarted: np.ndarray | None = None,
        next_actions: np.ndarray | None = None,
    ) -> np.ndarray:
        """Features after one new frame in each environment: (B, H, W) uint8 -> (B, D) float32, a fresh array.

        actions_taken   (B,) integers: the actions that led to these frames; not looked at where restarted
        restarted       (B,) bool, True where the frame is the first of a new episode; default: nowhere
        next_actions    (B,) the actions about to be taken: needed with include_current, refused without
        Raises          ValueError before `reset`, or if an argument does not fit; the state stays as it was then.
        """
        frames = self._check_frames(frames)
        if self._online is None:
            raise ValueError("call reset(frames) with the first frames before step")
        n = len(self._online["history"])
        restarted = np.zeros(n, bool) if restarted is None else np.asarray(restarted, bool)
        if len(frames) != n or restarted.shape != (n,):
            raise ValueError(f"expected frames and flags of {n} environments, not {len(frames)} and {restarted.shape}")
        taken, given = np.full(n, MISSING), np.asarray(actions_taken)
        if given.shape != (n,):
            raise ValueError(f"actions_taken must be integers of shape ({n},), not of shape {given.shape}")
        taken[~restarted] = as_actions(given[~restarted], n - restarted.sum(), self.n_actions, "actions_taken")
        return self._advance(frames, taken, self._current(next_actions, n), restarted)

    def _current(self, next_actions: np.ndarray | None, n: int) -> list[np.ndarray]:
        if self.include_current != (next_actions is not None):
            raise ValueError("next_actions are needed with include_current, and only then")
        return [] if next_actions is None else [as_actions(next_actions, n, self.n_actions, "next_actions")]

    def _advance(
        self, frames: np.ndarray, taken: np.ndarray, current: list[np.ndarray], fresh: np.ndarray
    ) -> np.ndarray:
        assert self._online is not None
        state, pixels = self._online, frames.reshape(len(frames), -1)
        state["newest"] = newest = (state["newest"] + 1) % self.memory
        state["history"][:, newest] = pixels
        state["history"][fresh] = pixels[fresh, None]
        state["past"] = np.concatenate([taken[None], state["past"]])[: self.action_memory]
        state["past"][:, fresh] = MISSING
        out = np.empty((len(frames), self.n_features), np.float32)
        resu_layer1_kernels.encode_step_shifted(
            state["history"], (newest - np.arange(self.memory)) % self.memory, self._taps, self._bias,
            self._shifts([*current, *state["past"]]), frames.shape[2], self._row_edges, self._column_edges,
            self._gain, out,
        )  # fmt: skip
        return out

    # --- files ---

    def save(self, path: resu_files.PathLike) -> None:
        """Write options and fitted arrays to an .npz file (no pickle, atomic); the online state is not kept.

        Raises   ValueError if not fitted; OSError if the file cannot be written.
        """
        if not hasattr(self, "filters_"):
            raise ValueError("this encoder is not fitted: call fit, or load a saved one")
        names = ("filters", "action_filters", "mean", "correlations", "action_share")
        resu_files.write_npz(path, kind=FORMAT, **self.options, **{name: getattr(self, f"{name}_") for name in names})

    @classmethod
    def load(cls, path: resu_files.PathLike) -> ActionReSUEncoder:
        """Read a file of `save`.

        Raises   FileNotFoundError, or ValueError if the file is damaged, of another kind, or inconsistent.
        """
        data = resu_files.read_npz(path, ("kind",))
        if str(data["kind"]) != FORMAT:
            raise ValueError(f"{path} is not an action encoder file of a known version ({FORMAT})")
        try:
            encoder = cls(
                int(data["n_actions"]), int(data["memory"]), int(data["horizon"]), int(data["n_units"]),
                (int(data["grid"][0]), int(data["grid"][1])), action_memory=int(data["action_memory"]),
                include_current=bool(data["include_current"]), ridge=float(data["ridge"]),
            )  # fmt: skip
            encoder.with_filters(data["filters"], data["action_filters"], data["mean"])
            encoder.correlations_, encoder.action_share_ = data["correlations"], data["action_share"]
            if {encoder.correlations_.shape, encoder.action_share_.shape} != {(encoder.n_units,)}:
                raise ValueError("the numbers of units differ")
        except (KeyError, ValueError, TypeError, IndexError) as error:
            raise ValueError(f"{path} is not a consistent action encoder file ({error})") from error
        return encoder
