"""Codes at play: the state of some environments, apart from the encoder, which never changes.

B environments, T frames of H x W pixels, D features.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

import numpy as np

import resu_layer1_kernels
import resu_patch_kernels
from resu_layer1_kernels import Events
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

    The numbers are those of `ReSUEncoder.encode` on each episode by itself, bit for bit. Two of them never disturb each
    other, and fitting the encoder again does not reach one that is there: it keeps the layers that it was made with.

    layers   fitted
    n        environments, at least 1; each takes 6 m + 4 K + 13 bytes per pixel of memory (with one layer)

    >>> import numpy as np
    >>> from resu_conv import ReSUEncoder
    >>> frames = np.random.default_rng(0).integers(0, 255, (3, 50, 6, 6)).astype(np.uint8)  # of three games
    >>> encoder = ReSUEncoder(memory=3, horizon=2, n_units=2, grid=(2, 2)).fit(list(frames))
    >>> games = encoder.online(3)
    >>> games.reset(frames[:, 0]).shape
    (3, 16)
    >>> ended = np.array([False, True, False])
    >>> features = games.step(frames[:, 1], restarted=ended)  # the second game begins anew
    >>> bool((features[1] == encoder.encode(frames[1, 1:])[0]).all())
    True
    >>> later = games.step(frames[:, 2], where=ended)  # it alone has a new frame
    >>> bool((later[0] == features[0]).all()), bool((later[1] == features[1]).all())
    (True, False)
    """

    def __init__(self, layers: Layers, n: int) -> None:
        self._layers, self._n, self._begun = layers, n, False
        bank = layers.first.bank
        self._games = resu_layer1_kernels.new_games(bank, n)
        if layers.upper:
            self._events = [Events(*(array[b] for array in self._games.events)) for b in range(n)]  # views
            self._patches = [resu_patch_kernels.new_patches(layers.above) for _ in range(n)]
            self._top = np.empty((n, layers.n_features), np.float32)

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
        bank, games, above = self._layers.first.bank, self._games, self._layers.above
        resu_layer1_kernels.encode_step(frames.reshape(self._n, -1), where, restarted, bank, games)
        if not above:
            return games.out.copy()
        for b in np.flatnonzero(where):
            resu_patch_kernels.encode_layers_step(
                games.now[b], restarted[b], self._events[b], games.n_moved[b], bank, above, self._patches[b],
                self._top[b],
            )  # fmt: skip
        return self._top.copy()
