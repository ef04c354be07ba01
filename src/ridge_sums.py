"""Ridge heads from sums: what is learned adds up, in any order, and nothing that was learned is lost.

N samples, D features, C classes. Kept are the sums of features, of their products with each other and with the classes:
(D + 1)(D + C) numbers. The sums of games in turn are those of all games at once, to rounding in float64.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Self

import numpy as np
from scipy import linalg

from dense_head import CHUNK, DenseHead


@dataclass(frozen=True)
class RandomUnits:
    """Rectified units that are drawn, not learned: x -> max(W x + b, 0), a first layer of a head.

    weight (U, D), bias (U,) float32
    """

    weight: np.ndarray
    bias: np.ndarray

    @classmethod
    def drawn(cls, x: np.ndarray, n_units: int, seed: int) -> RandomUnits:
        """Units for features like x (N, D): directions and thresholds of chance, in standard deviations over x."""
        rng = np.random.default_rng(seed)
        deviation = x.std(axis=0, dtype=np.float64)
        deviation = np.maximum(deviation, 0.1 * np.sqrt(np.mean(deviation**2)))  # as heads.Scaling has it
        weight = rng.standard_normal((n_units, x.shape[1])) / np.sqrt(x.shape[1]) / np.where(deviation, deviation, 1)
        bias = 0.5 * rng.standard_normal(n_units) - weight @ x.mean(axis=0, dtype=np.float64)
        return cls(weight.astype(np.float32), bias.astype(np.float32))

    def __call__(self, x: np.ndarray) -> np.ndarray:
        """(N, D) -> (N, U) float32."""
        return np.maximum(x @ self.weight.T + self.bias, 0)


class RidgeSums:
    """The sums that ridge regression onto one-hot classes needs.

    n_features, n_classes   D of the samples as they come, C
    units                   a first layer, whose U outputs are then the features of the regression; None for none

    >>> rng = np.random.default_rng(0)
    >>> x = rng.standard_normal((300, 4)).astype(np.float32)
    >>> y = (x[:, 0] > 0).astype(int)
    >>> sums = RidgeSums(4, 2).add(x[:100], y[:100]).add(x[100:], y[100:])
    >>> float(np.mean(sums.head(1e-3).predict(x) == y)) > 0.9
    True
    """

    def __init__(self, n_features: int, n_classes: int, units: RandomUnits | None = None) -> None:
        d = n_features if units is None else len(units.weight)
        self.units, self.n = units, 0
        self.total, self.gram, self.cross = np.zeros(d), np.zeros((d, d)), np.zeros((d, n_classes))
        self.counts = np.zeros(n_classes)

    def add(self, x: np.ndarray, y: np.ndarray) -> Self:
        """Samples x (N, D) with classes y (N,).

        Raises   ValueError if they do not fit; nothing is added then.
        """
        d = len(self.total) if self.units is None else self.units.weight.shape[1]
        if x.ndim != 2 or x.shape[1] != d or y.shape != (len(x),):
            raise ValueError(f"expected features (N, {d}) and classes (N,), not {x.shape} and {y.shape}")
        if len(y) and not 0 <= y.min() <= y.max() < len(self.counts):
            raise ValueError(f"classes must lie in 0 .. {len(self.counts) - 1}")
        for i in range(0, len(x), CHUNK):
            part = np.asarray(x[i : i + CHUNK], np.float32)
            part = (part if self.units is None else self.units(part)).astype(np.float64)
            self.total += part.sum(axis=0)
            self.gram += part.T @ part
            self.cross += part.T @ np.eye(len(self.counts))[y[i : i + CHUNK]]
        self.counts += np.bincount(y, minlength=len(self.counts))
        self.n += len(x)
        return self

    def merge(self, other: RidgeSums) -> Self:
        """The samples of both. Raises ValueError if they are of other features or classes."""
        if self.cross.shape != other.cross.shape:
            raise ValueError(f"sums of shape {self.cross.shape} and {other.cross.shape} do not add up")
        for name in ("n", "total", "gram", "cross", "counts"):
            setattr(self, name, getattr(self, name) + getattr(other, name))
        return self

    def head(self, strength: float) -> DenseHead:
        """The regression's head: the largest output decides.

        strength   ridge, as a fraction of the mean variance of a standardised feature
        Raises     ValueError if nothing was added, or the strength is not above 0.
        """
        if not self.n or not strength > 0:
            raise ValueError("a ridge head takes samples, and a strength above 0")
        mean, share = self.total / self.n, self.counts / self.n
        covariance = self.gram / self.n - np.outer(mean, mean)
        deviation = np.sqrt(np.maximum(np.diag(covariance), 0))
        floor = 0.1 * np.sqrt(np.mean(deviation**2))
        factor = 1 / np.where(deviation > floor, deviation, floor or 1.0)
        scaled = covariance * np.outer(factor, factor)
        loaded = scaled + strength * np.trace(scaled) / len(scaled) * np.eye(len(scaled))
        right = (self.cross / self.n - np.outer(mean, share)) * factor[:, None]
        weight = linalg.solve(loaded, right, assume_a="pos").T * factor
        last = weight.astype(np.float32), (share - weight @ mean).astype(np.float32)
        first = () if self.units is None else ((self.units.weight, self.units.bias),)
        weights, biases = zip(*first, last, strict=True)
        return DenseHead(list(weights), list(biases))
