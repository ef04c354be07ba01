"""Shapes of temporal filters in numbers: sign changes, flatness, cosines, lobes. Arrays in, numbers out.

m taps, newest first; K filters.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

GAIN_POINTS = 16  # frequencies per tap at which a filter's gain is looked up
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


@dataclass(frozen=True)
class Lobes:
    """Shape of a temporal filter whose tap of largest magnitude, the peak, counts as positive. Lags in steps.

    count          lobes (runs of taps of one sign) whose extremum exceeds the threshold, as a fraction of the peak
    peak_lag       lag of the peak
    first_zero     lag of the first crossing to negative taps after the peak, linearly interpolated; NaN: none
    minimum_lag    lag of the smallest tap after the peak; NaN: the peak is the last tap
    depth          that tap / peak (negative for a filter of two signs); NaN likewise
    first_share    share of the energy (sum of squared taps) in the lobe of the peak
    two_share      share of the energy in that lobe and the next one
    gain_at_zero   gain at frequency 0 / largest gain: 1 for a low-pass filter, 0 for a derivative
    """

    count: int
    peak_lag: int
    first_zero: float
    minimum_lag: float
    depth: float
    first_share: float
    two_share: float
    gain_at_zero: float


def lobes(taps: np.ndarray, threshold: float = 0.05) -> Lobes:
    """Count and measure the lobes of a filter; scale and sign do not matter.

    taps       (m,), newest first: position = lag [steps]. Taps of exactly 0 belong to no lobe and do not end one.
    threshold  0 <= threshold < 1, fraction of the largest |tap| that a lobe must exceed to be counted
    Raises     ValueError if taps are no finite vector or all 0, or if the threshold is out of range.
    """
    taps = np.asarray(taps, np.float64)
    if taps.ndim != 1 or not np.isfinite(taps).all() or not taps.any():
        raise ValueError("a filter must be a vector of finite taps that are not all 0")
    if not 0 <= threshold < 1:
        raise ValueError(f"the threshold must lie in [0, 1), not {threshold}")
    size = np.abs(taps)
    peak = int(np.argmax(size >= (1 - 1e-6) * size.max()))  # the first one among near-equals
    taps = taps / taps[peak]
    lags = np.flatnonzero(taps)
    runs = np.split(lags, np.flatnonzero(np.diff(np.sign(taps[lags]))) + 1)
    extrema = np.array([np.abs(taps[run]).max() for run in runs])
    energies = np.array([np.square(taps[run]).sum() for run in runs]) / np.square(taps).sum()
    main = next(i for i, run in enumerate(runs) if peak in run)

    first_zero = np.nan
    if main + 1 < len(runs):
        last, negative = int(runs[main][-1]), int(runs[main + 1][0])
        step = taps[last] / (taps[last] - taps[negative]) if negative == last + 1 else 1.0  # taps of 0 between
        first_zero = last + float(step)
    after = taps[peak + 1 :]
    gain = np.abs(np.fft.rfft(taps, GAIN_POINTS * len(taps)))
    return Lobes(
        count=int((extrema > threshold).sum()),
        peak_lag=peak,
        first_zero=first_zero,
        minimum_lag=float(peak + 1 + after.argmin()) if len(after) else np.nan,
        depth=float(after.min()) if len(after) else np.nan,
        first_share=float(energies[main]),
        two_share=float(energies[main : main + 2].sum()),
        gain_at_zero=float(gain[0] / gain.max()),
    )
