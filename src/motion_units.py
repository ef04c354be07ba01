"""Units that may tell where things move: stimuli in motion, channels of the lamina, three neighbours, selectivity.

An eye of photoreceptors in a row, `SPACING` columns apart, moves over a pattern: at step t the one at offset d sees
pattern(path[t] + d). Moving in the positive direction the right neighbour sees everything first. The other direction is
the mirror image: `mirrored` lets left and right change places, so that nothing but the direction differs. Time is in
steps, length in columns of `natural_scenes` (.388 degrees).

P patterns side by side, T steps, m taps of layer 1, C channels of each, D = 3 C inputs of a unit (times lags).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from scipy import interpolate, signal

from natural_scenes import N_COLUMNS
from resu_core import inverse_sqrt

DEGREE = N_COLUMNS / 360  # columns
SPACING = 13  # columns between neighbouring photoreceptors: 5.05 degrees
N_NEIGHBOURS = 3  # left, centre, right
EDGE_STEPS = 400  # columns from one edge to the next
Pattern = Callable[[np.ndarray], np.ndarray]  # positions (T,) -> (T, P)


def rows_pattern(rows: np.ndarray) -> Pattern:
    """Periodic rows (P, N_COLUMNS) as a pattern, by a cubic spline between columns."""
    closed = np.concatenate([rows, rows[:, :1]], axis=1)
    spline = interpolate.CubicSpline(np.arange(rows.shape[1] + 1), closed.T, axis=0, bc_type="periodic")
    return lambda at: spline(np.mod(at, rows.shape[1]))


def grating(wavelength: float, contrast: float = 0.5) -> Pattern:
    """One sine wave: wavelength [degrees], contrast [1]."""
    return lambda at: contrast * np.sin(2 * np.pi * at / (wavelength * DEGREE))[:, None]


def edges(width: float = 5.0, level: float = 0.0) -> Pattern:
    """Light comes in the middle of columns 0 to EDGE_STEPS, and goes in the middle of the next as many; and so on.

    width   of each edge, a tanh from -1 to 1 [columns]        level   added to both [1]
    """

    def at(position: np.ndarray) -> np.ndarray:
        half, x = divmod(np.mod(position, 2 * EDGE_STEPS), EDGE_STEPS)
        return (level + (1 - 2 * half) * np.tanh((x - EDGE_STEPS / 2) / width))[:, None]

    return at


@dataclass(frozen=True)
class Move:
    """How the eye moves: velocity [columns per step], from a start [columns], for n steps that layer 1 answers to."""

    velocity: float
    n_steps: int
    start: float = 0.0

    def path(self, memory: int) -> np.ndarray:
        """Positions (memory - 1 + n_steps,): what the first answer looks back on comes before."""
        return self.start + self.velocity * np.arange(1 - memory, self.n_steps)


@dataclass(frozen=True)
class Lamina:
    """Layer 1 and what becomes of its outputs.

    filters   (K, m), newest tap first
    channels  (filter, sign) of each: sign 0 is linear, 1 and -1 are the rectified halves
    spread    (C,) standard deviation of each channel before it is rectified, on what it was fitted to
    """

    filters: np.ndarray
    channels: tuple[tuple[int, int], ...]
    spread: np.ndarray

    def __call__(
        self,
        pattern: Pattern,
        move: Move,
        noise: float = 0.0,
        rng: np.random.Generator | None = None,
        spacing: float = SPACING,
    ) -> np.ndarray:
        """Channels (n_steps, P, 3, C) of three neighbours on an eye over a pattern.

        noise    added to each channel before it is rectified, in its standard deviations; needs rng
        """
        path = move.path(self.filters.shape[1])
        seen = np.stack([pattern(path + i * spacing) for i in range(N_NEIGHBOURS)], axis=2)
        return self.channels_of(seen, noise, rng)

    def channels_of(self, seen: np.ndarray, noise: float = 0.0, rng: np.random.Generator | None = None) -> np.ndarray:
        """Channels (T - m + 1, ..., C) of what photoreceptors saw (T, ...)."""
        linear = [filtered(seen, taps) for taps in self.filters]
        out = np.empty((*linear[0].shape, len(self.channels)))
        for i, (k, sign) in enumerate(self.channels):
            z = (sign or 1) * linear[k] / self.spread[i]
            if noise:
                assert rng is not None
                z = z + noise * rng.standard_normal(z.shape)
            out[..., i] = np.maximum(z, 0) if sign else z
        return out


def filtered(seen: np.ndarray, taps: np.ndarray) -> np.ndarray:
    """Answers (T - m + 1, ...) of a filter (m,), newest tap first, where it sees only steps that there are."""
    kernel = taps.reshape(-1, *(1,) * (seen.ndim - 1))
    return signal.fftconvolve(seen, kernel, mode="valid", axes=0)


def mirrored(channels: np.ndarray) -> np.ndarray:
    """Channels (T, P, 3, C) of the mirrored pattern, moving the other way."""
    return channels[:, :, ::-1]


def lagged(channels: np.ndarray, lags: int) -> np.ndarray:
    """(T, P, 3, C) -> (T - lags + 1, P, lags * 3 * C): each step with those before it, newest first."""
    flat = channels.reshape(*channels.shape[:2], -1)
    n = len(flat) - lags + 1
    return np.concatenate([flat[lags - 1 - k : lags - 1 - k + n] for k in range(lags)], axis=2)


@dataclass(frozen=True)
class PairMoments:
    """Second moments of inputs now (D,) and later (D',), not centred: what `canonical_directions` takes."""

    c_pp: np.ndarray
    c_fp: np.ndarray
    c_ff: np.ndarray
    n_windows: int

    def matrices(self) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """C_pp (D, D), C_fp (D', D), C_ff (D', D')."""
        return self.c_pp, self.c_fp, self.c_ff


def pair_moments(episodes: Sequence[tuple[np.ndarray, np.ndarray]]) -> PairMoments:
    """Of (past (n, D), future (n, D')) for each episode; no pair reaches from one episode into another."""
    n = sum(len(past) for past, _ in episodes)
    products = [(p.T @ p, f.T @ p, f.T @ f) for p, f in episodes]
    c_pp, c_fp, c_ff = (sum(parts) / n for parts in zip(*products, strict=True))
    return PairMoments(c_pp, c_fp, c_ff, n)


def random_units(c_pp: np.ndarray, n_units: int, rng: np.random.Generator) -> np.ndarray:
    """Weights (n_units, D) of random directions of the whitened inputs, orthogonal there: canonical ones are, too."""
    orthogonal, _ = np.linalg.qr(rng.standard_normal((len(c_pp), n_units)))
    return orthogonal.T @ inverse_sqrt(c_pp)


def mean_rates(inputs: np.ndarray, weights: np.ndarray) -> np.ndarray:
    """Mean rectified answers (2, n_units), ON first, of units (n_units, D) over all inputs (..., D)."""
    z = inputs.reshape(-1, inputs.shape[-1]) @ weights.T
    return np.stack([np.maximum(z, 0).mean(axis=0), np.maximum(-z, 0).mean(axis=0)])


def peak_rates(inputs: np.ndarray, weights: np.ndarray) -> np.ndarray:
    """Largest rectified answers (2, n_units), ON first."""
    z = inputs.reshape(-1, inputs.shape[-1]) @ weights.T
    return np.stack([np.maximum(z, 0).max(axis=0), np.maximum(-z, 0).max(axis=0)])


def selectivity(preferred: np.ndarray, null: np.ndarray) -> np.ndarray:
    """Direction selectivity index (PD - ND) / (PD + ND) of rates; 0 where both are 0."""
    total = preferred + null
    return np.where(total > 0, (preferred - null) / np.where(total > 0, total, 1.0), 0.0)


def correlator(channels: np.ndarray, delay: int) -> np.ndarray:
    """Hassenstein-Reichardt detector on the first channel of the outer neighbours (T, P, 3, C): (T - delay, P).

    Positive for movement in the positive direction, where the right neighbour is the first to see.
    Source   Hassenstein & Reichardt 1956; here with a pure delay [steps].
    """
    left, right = channels[:, :, 0, 0], channels[:, :, 2, 0]
    return right[:-delay] * left[delay:] - left[:-delay] * right[delay:]
