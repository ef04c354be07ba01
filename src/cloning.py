"""Behaviour cloning: an encoder and a head that imitate a policy, and the codes that the controls use in its place.

A *code* turns frames into vectors, offline for fitting and online for playing:
    n_features, encode(frames (T, H, W)) -> (T, D), reset(frames (B, H, W)) -> (B, D), step(frames, restarted) -> (B, D)
`ReSUEncoder` is one. The others here are the controls of the same shape: raw pixels, random filters, temporal PCA.
"""

from __future__ import annotations

from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray
from scipy import linalg

from heads import DenseHead
from resu_conv import ReSUEncoder, as_episode
from resu_core import fix_signs
from rollouts import Buffer


class Code(Protocol):
    """Frames to vectors, offline and online, with equal results."""

    @property
    def n_features(self) -> int: ...

    def encode(self, frames: np.ndarray) -> np.ndarray: ...

    def reset(self, frames: np.ndarray) -> np.ndarray: ...

    def step(self, frames: np.ndarray, restarted: np.ndarray | None = None) -> np.ndarray: ...


class RawPixels:
    """The newest n_frames frames, flattened, newest first; before the episode's start its first frame is repeated."""

    def __init__(self, n_frames: int = 2, shape: tuple[int, int] = (84, 84)) -> None:
        self.n_frames, self.shape = n_frames, shape
        self._history: np.ndarray | None = None

    @property
    def n_features(self) -> int:
        """n_frames * H * W."""
        return self.n_frames * self.shape[0] * self.shape[1]

    def encode(self, frames: np.ndarray) -> np.ndarray:
        """(T, H, W) uint8 -> (T, D) uint8."""
        flat = as_episode(frames).reshape(len(frames), -1)
        lagged = [flat[np.maximum(np.arange(len(flat)) - j, 0)] for j in range(self.n_frames)]
        return np.concatenate(lagged, axis=1)

    def reset(self, frames: np.ndarray) -> np.ndarray:
        """First frames (B, H, W) -> (B, D)."""
        self._history = np.repeat(frames.reshape(len(frames), 1, -1), self.n_frames, axis=1)
        return self._history.reshape(len(frames), -1).copy()

    def step(self, frames: np.ndarray, restarted: np.ndarray | None = None) -> np.ndarray:
        """Next frames (B, H, W) -> (B, D); restarted (B,) marks first frames of new episodes."""
        if self._history is None:
            raise ValueError("call reset(frames) with the first frames before step")
        flat = frames.reshape(len(frames), -1)
        self._history[:, 1:] = self._history[:, :-1].copy()
        self._history[:, 0] = flat
        if restarted is not None:
            self._history[restarted] = flat[restarted][:, None]
        return self._history.reshape(len(frames), -1).copy()


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


def _with_filters(like: ReSUEncoder, filters: NDArray[np.float64]) -> ReSUEncoder:
    variance = np.einsum("ki,ij,kj->k", filters, like.moments_.C_pp, filters)
    filters = filters / np.sqrt(variance)[:, None]
    filters = filters * fix_signs(filters)[:, None]
    return ReSUEncoder(**like.options).with_filters(filters, like.mean_)


class Clone:
    """Policy: a code, a head on it, and the names of the actions that the head's classes stand for."""

    def __init__(self, code: Code, head: DenseHead, class_names: tuple[str, ...]) -> None:
        self.code, self.head, self.class_names = code, head, class_names

    def start(self, rng: np.random.Generator, action_names: tuple[str, ...]) -> None:
        """A new game: forget the frames of the last one."""
        self._actions = [action_names.index(name) for name in self.class_names]
        self._fresh = True

    def act(self, frame: np.ndarray, ram: np.ndarray) -> int:
        """The action of the highest-scoring class; only the frame is looked at."""
        features = self.code.reset(frame[None]) if self._fresh else self.code.step(frame[None])
        self._fresh = False
        return self._actions[int(self.head.logits(features[0]).argmax())]


def encode_buffer(code: Code, buffer: Buffer) -> np.ndarray:
    """Features of every frame of a buffer, game by game: (T, D)."""
    out: np.ndarray | None = None
    for episode in buffer.episodes():
        features = code.encode(buffer.frames[episode])
        if out is None:
            out = np.empty((len(buffer), features.shape[1]), features.dtype)
        out[episode] = features
    assert out is not None
    return out


def class_indices(actions: np.ndarray, action_names: tuple[str, ...], class_names: tuple[str, ...]) -> np.ndarray:
    """(T,) action indices -> (T,) int64 class indices.

    Raises   ValueError if an action occurs that is none of the classes.
    """
    lookup = np.full(len(action_names), -1)
    for index, name in enumerate(class_names):
        lookup[action_names.index(name)] = index
    classes = lookup[actions]
    if classes.min() < 0:
        strange = action_names[int(actions[np.argmin(classes)])]
        raise ValueError(f"action {strange} is not among the classes {', '.join(class_names)}")
    return classes


def split_by_game(buffer: Buffer, share: float) -> tuple[np.ndarray, np.ndarray]:
    """Indices for training and validation: the last games, about `share` of the frames, are held out whole.

    With a single game its last part is held out.
    """
    starts = buffer.starts[1:] if len(buffer.starts) > 1 else np.array([int(len(buffer) * (1 - share))])
    cut = int(starts[np.argmin(np.abs(starts - (1 - share) * len(buffer)))])
    index = np.arange(len(buffer))
    return index[:cut], index[cut:]


def describe(code: Any) -> str:
    """One word for tables."""
    return f"ReSU {code.n_layers}" if isinstance(code, ReSUEncoder) else f"raw({code.n_frames})"
