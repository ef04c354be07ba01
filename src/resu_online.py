"""Codes at play: the state of some environments, apart from the encoder, which never changes.

B environments, T frames of H x W pixels, D features.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Protocol

import numpy as np

import resu_layer1_kernels
import resu_patch_kernels
from resu_layers import Layers


class OnlineCode(Protocol):
    """Frames to vectors step by step: what `Code.online` returns."""

    def reset(self, frames: np.ndarray) -> np.ndarray: ...

    def step(
        self, frames: np.ndarray, restarted: np.ndarray | None = None, where: np.ndarray | None = None
    ) -> np.ndarray: ...


class Code(Protocol):
    """Frames to vectors, offline and online, with equal results: `ReSUEncoder`, and the codes of resu_controls.py."""

    @property
    def n_features(self) -> int: ...

    def encode(self, frames: np.ndarray) -> np.ndarray: ...

    def online(self, n: int) -> OnlineCode: ...


def flags_of(n: int, frames: np.ndarray, *flags: np.ndarray | None, default: Sequence[bool]) -> list[np.ndarray]:
    """Each of `flags` as (n,) bool, or its default everywhere where it is None.

    Raises   ValueError if the number of frames or the shape of a flag is not that of n environments.
    """
    found = [np.full(n, d) if f is None else np.asarray(f, bool) for f, d in zip(flags, default, strict=True)]
    for flag in found:
        if len(frames) != n or flag.shape != (n,):
            raise ValueError(f"expected frames and flags of {n} environments, not {len(frames)} and {flag.shape}")
    return found


class OnlineEncoder:
    """The newest features of n environments, brought up to date frame by frame; made by `ReSUEncoder.online`.

    It sees the layers as they were when it was made: fitting the encoder again does not reach it.
    """

    def __init__(self, layers: Layers, n: int) -> None:
        self._layers, self._n, self._begun = layers, n, False
        first = layers.first
        (m, k), p, c = first.form.taps.shape, first.mean.size, first.area.size
        self._state = (  # in the order in which `encode_step` takes them
            np.empty((n, p, k), np.int32),
            np.empty((n, c, 2 * k), np.int64),
            np.empty((n, m, p), np.int32),
            np.empty((n, m, p), np.int16),
            np.empty((n, m), np.int64),
            np.empty((n, p), np.int64),
        )
        self._last, self._now = np.empty((n, p), np.uint8), np.zeros(n, np.int64)
        self._moved, self._n_moved = np.empty((n, p), np.int32), np.zeros(n, np.int64)
        self._out = np.empty((n, first.n_features), np.float32)
        if layers.upper:
            self._top = np.empty((n, layers.n_features), np.float32)
            self._above = [self._new_above() for _ in range(n)]

    def _new_above(self) -> dict[str, Any]:
        """What the layers above keep of one environment between steps; arrays as in `resu_patch_kernels`."""
        layers, p = self._layers, self._layers.first.mean.size
        (height, width), n = layers.first.mean.shape, len(layers.upper)
        return {
            "rings": tuple(
                np.empty((len(weights), height + 2, width + 2, mean.shape[1]), np.float32)
                for weights, mean in zip(layers.weights, layers.means, strict=True)
            ),
            "responses": tuple(np.empty((p, weights.shape[3]), np.int32) for weights in layers.weights),
            "sums": tuple(np.empty(gain.shape, np.int64) for gain in layers.gains),
            "last_changes": tuple(np.empty(p, np.int64) for _ in range(n)),
            "actives": tuple(np.empty(p, np.int32) for _ in range(n)),
            "n_actives": np.zeros(n, np.int64),
        }

    def reset(self, frames: np.ndarray) -> np.ndarray:
        """Begin everywhere, at the first frames (n, H, W) uint8; returns (n, D) float32.

        Raises   ValueError if the number of environments, the frame size or the dtype is another.
        """
        frames = self._layers.first.check_frames(frames)
        restarted, where = flags_of(self._n, frames, None, None, default=(True, True))
        self._begun = True
        return self._advance(frames, restarted, where)

    def step(
        self, frames: np.ndarray, restarted: np.ndarray | None = None, where: np.ndarray | None = None
    ) -> np.ndarray:
        """Features after one new frame in each environment: (n, H, W) uint8 -> (n, D) float32, a fresh array.

        restarted  (n,) bool, True where the frame is the first of a new episode; default: nowhere
        where      (n,) bool, environments that have a new frame; the others keep their features; default: all
        Raises     ValueError before `reset`, or if the number of environments, the frame size or the dtype is another;
                   the state stays as it was then.
        """
        if not self._begun:
            raise ValueError("call reset(frames) with the first frames before step")
        frames = self._layers.first.check_frames(frames)
        restarted, where = flags_of(self._n, frames, restarted, where, default=(False, True))
        return self._advance(frames, restarted, where)

    def _advance(self, frames: np.ndarray, restarted: np.ndarray, where: np.ndarray) -> np.ndarray:
        first = self._layers.first
        resu_layer1_kernels.encode_step(
            frames.reshape(self._n, -1), where, restarted, self._last, self._now, first.form.taps, first.form.offsets,
            first.cell_of, first.form.gain, *self._state, self._moved, self._n_moved, self._out,
        )  # fmt: skip
        if not self._layers.upper:
            return self._out.copy()
        for b in np.flatnonzero(where):
            self._advance_above(int(b), bool(restarted[b]))
        return self._top.copy()

    def _advance_above(self, b: int, fresh: bool) -> None:
        layers, above = self._layers, self._above[b]
        resu_patch_kernels.encode_layers_step(
            self._now[b], fresh, self._moved[b], self._n_moved[b], self._state[0][b], layers.first.unit,
            layers.weights, layers.means, layers.first.cell_of, above["rings"], above["responses"], above["sums"],
            above["last_changes"], above["actives"], above["n_actives"], layers.gains[-1], self._top[b],
        )  # fmt: skip
