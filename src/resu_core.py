"""ReSU numerical core: whitening, canonical directions, rectification, and the estimator on top. No I/O, no globals.

`LagMoments`, the sums behind it, live in resu_moments.py and are available here, too.

T steps, P parallel series, m memory, h horizon, L = m + h lags, N windows, k units; on Atari 1 step = 4 emulated
frames = 1/15 s. The glossary of the paper (Qin et al. 2025, arXiv 2512.23146):

    p_t = [y_t, ..., y_{t-m+1}]     past, newest first          C_pp = <p p'>  (m, m)
    f_t = [y_{t+1}, ..., y_{t+h}]   future, no step skipped     C_ff = <f f'>  (h, h),  C_fp = <f p'>  (h, m)
    C_ff^-1/2 C_fp C_pp^-1/2 = U S V'     Psi = V' C_pp^-1/2     z+ = max(Psi p, 0)   z- = max(-Psi p, 0)
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, Protocol, Self

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view
from scipy import linalg
from scipy.linalg import lapack
from sklearn.base import BaseEstimator, TransformerMixin
from sklearn.utils._set_output import _get_output_config
from sklearn.utils.validation import _check_feature_names_in, check_is_fitted, validate_data

from resu_checks import as_count, as_ridge, as_series
from resu_moments import LagMoments

__version__ = "1.0.0"

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
    """What `canonical_directions` needs: second moments of a past and a future vector over n_windows samples.

    An attribute `unit`, if there is one, is the number in whose square the moments are given.
    """

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


def inverse_sqrt(covariance: np.ndarray, ridge: float = 0.0, absolute_ridge: float = 0.0) -> np.ndarray:
    """Symmetric inverse square root of a covariance (d, d) plus (ridge * its largest eigenvalue + absolute_ridge) * I.

    Directions without variance (eigenvalue below d * 2.2e-16 of the largest) are left out: a pseudo-inverse.
    Raises   ValueError if the matrix is not finite or has no positive eigenvalue.
    """
    if not np.isfinite(covariance).all():
        raise ValueError("the moments are not finite")
    values, vectors = _eigh(covariance / 2 + covariance.T / 2)
    largest = values[-1]
    if largest <= 0:
        raise ValueError("the input has no variance (it is constant): nothing to fit")
    values = values + ridge * largest + absolute_ridge
    kept = values > len(values) * np.finfo(float).eps * largest
    scaled = vectors[:, kept] / np.sqrt(np.sqrt(values[kept]))
    return scaled @ scaled.T


def _eigh(a: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """`scipy.linalg.eigh` of a symmetric float64 matrix, the same bits, without checks that take longer for 8 x 8."""
    length, integers, _ = lapack.dsyevr_lwork(len(a), lower=1)
    values, vectors, _, _, failed = lapack.dsyevr(a, lower=1, lwork=int(length), liwork=integers)
    if failed:
        raise linalg.LinAlgError(f"LAPACK's dsyevr found no eigenvalues ({failed})")
    return values, vectors


def _svd(a: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Singular values and V' of `scipy.linalg.svd` with full_matrices=False, as `_eigh`."""
    length, _ = lapack.dgesdd_lwork(*a.shape, full_matrices=0)
    _, values, v_t, failed = lapack.dgesdd(a, full_matrices=0, lwork=int(length))
    if failed:
        raise linalg.LinAlgError(f"LAPACK's dgesdd found no singular values ({failed})")
    return values, v_t


def fix_signs(filters: np.ndarray) -> np.ndarray:
    """Signs (k,) of +-1 that make the tap of largest magnitude positive, the first one among near-equals (1e-6)."""
    size = np.abs(filters)
    first = np.argmax(size >= (1 - 1e-6) * size.max(axis=1, keepdims=True), axis=1)
    signs = np.sign(filters[np.arange(len(filters)), first])
    return np.where(signs == 0, 1.0, signs)


def canonical_directions(
    moments: PastFutureMoments,
    n_units: int,
    ridge: float = 1e-6,
    center: bool | None = None,
    absolute_ridge: float = 0.0,
) -> CanonicalDirections:
    """Past-future CCA by one SVD of the whitened cross-covariance.

    Parameters
    moments  second moments over N windows of a past (m) and a future (h) vector, at any scale
    n_units  k, 1 <= k <= min(m, h)
    ridge    r >= 0: C_pp + r lambda_p I and C_ff + r lambda_f I stand for C_pp and C_ff, lambda their largest
             eigenvalues  [1]. It keeps directions that hardly vary (below r of the largest variance) from being blown
             up: a larger one gives smoother filters and smaller correlations. Being relative, it gives the same
             correlations for rescaled input. 0 is plain CCA; directions without variance are then left out.
    center   passed on to `LagMoments.matrices`, where given: False for moments that are not centred
    absolute_ridge  a >= 0, added to the variances as it is  [square of the input's unit]: what varies much less than
             sqrt(a) counts as noise, whatever else varies. The two ridges add up

    Returns  CanonicalDirections: filters (k, m) newest tap first, correlations (k,) in [0, 1] descending.
             The largest tap of each filter is positive.
    Raises   ValueError if N < m + h, if a moment or filter is not finite, if past or future has no variance, or if k or
             ridge is out of range.
    Source   Qin et al. 2025 (arXiv 2512.23146): W = C_ff^-1/2 C_fp C_pp^-1/2 = U S V', Psi = V' C_pp^-1/2. The ridge
             is ours (the paper has none).

    >>> past = np.random.default_rng(0).standard_normal(10_000).cumsum()     # a random walk: its newest value predicts
    >>> found = canonical_directions(LagMoments(memory=3, horizon=2, center=True).update(past), n_units=2)
    >>> found.filters.shape, found.correlations.round(1).tolist()
    ((2, 3), [1.0, 0.0])
    """
    c_pp, c_fp, c_ff = moments.matrices() if center is None else moments.matrices(center)  # type: ignore[call-arg]
    unit = getattr(moments, "unit", 1.0)
    n_units, ridge = as_count("n_units", n_units, min(c_fp.shape), "min(memory, horizon)"), as_ridge(ridge)
    absolute = as_ridge(absolute_ridge, "absolute_ridge") / unit / unit
    if absolute == np.inf:
        raise ValueError(
            f"an absolute_ridge of {absolute_ridge} is more than float64 holds beside the input's variance"
        )
    if moments.n_windows < sum(c_fp.shape):
        raise ValueError(f"{moments.n_windows} windows are too few for {sum(c_fp.shape)} lags: give more steps")
    whiten_p, whiten_f = (inverse_sqrt(covariance, ridge, absolute) for covariance in (c_pp, c_ff))
    spectrum, v_t = _svd(whiten_f @ c_fp @ whiten_p)
    with np.errstate(over="ignore"):
        filters = v_t[:n_units] @ whiten_p / unit
    if not np.isfinite(filters).all():
        raise ValueError("the input varies by less than 1e-300: rescale it")
    filters = filters * fix_signs(filters)[:, None]
    spectrum = np.clip(spectrum, 0.0, 1.0)
    return CanonicalDirections(filters, spectrum[:n_units].copy(), spectrum)


def rectify(z: np.ndarray) -> np.ndarray:
    """ON and OFF halves side by side: (..., k) -> (..., 2k), z+ = max(z, 0) first, then z- = max(-z, 0)."""
    return np.concatenate([np.maximum(z, 0), np.maximum(-z, 0)], axis=-1)


@contextmanager
def unchanged_on_error(owner: object) -> Iterator[None]:
    """Whatever fails inside, `owner` then has its attributes of before (which may be replaced inside, not altered)."""
    before = vars(owner).copy()
    try:
        yield
    except BaseException:
        vars(owner).clear()
        vars(owner).update(before)
        raise


class ReSU(TransformerMixin, BaseEstimator):
    """Rectified Spectral Units as a scikit-learn estimator: rows are time steps, columns parallel series.

    Each unit is a temporal filter, one bank for all series: the direction of the past that best predicts the future, by
    canonical correlation analysis. Its response is split into ON and OFF. A call that raises an error leaves the
    estimator as it was; new parameters count from the next fit on.

    Parameters
    memory      m >= 1, steps that a filter sees  [steps]
    horizon     h >= 1, steps ahead that it predicts  [steps]
    n_units     k, 1 <= k <= min(m, h), filters
    center      subtract each series' own mean
    ridge       r >= 0, added to the covariances of past and future as a fraction of their largest eigenvalues, see
                `canonical_directions`  [1]
    absolute_ridge   a >= 0, added to them as it is  [u^2]
    flat        transform to (T, P * 2 k) rather than (T, P, 2 k), as the next step of a Pipeline expects it

    Attributes, once fitted to P series in units u
    filters_        (k, m) float64, newest tap first  [1 / u]; over all series and steps a response has unit variance
    correlations_   (k,) float64 in [0, 1], descending: correlation of a unit's response with what it predicts
    mean_           (P,) float64, taken off before filtering, zeros if not centred  [u]
    moments_        `LagMoments`, the sums behind them
    flat_           `flat` as it was at the fit
    n_features_in_  P; feature_names_in_ (P,), where X had names

    Raises      ValueError from the methods, not from here: parameters are looked at when they are used.

    >>> x = np.sin(np.arange(2_000)[:, None] / [5, 8, 13]) + 1e6             # (time, parallel series)
    >>> resu = ReSU(memory=8, horizon=4, n_units=2).fit(x[:1_500])
    >>> resu.filters_.shape, resu.transform(x).shape
    ((2, 8), (2000, 3, 4))
    >>> whole = resu.partial_fit(x[1_500:])                                  # goes on where fit ended
    >>> bool(np.allclose(whole.correlations_, ReSU(n_units=2).fit(x).correlations_))
    True
    """

    def __init__(
        self,
        memory: int = 8,
        horizon: int = 4,
        n_units: int = 4,
        center: bool = True,
        ridge: float = 1e-6,
        flat: bool = False,
        absolute_ridge: float = 0.0,
    ) -> None:
        self.memory = memory
        self.horizon = horizon
        self.n_units = n_units
        self.center = center
        self.ridge = ridge
        self.flat = flat
        self.absolute_ridge = absolute_ridge

    def fit(self, X: Any, y: Any = None) -> Self:  # noqa: N803
        """Fit on one episode X (T, P), uint8 or float; y is ignored.

        Raises   ValueError if X is too short, constant, not finite or of another shape, or a parameter is out of range.
        """
        with unchanged_on_error(self):
            x = as_series(validate_data(self, X))
            moments = self._new_moments()
            if len(x) < moments.n_lags:
                raise ValueError(f"n_samples = {len(x)} steps are fewer than memory + horizon = {moments.n_lags}")
            return self._set_fitted(moments.update(x))

    def partial_fit(self, X: Any, y: Any = None, new_episode: bool = False) -> Self:  # noqa: N803
        """Add X (T, P) to what was fitted before; it continues the last episode unless `new_episode`; y is ignored.

        Exactly the fit on everything at once: bitwise for uint8, to rounding for floats. Before m + h windows exist the
        filters are unset. Another memory or horizon than before begins anew.
        Raises   ValueError as `fit`, or if X has another number of series: X is then not counted.
        """
        with unchanged_on_error(self):
            x = as_series(validate_data(self, X, reset=not hasattr(self, "moments_")))
            moments, before = self._new_moments(), getattr(self, "moments_", None)
            if before is not None and (before.memory, before.horizon) == (moments.memory, moments.horizon):
                moments = before.copy()
                moments.center = bool(self.center)
            moments.update(x, new_episode)
            if moments.n_windows >= moments.n_lags:
                return self._set_fitted(moments)
            for name in {"filters_", "correlations_", "mean_"} & vars(self).keys():  # of another memory or horizon
                delattr(self, name)
            self.moments_ = moments
            return self

    def _new_moments(self) -> LagMoments:
        """No moments yet, for these parameters, which are looked at here. Raises ValueError if one is out of range."""
        moments = LagMoments(self.memory, self.horizon, self.center)
        as_count("n_units", self.n_units, min(moments.memory, moments.horizon), "min(memory, horizon)")
        as_ridge(self.ridge), as_ridge(self.absolute_ridge, "absolute_ridge")
        return moments

    def _set_fitted(self, moments: LagMoments) -> Self:
        directions = canonical_directions(moments, self.n_units, self.ridge, absolute_ridge=self.absolute_ridge)
        self.moments_, self.flat_ = moments, bool(self.flat)
        self.filters_, self.correlations_ = directions.filters, directions.correlations
        self.mean_ = moments.mean if moments.center else np.zeros(moments.n_series)
        return self

    def transform(self, X: Any) -> np.ndarray:  # noqa: N803
        """Rectified responses (T, P, 2 k) float64, ON first; before step m - 1 the first step is repeated.

        With `flat` the last two axes are one, with the names of `get_feature_names_out` if scikit-learn is asked for
        tables (`set_output`). Rows are steps of one episode: their order matters.
        Raises   ValueError if not fitted, if X has another number of series or is not finite, or if a table is asked
                 for without `flat`.
        """
        check_is_fitted(self, "filters_", msg="this %(name)s is not fitted: call fit, or partial_fit with enough steps")
        if not self.flat_ and _get_output_config("transform", self)["dense"] != "default":
            raise ValueError("responses (time, series, units) are no table: fit with flat=True for set_output")
        x = as_series(validate_data(self, X, reset=False))
        memory = self.filters_.shape[1]
        centred = x - self.mean_
        padded = np.concatenate([np.repeat(centred[:1], memory - 1, axis=0), centred])
        z = rectify(sliding_window_view(padded, memory, axis=0) @ self.filters_[:, ::-1].T)
        return z.reshape(len(z), -1) if self.flat_ else z

    def get_feature_names_out(self, input_features: Any = None) -> np.ndarray:
        """(P * 2 k,) names of the columns of a flat transform: <series>_on<unit>, then <series>_off<unit>.

        Raises   ValueError if not fitted, or if input_features are not the names of the P series.
        """
        check_is_fitted(self, "filters_")
        series = _check_feature_names_in(self, input_features)
        halves = [f"{half}{unit}" for half in ("on", "off") for unit in range(len(self.filters_))]
        return np.array([f"{name}_{half}" for name in series for half in halves], dtype=object)
