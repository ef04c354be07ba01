"""ReSU numerical core: whitening, canonical directions, rectification, and the estimator on top. No I/O, no globals.

`LagMoments`, the sums behind it, live in resu_moments.py and are available here, too.

T steps, P parallel series, m memory, h horizon, L = m + h lags, N windows, k units; on Atari 1 step = 4 emulated
frames = 1/15 s. The glossary of the paper (Qin et al. 2025, arXiv 2512.23146):

    p_t = [y_t, ..., y_{t-m+1}]     past, newest first          C_pp = <p p'>  (m, m)
    f_t = [y_{t+1}, ..., y_{t+h}]   future, no step skipped     C_ff = <f f'>  (h, h),  C_fp = <f p'>  (h, m)
    C_ff^-1/2 C_fp C_pp^-1/2 = U S V'     Psi = V' C_pp^-1/2     z+ = max(Psi p, 0)   z- = max(-Psi p, 0)
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Protocol, Self

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view
from scipy import linalg
from sklearn.base import BaseEstimator, TransformerMixin
from sklearn.utils.validation import _check_feature_names_in, check_is_fitted, validate_data

from resu_moments import LagMoments, as_series

__all__ = [
    "CanonicalDirections",
    "LagMoments",
    "ReSU",
    "as_series",
    "canonical_directions",
    "fix_signs",
    "inverse_sqrt",
    "rectify",
]


class PastFutureMoments(Protocol):
    """What `canonical_directions` needs: second moments of a past and a future vector over n_windows samples."""

    @property
    def n_windows(self) -> int | float: ...

    def matrices(self) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """C_pp (m, m), C_fp (h, m), C_ff (h, h), past newest first."""


@dataclass(frozen=True)
class CanonicalDirections:
    """Result of `canonical_directions`.

    filters       (k, m) float64, newest tap first, filters @ (C_pp + ridge) @ filters.T = I
    correlations  (k,) float64 in [0, 1], descending
    spectrum      (min(m, h),) float64, all canonical correlations
    """

    filters: np.ndarray
    correlations: np.ndarray
    spectrum: np.ndarray


def inverse_sqrt(covariance: np.ndarray, ridge: float = 0.0) -> np.ndarray:
    """Symmetric inverse square root of a covariance (d, d) plus ridge * its largest eigenvalue * I.

    Directions without variance (eigenvalue below d * 2.2e-16 of the largest) are left out: a pseudo-inverse.
    Raises   ValueError if the matrix is not finite or has no positive eigenvalue.
    """
    if not np.isfinite(covariance).all():
        raise ValueError("the moments are not finite")
    values, vectors = linalg.eigh((covariance + covariance.T) / 2)
    largest = values[-1]
    if largest <= 0:
        raise ValueError("the input has no variance (it is constant): nothing to fit")
    values = values + ridge * largest
    kept = values > len(values) * np.finfo(float).eps * largest
    scaled = vectors[:, kept] / np.sqrt(np.sqrt(values[kept]))
    return scaled @ scaled.T


def fix_signs(filters: np.ndarray) -> np.ndarray:
    """Signs (k,) of +-1 that make the tap of largest magnitude positive, the first one among near-equals (1e-6)."""
    size = np.abs(filters)
    first = np.argmax(size >= (1 - 1e-6) * size.max(axis=1, keepdims=True), axis=1)
    signs = np.sign(filters[np.arange(len(filters)), first])
    return np.where(signs == 0, 1.0, signs)


def canonical_directions(moments: PastFutureMoments, n_units: int, ridge: float = 1e-6) -> CanonicalDirections:
    """Past-future CCA by one SVD of the whitened cross-covariance.

    moments  second moments over N windows of a past (m) and a future (h) vector, at any scale
    n_units  k, 1 <= k <= min(m, h)
    ridge    added to both covariances, as a fraction of their largest eigenvalue  [1]
    Returns  CanonicalDirections: filters (k, m) newest tap first, correlations (k,) in [0, 1] descending.
             The largest tap of each filter is positive.
    Raises   ValueError if N < m + h, if a moment is not finite, if past or future has no variance, or if k or ridge
             is out of range.
    Source   Qin et al. 2025 (arXiv 2512.23146): W = C_ff^-1/2 C_fp C_pp^-1/2 = U S V', Psi = V' C_pp^-1/2. The ridge
             is ours (the paper has none): relative, so that rescaled input gives the same correlations.
    """
    c_pp, c_fp, c_ff = moments.matrices()
    most = min(c_fp.shape)
    if not isinstance(n_units, (int, np.integer)) or not 1 <= n_units <= most:
        raise ValueError(f"n_units must be an integer from 1 to min(memory, horizon) = {most}, not {n_units!r}")
    if not (np.isfinite(ridge) and ridge >= 0):
        raise ValueError(f"ridge must be a finite number of at least 0, not {ridge!r}")
    if moments.n_windows < sum(c_fp.shape):
        raise ValueError(f"{moments.n_windows} windows are too few for {sum(c_fp.shape)} lags: give more steps")
    whiten_p, whiten_f = inverse_sqrt(c_pp, ridge), inverse_sqrt(c_ff, ridge)
    _, spectrum, v_t = linalg.svd(whiten_f @ c_fp @ whiten_p, full_matrices=False)
    filters = v_t[:n_units] @ whiten_p
    filters = filters * fix_signs(filters)[:, None]
    spectrum = np.clip(spectrum, 0.0, 1.0)
    return CanonicalDirections(filters, spectrum[:n_units].copy(), spectrum)


def rectify(z: np.ndarray) -> np.ndarray:
    """ON and OFF halves side by side: (..., k) -> (..., 2k), z+ = max(z, 0) first, then z- = max(-z, 0)."""
    return np.concatenate([np.maximum(z, 0), np.maximum(-z, 0)], axis=-1)


class ReSU(TransformerMixin, BaseEstimator):
    """Rectified Spectral Units as a scikit-learn estimator: rows are time steps, columns parallel series.

    memory, horizon, n_units, ridge   as in `canonical_directions`
    center      subtract each series' own mean
    flat        transform to (T, P * 2 n_units), as the next step of a scikit-learn Pipeline expects it
    Fitted:     filters_ (n_units, memory) newest tap first, correlations_ (n_units,), mean_ (P,) (zeros if not
                centred), moments_ the LagMoments behind them, n_features_in_ = P
    """

    def __init__(
        self,
        memory: int = 8,
        horizon: int = 4,
        n_units: int = 4,
        center: bool = True,
        ridge: float = 1e-6,
        flat: bool = False,
    ) -> None:
        self.memory = memory
        self.horizon = horizon
        self.n_units = n_units
        self.center = center
        self.ridge = ridge
        self.flat = flat

    def fit(self, X: Any, y: Any = None) -> Self:  # noqa: N803
        """Fit on one episode X (T, P), uint8 or float; y is ignored.

        Raises   ValueError if X is too short, constant, not finite or of another shape, or an option is out of range.
        """
        return self._refit(LagMoments(self.memory, self.horizon, self.center), X, new_episode=True)

    def partial_fit(self, X: Any, y: Any = None, new_episode: bool = False) -> Self:  # noqa: N803
        """Add X (T, P) to what was fitted before; it continues the last episode unless `new_episode`.

        Exactly the fit on everything at once: bitwise for uint8. Before m + h windows exist the filters are unset.
        """
        moments = getattr(self, "moments_", None)
        if moments is None or (moments.memory, moments.horizon) != (self.memory, self.horizon):
            moments = LagMoments(self.memory, self.horizon, self.center)
        return self._refit(moments, X, new_episode, partial=True)

    def _refit(self, moments: LagMoments, x: Any, new_episode: bool, partial: bool = False) -> Self:
        x = as_series(validate_data(self, x, reset=not partial or not hasattr(self, "n_features_in_")))
        if not partial and len(x) < moments.n_lags:
            raise ValueError(f"n_samples = {len(x)} steps are fewer than memory + horizon = {moments.n_lags}")
        moments.center = self.center
        self.moments_ = moments.update(x, new_episode)
        if partial and moments.n_windows < moments.n_lags:
            return self
        directions = canonical_directions(moments, self.n_units, self.ridge)
        self.filters_, self.correlations_ = directions.filters, directions.correlations
        self.mean_ = moments.mean if self.center else np.zeros(moments.n_series)
        return self

    def transform(self, X: Any) -> np.ndarray:  # noqa: N803
        """Rectified responses (T, P, 2 n_units) float64, ON first; before step m - 1 the first step is repeated.

        With `flat` the last two axes are one. Rows are steps of one episode: their order matters.
        Raises   ValueError if not fitted, or if X has another number of series.
        """
        check_is_fitted(self, "filters_", msg="this %(name)s is not fitted: call fit, or partial_fit with enough steps")
        x = as_series(validate_data(self, X, reset=False))
        centred = x - self.mean_
        padded = np.concatenate([np.repeat(centred[:1], self.memory - 1, axis=0), centred])
        z = rectify(sliding_window_view(padded, self.memory, axis=0) @ self.filters_[:, ::-1].T)
        return z.reshape(len(z), -1) if self.flat else z

    def get_feature_names_out(self, input_features: Any = None) -> np.ndarray:
        """(P * 2 n_units,) names of the columns of a flat transform: <series>_on<unit>, then <series>_off<unit>."""
        check_is_fitted(self, "filters_")
        series = _check_feature_names_in(self, input_features)
        halves = [f"{half}{unit}" for half in ("on", "off") for unit in range(self.n_units)]
        return np.array([f"{name}_{half}" for name in series for half in halves], dtype=object)
