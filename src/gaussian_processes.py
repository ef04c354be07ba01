"""Gaussian processes that are known exactly: kernels, and the second moments of a noisy past and future.

m memory, h horizon, d distance in time; the past is newest first, and the future starts one grid step after it. No
sample is drawn: what `resu_core.canonical_directions` finds are the values of infinitely many windows.
Source   kernels and grid: Qin et al. 2025 (arXiv 2512.23146), figure on Gaussian processes and its supplement.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from resu_checks import as_count

STEP = 20 / 999  # of the paper's grid: 1,000 points from -10 to 10
STEP_SUPPLEMENT, JITTER_SUPPLEMENT = 0.05, 1e-8  # of its supplement: step, and the variance on the diagonal


def rational_quadratic(d: np.ndarray) -> np.ndarray:
    """1 / (1 + d^2 / 2) of distances d."""
    return 1 / (1 + d**2 / 2)


def squared_exponential(d: np.ndarray) -> np.ndarray:
    """exp(-d^2 / 2) of distances d."""
    return np.exp(-(d**2) / 2)


def ornstein_uhlenbeck(d: np.ndarray) -> np.ndarray:
    """exp(-|d| / 3) of distances d: one process of time constant 3."""
    return np.exp(-np.abs(d) / 3)


def cauchy(d: np.ndarray) -> np.ndarray:
    """1 / (1 + (d / 2)^2) of distances d: the kernel of the paper's supplement."""
    return 1 / (1 + (d / 2) ** 2)


def white(d: np.ndarray) -> np.ndarray:
    """1 at distance 0, else 0: nothing to predict."""
    return (d == 0).astype(np.float64)


Kernel = Callable[[np.ndarray], np.ndarray]
KERNELS: dict[str, Kernel] = {
    "rational quadratic": rational_quadratic,
    "squared exponential": squared_exponential,
    "ou": ornstein_uhlenbeck,
    "supplement": cauchy,
    "white": white,
}


@dataclass(frozen=True)
class ProcessMoments:
    """Population moments of a Gaussian process seen with white noise; `resu_core.canonical_directions` takes them.

    kernel    a name in KERNELS: covariance at a distance, 1 at distance 0
    memory    m >= 1 [grid steps]
    horizon   h >= 1 [grid steps]
    noise     standard deviation of the noise of every observation, >= 0, in those of the process
    step      of the grid, > 0, in the kernel's unit of time
    gap       grid steps that are left out between past and future, >= 0
    jitter    variance that is added to the noise's
    Raises    ValueError if one is out of range.
    """

    kernel: str
    memory: int
    horizon: int
    noise: float = 0.0
    step: float = STEP
    gap: int = 0
    jitter: float = 0.0

    def __post_init__(self) -> None:
        if self.kernel not in KERNELS:
            raise ValueError(f"no kernel {self.kernel!r}: it is one of {', '.join(KERNELS)}")
        as_count("memory", self.memory), as_count("horizon", self.horizon)
        for name in ("noise", "jitter", "gap"):
            if not 0 <= getattr(self, name) < np.inf:
                raise ValueError(f"{name} must be a finite number of at least 0, not {getattr(self, name)}")
        if not 0 < self.step < np.inf:
            raise ValueError(f"step must be a positive finite number, not {self.step}")

    @property
    def n_windows(self) -> float:
        """Infinitely many."""
        return np.inf

    def joint(self) -> np.ndarray:
        """(m + h, m + h) covariance of past (newest first) and future (first step first), noise included."""
        times = np.concatenate([-np.arange(self.memory), 1 + self.gap + np.arange(self.horizon)])
        covariance = KERNELS[self.kernel](self.step * np.abs(times[:, None] - times[None, :]))
        return covariance + (self.noise**2 + self.jitter) * np.eye(len(times))

    def matrices(self) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """C_pp (m, m), C_fp (h, m), C_ff (h, h)."""
        joint, m = self.joint(), self.memory
        return joint[:m, :m], joint[m:, :m], joint[m:, m:]


def supplement(length: int) -> ProcessMoments:
    """The paper's supplement: `length` steps of past, as many of future."""
    return ProcessMoments("supplement", length, length, step=STEP_SUPPLEMENT, jitter=JITTER_SUPPLEMENT)


def information(moments: ProcessMoments) -> float:
    """What the past tells about the future [nats]: -1/2 sum log(1 - S^2), by determinants, which lose no digits.

    Raises   ValueError if a covariance is singular: give noise or jitter.
    """
    c_pp, _, c_ff = moments.matrices()
    signs, logs = zip(*(np.linalg.slogdet(c) for c in (c_pp, c_ff, moments.joint())), strict=True)
    if min(signs) <= 0:
        raise ValueError("a covariance is singular: give the process noise or jitter")
    return float(logs[0] + logs[1] - logs[2]) / 2
