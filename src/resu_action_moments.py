"""Second moments of pixels and the agent's own actions: the sufficient statistics of the layer with action taps.

P pixels, m memory, h horizon, A actions; the window is that of resu_conv_action.py. Windows are counted once all of
their actions exist. Everything is an integer, so that any order of chunks and merges gives the same bits.
"""

from __future__ import annotations

from typing import Any, Self

import numpy as np

import resu_moment_kernels
import resu_moments
from resu_checks import as_count, as_flag
from resu_threads import for_spans

BLOCK = 65_536  # windows per float64 sum: 255 * P * BLOCK < 2^53, so that every sum is an exact integer


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
        self.n_actions = as_count("n_actions", n_actions)
        self.action_memory = as_count("action_memory", action_memory, least=0)
        self.include_current = as_flag("include_current", include_current)
        if not self.action_memory and not self.include_current:
            raise ValueError("action_memory 0 without include_current leaves no actions: use the plain encoder")
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
        for_spans(lambda a, b: resu_moment_kernels.frame_sums_u8(x, a, b, sums), len(x), resu_moments.BLOCK)
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
