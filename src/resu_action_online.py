"""The layer with action taps as it is computed, offline and online.

B environments, T frames of P pixels, K units, A actions, D features.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np

import resu_layer1_kernels
from resu_action_moments import as_actions
from resu_layers import FirstLayer
from resu_online import flags_of

MISSING = -1  # stands for an action that was never chosen


@dataclass(frozen=True)
class ActionLayer:
    """A fitted layer 1 with action taps; it never changes.

    first           the pixel part
    action_filters  (K, n_lags, A) float64, newest lag first
    delays          d of each action lag a_{t-d}, newest first; the first is 0 if the action about to be taken counts
    """

    first: FirstLayer
    action_filters: np.ndarray
    delays: range

    @cached_property
    def shift_of(self) -> np.ndarray:
        """(n_lags, A + 1, K) int32: what each action adds to every response; the last row, `MISSING`, adds nothing."""
        n_units, n_lags, n_actions = self.action_filters.shape
        table = np.zeros((n_lags, n_actions + 1, n_units), np.int32)
        table[:, :-1] = np.rint(self.action_filters / self.first.bank.unit[:, None, None]).transpose(1, 2, 0)
        return table

    @property
    def n_actions(self) -> int:
        """A."""
        return self.action_filters.shape[2]

    @property
    def action_memory(self) -> int:
        """n, past actions that the filters see."""
        return self.delays.stop - 1

    @property
    def include_current(self) -> bool:
        """Whether the action about to be taken is seen, too."""
        return self.delays.start == 0

    def shifts(self, codes: Sequence[np.ndarray]) -> np.ndarray:
        """What the actions add: one code (N,) per lag, newest first -> (N, K) int32."""
        total = np.zeros((len(codes[0]), len(self.action_filters)), np.int32)
        for table, code in zip(self.shift_of, codes, strict=True):
            total += table[code]
        return total

    def encode(self, frames: np.ndarray, actions: np.ndarray) -> np.ndarray:
        """Checked frames (T, H, W) and actions (T,) of one episode -> (T, D) float32."""
        padded = np.concatenate([np.full(self.action_memory, MISSING), actions])
        starts = [self.action_memory - delay for delay in self.delays]
        return self.first.encode_shifted(frames, self.shifts([padded[a : a + len(frames)] for a in starts]))


class OnlineActionEncoder:
    """The newest features of n environments with their past actions; made by `ActionReSUEncoder.online`.

    It sees the layer as it was when it was made: fitting the encoder again does not reach it.
    """

    def __init__(self, layer: ActionLayer, n: int) -> None:
        self._layer, self._n, self._begun = layer, n, False
        self._memory = len(layer.first.bank.taps)
        self._history = np.empty((n, self._memory, layer.first.mean.size), np.uint8)  # a ring
        self._newest = 0  # row of the ring, the same for all environments
        self._past = np.full((layer.action_memory, n), MISSING)  # newest first

    def reset(self, frames: np.ndarray, next_actions: np.ndarray | None = None) -> np.ndarray:
        """Begin everywhere, at the first frames (n, H, W) uint8; returns (n, D) float32.

        next_actions   (n,) the actions about to be taken: needed with include_current, refused without
        Raises         ValueError if an argument does not fit; the state stays as it was then.
        """
        frames = self._layer.first.check_frames(frames)
        (fresh,) = flags_of(self._n, frames, None, default=(True,))
        current = self._current(next_actions)
        self._begun = True
        return self._advance(frames, np.full(self._n, MISSING), current, fresh)

    def step(
        self,
        frames: np.ndarray,
        actions_taken: np.ndarray,
        restarted: np.ndarray | None = None,
        next_actions: np.ndarray | None = None,
    ) -> np.ndarray:
        """Features after one new frame in each environment: (n, H, W) uint8 -> (n, D) float32, a fresh array.

        actions_taken   (n,) integers: the actions that led to these frames; not looked at where restarted
        restarted       (n,) bool, True where the frame is the first of a new episode; default: nowhere
        next_actions    (n,) the actions about to be taken: needed with include_current, refused without
        Raises          ValueError before `reset`, or if an argument does not fit; the state stays as it was then.
        """
        if not self._begun:
            raise ValueError("call reset(frames) with the first frames before step")
        n, frames = self._n, self._layer.first.check_frames(frames)
        (fresh,) = flags_of(n, frames, restarted, default=(False,))
        taken, given = np.full(n, MISSING), np.asarray(actions_taken)
        if given.shape != (n,):
            raise ValueError(f"actions_taken must be integers of shape ({n},), not of shape {given.shape}")
        taken[~fresh] = as_actions(given[~fresh], n - fresh.sum(), self._layer.n_actions, "actions_taken")
        return self._advance(frames, taken, self._current(next_actions), fresh)

    def _current(self, next_actions: np.ndarray | None) -> list[np.ndarray]:
        if self._layer.include_current != (next_actions is not None):
            raise ValueError("next_actions are needed with include_current, and only then")
        if next_actions is None:
            return []
        return [as_actions(next_actions, self._n, self._layer.n_actions, "next_actions")]

    def _advance(
        self, frames: np.ndarray, taken: np.ndarray, current: list[np.ndarray], fresh: np.ndarray
    ) -> np.ndarray:
        pixels, first = frames.reshape(self._n, -1), self._layer.first
        self._newest = (self._newest + 1) % self._memory
        self._history[:, self._newest] = pixels
        self._history[fresh] = pixels[fresh, None]
        self._past = np.concatenate([taken[None], self._past])[: self._layer.action_memory]
        self._past[:, fresh] = MISSING
        rows = (self._newest - np.arange(self._memory)) % self._memory
        shifts = self._layer.shifts([*current, *self._past])
        out = np.empty((self._n, first.n_features), np.float32)
        resu_layer1_kernels.encode_step_shifted(self._history, rows, first.bank, shifts, out)
        return out
