"""Codes of a few hundred numbers of Atari frames, in closed form: principal components, past-future directions of them.

T steps, D numbers of a view of the frames (pixels, cells, features of layer 1), d components, k numbers of a code.

    view        frames (t, 210, 160) -> (t, D), what is projected
    components  the d leading principal directions of the view, in their own units: nothing is whitened
    leading     the first k of them: the control
    predictive  k past-future canonical directions of them, VectorReSU with m = h = 1 and a ridge of a hundredth of
                the largest variance, which keeps components that hardly vary from being blown up

Every code is scaled by one number, so that its numbers have a mean variance of 16 on the frames of the fit: probes move
by Adam at a fixed rate and end after a fixed number of epochs, so that the unit of a code decides how far they get. Its
numbers keep their sizes beside each other.

Frames come in runs of consecutive steps (fit) or whole episodes (code); a view with memory m repeats the first frame
before it. Within the fit the first m - 1 steps of a run are left out, where this would not be true.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Self

import numpy as np

from resu_controls import random_filters
from resu_conv import ReSUEncoder
from resu_vector import VectorReSU
from resu_vector_projection import principal_directions

RIDGE = 0.01  # of the past-future directions, of the largest variance of a component
VARIANCE = 16.0  # mean, of a code's numbers
MEMORY = 4  # of layer 1: m frames, and as many filters
GRID = (42, 32)  # of layer 1: cells of 5 x 5 pixels
SVD: dict[str, Any] = {"n_oversamples": 64, "n_iter": 2, "power_iteration_normalizer": "LU"}  # quick, and near enough
ROWS = 1024  # frames that are projected at a time


class View:
    """One or more views of frames beside each other, each times its factor.

    parts     functions (t, H, W) uint8 -> (t, D), each with a factor
    memory    frames that the longest of them sees
    """

    def __init__(self, *parts: tuple[Callable[[np.ndarray], np.ndarray], float], memory: int = 1) -> None:
        self.parts, self.memory = parts, memory

    def __call__(self, frames: np.ndarray) -> np.ndarray:
        """(t, H, W) uint8 -> (t, D)."""
        if len(self.parts) == 1 and self.parts[0][1] == 1:
            return self.parts[0][0](frames)
        return np.concatenate([part(frames) * np.float32(factor) for part, factor in self.parts], axis=1)

    def of_runs(self, runs: Sequence[np.ndarray]) -> list[np.ndarray]:
        """The runs' views, without steps whose past lies before the run; runs that have no other are left out."""
        return [self(run)[self.memory - 1 :] for run in runs if len(run) >= self.memory]

    def beside(self, other: View, runs: Sequence[np.ndarray]) -> View:
        """Both, each divided by the root of its total variance on these runs."""
        parts = []
        for view in (self, other):
            factor = 1 / np.sqrt(total_variance(view.of_runs(runs)))
            parts += [(part, its * factor) for part, its in view.parts]
        return View(*parts, memory=max(self.memory, other.memory))


def pixels(frames: np.ndarray) -> np.ndarray:
    """(t, H, W) uint8 -> (t, H W) uint8: as they are."""
    return frames.reshape(len(frames), -1)


def coarse_pixels(frames: np.ndarray) -> np.ndarray:
    """(t, H, W) uint8 -> (t, H W / 4) float32: means of 2 x 2 pixels. Raises ValueError if H or W is odd."""
    t, height, width = frames.shape
    if height % 2 or width % 2:
        raise ValueError(f"frames of {height} x {width} pixels cannot be halved")
    blocks = frames.reshape(t, height // 2, 2, width // 2, 2)
    sums = blocks.sum(axis=(2, 4), dtype=np.uint16)
    return (sums * np.float32(0.25)).reshape(t, -1)


def layer_1(runs: Sequence[np.ndarray]) -> ReSUEncoder:
    """ReSU's layer 1 of this benchmark, fitted on runs of frames. Raises ValueError as `ReSUEncoder.fit`."""
    return ReSUEncoder(MEMORY, MEMORY, MEMORY, GRID).fit(list(runs))


def control_1(fitted: ReSUEncoder, seed: int) -> ReSUEncoder:
    """The same with random filters."""
    return random_filters(fitted, seed)


def total_variance(xs: Sequence[np.ndarray]) -> float:
    """Of views (t, D), summed over their columns."""
    n = sum(map(len, xs))
    mean = sum(x.sum(axis=0, dtype=np.float64) for x in xs) / n
    return sum(float(((x[rows] - mean) ** 2).sum()) for x in xs for rows in _rows(len(x))) / n


def _rows(n: int) -> list[slice]:
    return [slice(start, start + ROWS) for start in range(0, n, ROWS)]


@dataclass(frozen=True)
class LinearCode:
    """A frozen code (x - offset) @ matrix of a view x (t, D): offset (D,), matrix (D, k), both float32."""

    offset: np.ndarray
    matrix: np.ndarray

    def __call__(self, x: np.ndarray) -> np.ndarray:
        """(t, D) -> (t, k) float32."""
        return np.concatenate([(x[rows] - self.offset) @ self.matrix for rows in _rows(len(x))] or [x[:0]])

    def then(self, matrix: np.ndarray, variance: float) -> Self:
        """Followed by another matrix (k, j), scaled to a mean variance of 16 from this one."""
        factor = np.sqrt(VARIANCE / variance) if variance > 0 else 1.0
        return type(self)(self.offset, (self.matrix @ (matrix * factor)).astype(np.float32))


def components(xs: Sequence[np.ndarray], n: int, most: int, seed: int = 0) -> tuple[LinearCode, float]:
    """The leading principal directions of views (t, D), from every so many-th step, `most` at most.

    By a randomised SVD in float32; columns that are constant in these steps have no part in it.
    Returns  their code, n numbers or as many as there are columns that change; the share of the variance in them  [1]
    Raises   ValueError if nothing changes.
    """
    steps = sum(map(len, xs))
    every = max(1, -(-steps // most))
    starts = np.cumsum([0, *map(len, xs[:-1])])
    chosen = [x[-start % every :: every] for x, start in zip(xs, starts, strict=True)]
    x = np.concatenate([part for part in chosen if len(part)])
    moving = np.flatnonzero(x.max(axis=0) != x.min(axis=0))
    if not len(moving):
        raise ValueError("nothing changes in these frames: nothing to fit")
    found, offset, share = principal_directions([x[:, moving]], min(n, len(moving), len(x)), seed, **SVD)
    centre, matrix = x[0].astype(np.float32), np.zeros((x.shape[1], len(found)), np.float32)
    centre[moving], matrix[moving] = offset, found.T
    return LinearCode(centre, matrix), share


def leading(code: LinearCode, series: Sequence[np.ndarray], k: int) -> LinearCode:
    """The first k components. series: what `code` gives for the runs, (t, d) each; k at most d, or d."""
    first = [y[:, :k] for y in series]
    width = first[0].shape[1]
    return code.then(np.eye(code.matrix.shape[1], width), total_variance(first) / width)


def predictive(code: LinearCode, series: Sequence[np.ndarray], k: int) -> LinearCode:
    """The k past-future canonical directions of the components, one step of each; arguments as `leading`.

    Raises   ValueError if the runs hold fewer than 2 d pairs of steps that follow one another.
    """
    width = min(k, code.matrix.shape[1])
    resu = VectorReSU(1, 1, width, ridge=RIDGE, constant_columns="ignore")
    resu.fit_episodes([y for y in series if len(y) > 1])
    matrix = resu.filters_[:, 0].T
    y = np.concatenate(series) @ matrix
    return code.then(matrix, total_variance([y]) / width)
