"""Shapes of temporal filters in numbers: sign changes, flatness, cosines. Arrays in, numbers out.

m taps, newest first; K filters.
"""

from __future__ import annotations

import numpy as np

SMALL = 0.05  # taps below this share of the largest one have no sign


def sign_changes(taps: np.ndarray, small: float = SMALL) -> int:
    """How often the sign changes along the taps (m,), those below `small` times the largest left out."""
    taps = np.asarray(taps, np.float64)
    signs = np.sign(taps[np.abs(taps) >= small * np.abs(taps).max()])
    return int(np.count_nonzero(np.diff(signs)))


def cosine(a: np.ndarray, b: np.ndarray, metric: np.ndarray | None = None) -> float:
    """|cosine| of two filters (m,): signs of canonical directions are arbitrary.

    metric   (m, m) covariance of the input: the cosine is then the correlation of the two responses to it
    """
    a, b = np.asarray(a, np.float64), np.asarray(b, np.float64)
    metric = np.eye(len(a)) if metric is None else metric
    return float(abs(a @ metric @ b) / np.sqrt((a @ metric @ a) * (b @ metric @ b)))


def flatness(taps: np.ndarray) -> float:
    """|cosine| with the constant filter: 1 for an integrator over all lags, 1/sqrt(m) for an impulse."""
    return cosine(taps, np.ones(len(taps)))


def newest_share(taps: np.ndarray) -> float:
    """Share of the filter's energy in its newest tap: 1 for an impulse on the newest frame, 1/m for a flat filter."""
    return float(taps[0] ** 2 / np.sum(np.square(taps)))
