"""ReSU on vector series: a unit sees all columns over some steps, and predicts all columns over the next ones.

T steps, D columns, m memory, h horizon, L = m + h lags, N windows, k units, d components (d = D without reduction).

    p_t = [x_t, ..., x_{t-m+1}]   past, newest first (m D numbers)      f_t = [x_{t+1}, ..., x_{t+h}]   future (h D)
    C_ff^-1/2 C_fp C_pp^-1/2 = U S V'     Psi = V' C_pp^-1/2 (k, m D)     z_t = Psi (p_t - mean)

`resu_core.ReSU` shares one bank of filters among its columns and pools their moments; here each column has its own
place in past and future. With one column the two are the same.

What is kept. Lagged products of all columns and the ends of each episode (resu_vector_moments.py): L D^2 numbers.
They are exact for integers, add up in any order, and are all that the fit reads, so that chunks, merges and episodes
give the fit on everything: the same bits for integers, to rounding for floats (float32 is summed in float64, too).

Given, not predicted. The last `past_only` = j columns (an agent's actions, say) stand in the past alone; the future is
h (D - j) numbers. Plain CCA does not depend on their unit; the ridge crushes what varies less than itself.

What it costs. Moments: L products X'X, T L D^2 multiplications. The solution: two symmetric eigenproblems and one SVD
of sizes m D and h D, which grow with the cube: fine to about m D = 6,000, dear beyond. N >= L D windows are needed.

What to do beyond (D to 20,000). `n_components` = d projects every step onto the d leading principal directions of the
columns first, by scikit-learn's randomised SVD; all the rest is as above, with d in place of D. It is exact for the
projected series, and ridges, moments and the number of windows refer to that. What it loses is stated:
`explained_variance_share_` is the share of the columns' variance that the projected series keeps, summed over the steps
that the projection was fitted on. A direction that varies little but predicts well can be lost. The projected series
is of floats: chunks agree to rounding, no longer to the bit. And the projection is that of the first fit: `fit` takes
it from all steps (one centred copy of them is made, float64 for float64 input, else float32), `partial_fit` from
its first chunk, and keeps it. So chunked = whole holds from a given projection on, and machines that are to be merged
must share one: fit on some steps, `save`, `load` it everywhere, `partial_fit`, and merge their `moments_`.
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from types import SimpleNamespace
from typing import Any, Self

import numpy as np
from sklearn.base import BaseEstimator, TransformerMixin
from sklearn.exceptions import NotFittedError
from sklearn.utils import check_random_state
from sklearn.utils.validation import _check_feature_names_in, check_is_fitted, validate_data

import resu_files
from resu_checks import as_choice, as_count, as_flag, as_ridge, as_vectors, refuse_few_windows, row_blocks
from resu_core import canonical_directions, fix_signs, rectify, unchanged_on_error
from resu_vector_moments import VectorMoments
from resu_vector_projection import principal_directions, refuse_constant

__all__ = ["VectorMoments", "VectorReSU"]

FORMAT = "VectorReSU-1"
SOLUTION = ("filters_", "correlations_", "mean_", "rectified_")
PROJECTION = ("components_", "offset_", "explained_variance_share_")


class VectorReSU(TransformerMixin, BaseEstimator):
    """Past-future canonical correlation of vector series as a scikit-learn estimator: rows are time steps.

    A unit is the direction of the last m steps of all D columns that best predicts the next h steps of all columns. A
    call that raises an error leaves the estimator as it was; new parameters count from the next fit on. How it is
    computed, and what that costs, is said at the head of resu_vector.py.

    Parameters
    memory      m >= 1, steps that a filter sees  [steps]
    horizon     h >= 1, steps ahead that it predicts  [steps]
    n_units     k, 1 <= k <= min(m D, h (D - j)); None: as many as there are
    center      subtract each column's own mean
    ridge       r >= 0, added to the covariances of past and future as a fraction of their largest eigenvalues, see
                `resu_core.canonical_directions`  [1]
    absolute_ridge    a >= 0, added to them as it is  [u^2]
    rectified   split each response into ON and OFF: transform to (T, 2 k)
    n_components      d, 1 <= d <= D: project onto so many principal directions first (for m D beyond about 6,000);
                None: no projection, the exact fit
    past_only   j, 0 <= j < D: the last j columns are given, not predicted; not together with n_components
    constant_columns  "refuse": a column that never changes is an error; "ignore": it counts, with filters of zero
    random_state      of the randomised SVD, where n_components is given

    Attributes, once fitted to D columns in units u
    filters_        (k, m, D) float64, newest tap first  [1 / u]; responses are uncorrelated, of unit variance (but for
                    the ridge)
    correlations_   (k,) float64 in [0, 1], descending: correlation of a unit's response with what it predicts
    mean_           (D,) float64, taken off before filtering, zeros if not centred; with n_components, its projection
                    counts  [u]
    moments_        `VectorMoments`, the sums behind them, of the projected series if there is a projection
    components_     (d, D) float64, orthonormal rows: the projection, or None
    offset_         (D,) float64, taken off before it, or None  [u]
    explained_variance_share_   share of the columns' variance that the projection keeps, 1 without  [1]
    rectified_      `rectified` as it was at the fit
    n_features_in_  D; feature_names_in_ (D,), where X had names

    Raises      ValueError from the methods, not from here: parameters are looked at when they are used.

    >>> rng = np.random.default_rng(0)
    >>> turn = np.array([[0.8, -0.6], [0.6, 0.8]])                           # a plane that turns, and three of noise
    >>> x, state = np.empty((2_000, 5)), np.zeros(2)
    >>> for t in range(2_000):
    ...     state = 0.9 * turn @ state + rng.standard_normal(2)
    ...     x[t] = [*state, *rng.standard_normal(3)]
    >>> resu = VectorReSU(memory=2, horizon=1, n_units=3).fit(x[:1_500])
    >>> resu.filters_.shape, resu.correlations_.round(1).tolist(), resu.transform(x).shape
    ((3, 2, 5), [0.9, 0.9, 0.1], (2000, 3))
    >>> whole = resu.partial_fit(x[1_500:])                                  # goes on where fit ended
    >>> bool(np.allclose(whole.correlations_, VectorReSU(n_units=3).fit(x).correlations_))
    True
    """

    def __init__(
        self,
        memory: int = 2,
        horizon: int = 1,
        n_units: int | None = None,
        center: bool = True,
        ridge: float = 1e-6,
        *,
        absolute_ridge: float = 0.0,
        rectified: bool = False,
        n_components: int | None = None,
        past_only: int = 0,
        constant_columns: str = "refuse",
        random_state: Any = 0,
    ) -> None:
        self.memory = memory
        self.horizon = horizon
        self.n_units = n_units
        self.center = center
        self.ridge = ridge
        self.absolute_ridge = absolute_ridge
        self.rectified = rectified
        self.n_components = n_components
        self.past_only = past_only
        self.constant_columns = constant_columns
        self.random_state = random_state

    # --- fitting ---

    def fit(self, X: Any, y: Any = None) -> Self:  # noqa: N803
        """Fit on one episode X (T, D), integers, booleans or floats; y is ignored.

        Raises   ValueError if X has too few steps for D, a constant column (see `constant_columns`), NaN, or another
                 shape, or if a parameter is out of range.
        """
        return self.fit_episodes([X])

    def fit_episodes(self, episodes: Iterable[Any]) -> Self:
        """Fit on some episodes, (T, D) each; no window reaches from one into the next.

        Raises   ValueError as `fit`, or if there are none or their widths differ.
        """
        with unchanged_on_error(self):
            if isinstance(episodes, np.ndarray) and episodes.ndim < 3:
                raise ValueError("expected a list of episodes (T, D), not one array: use fit for a single one")
            checked = [self._checked(x, reset=i == 0) for i, x in enumerate(episodes)]
            if not checked:
                raise ValueError("there are no episodes to fit on")
            columns, steps = checked[0].shape[1], sum(map(len, checked))
            lags = self._parameters(columns).n_lags
            windows = sum(max(len(x) - lags + 1, 0) for x in checked)
            self._enough(windows, lags, self._width(columns), f"n_samples = {steps} steps hold")
            moments = self._begin(checked)
            for x in checked:
                moments.update(self._projected(x), new_episode=True)
            self._no_constant(moments)
            return self._set_fitted(moments)

    def partial_fit(self, X: Any, y: Any = None, new_episode: bool = False) -> Self:  # noqa: N803
        """Add X (T, D) to what was fitted before; it continues the last episode unless `new_episode`; y is ignored.

        Exactly the fit on everything at once: bitwise for integers, to rounding for floats; with n_components, for the
        projection of the first call. While there are fewer than L D windows, or a column has been constant so far, the
        filters are unset. Another memory, horizon or n_components than before (or center, beside n_components) begins
        anew. Each call solves anew: for many small chunks add them to `VectorMoments` and call `fit_moments` once.
        Raises   ValueError as `fit`, or if X has another number of columns: X is then not counted.
        """
        with unchanged_on_error(self):
            before = getattr(self, "moments_", None)
            x = self._checked(X, reset=before is None)
            if before is not None and self._goes_on(before):
                moments = before.copy()
                moments.center = self._parameters(self.n_features_in_).center
            else:
                moments = self._begin([x])
            moments.update(self._projected(x), new_episode)
            if not self._missing(moments):
                return self._set_fitted(moments)
            self._forget(SOLUTION)
            self.moments_ = moments
            return self

    def fit_moments(self, moments: VectorMoments) -> Self:
        """Fit on moments that were counted, and perhaps merged, elsewhere.

        With n_components they are those of steps projected as this estimator projects them: `moments_` of others that
        were loaded from its file.
        Raises   ValueError if memory, horizon or width are not those of this estimator, or as `fit`.
        """
        with unchanged_on_error(self):
            if not isinstance(moments, VectorMoments):
                raise ValueError(f"expected VectorMoments, not {type(moments).__name__}")
            if (moments.memory, moments.horizon) != (self.memory, self.horizon):
                raise ValueError(
                    f"moments of memory {moments.memory}, horizon {moments.horizon} are not those of memory "
                    f"{self.memory}, horizon {self.horizon}"
                )
            if self.n_components is None:
                self._forget((*SOLUTION, "feature_names_in_"))
                self.components_, self.offset_, self.explained_variance_share_ = None, None, 1.0
                self.n_features_in_ = moments.n_columns
            elif (self._n_projected(), moments.n_columns) != (self.n_components, self.n_components):
                raise ValueError(
                    f"these moments of {moments.n_columns} columns do not belong to a projection of this estimator"
                )
            center = self._parameters(self.n_features_in_).center
            self._enough(moments.n_windows, moments.n_lags, moments.n_columns, "these moments hold")
            self._no_constant(moments)
            moments = moments.copy()
            moments.center = center
            return self._set_fitted(moments)

    def _checked(self, x: Any, reset: bool) -> np.ndarray:
        """x as `as_vectors` gives it, after scikit-learn's checks."""
        return as_vectors(validate_data(self, x, reset=reset, ensure_all_finite=False))

    def _parameters(self, columns: int) -> VectorMoments:
        """No moments yet, for these parameters, which are looked at here. Raises ValueError if one is out of range."""
        moments = VectorMoments(self.memory, self.horizon, as_flag("center", self.center))
        if self.n_components is not None:
            as_count("n_components", self.n_components, columns, "the number of columns")
            check_random_state(self.random_state)
        if as_count("past_only", self.past_only, columns - 1, "columns - 1", least=0) and self.n_components is not None:
            raise ValueError("past_only cannot be used with n_components: project the predicted columns beforehand")
        if self.n_units is not None:
            as_count("n_units", self.n_units, self._most_units(columns), "the number of directions of past or future")
        as_ridge(self.ridge), as_ridge(self.absolute_ridge, "absolute_ridge"), as_flag("rectified", self.rectified)
        as_choice("constant_columns", self.constant_columns, ("refuse", "ignore"))
        return moments

    def _width(self, columns: int) -> int:
        """d."""
        return columns if self.n_components is None else self.n_components

    def _most_units(self, columns: int) -> int:
        """As many as past or future have directions, whichever has fewer."""
        return min(self.memory * self._width(columns), self.horizon * (self._width(columns) - self.past_only))

    def _n_projected(self) -> int | None:
        """d of the projection that there is, None without one."""
        components = getattr(self, "components_", None)
        return None if components is None else len(components)

    def _goes_on(self, before: VectorMoments) -> bool:
        """Whether the parameters are still those of these moments."""
        same = (before.memory, before.horizon, self._n_projected()) == (self.memory, self.horizon, self.n_components)
        return same and (self.components_ is None or before.center == self.center)

    def _forget(self, names: Iterable[str]) -> None:
        for name in set(names) & vars(self).keys():
            delattr(self, name)

    def _begin(self, episodes: list[np.ndarray]) -> VectorMoments:
        """No moments yet; the projection, if there is to be one, from these steps."""
        moments = self._parameters(episodes[0].shape[1])
        projection: tuple[Any, Any, float] = (None, None, 1.0)
        if self.n_components is not None:
            options = (self.n_components, self.random_state, self.constant_columns)
            components, offset, share = principal_directions(episodes, *options)
            projection = components, offset if moments.center else offset * 0, share
        self._forget((*SOLUTION, *PROJECTION, "moments_"))
        self.components_, self.offset_, self.explained_variance_share_ = projection
        return moments

    def _projected(self, x: np.ndarray) -> np.ndarray:
        """x (T, D) itself, or (T, d) float64."""
        if self.components_ is None:
            return x
        z = np.empty((len(x), len(self.components_)))
        for rows in row_blocks(x):
            np.matmul(x[rows] - self.offset_, self.components_.T, out=z[rows])
        return z

    def _enough(self, windows: int, lags: int, width: int, holding: str) -> None:
        refuse_few_windows(windows, lags, width, "columns" if self.n_components is None else "components", holding)

    def _no_constant(self, moments: VectorMoments) -> None:
        """Raises ValueError if a column is constant, unless that is to be ignored, or was seen before projecting."""
        if self.components_ is None and self.constant_columns == "refuse":
            refuse_constant(moments.is_constant())

    def _missing(self, moments: VectorMoments) -> str:
        """Why there can be no filters yet, in one sentence; empty if there can."""
        try:
            self._enough(moments.n_windows, moments.n_lags, moments.n_columns, "there are")
            self._no_constant(moments)
        except ValueError as error:
            return str(error)
        return ""

    def _set_fitted(self, moments: VectorMoments) -> Self:
        m, d = moments.memory, moments.n_columns
        k = self._most_units(self.n_features_in_) if self.n_units is None else self.n_units
        seen = SimpleNamespace(n_windows=moments.n_windows, matrices=lambda: moments.matrices(None, self.past_only))
        directions = canonical_directions(seen, k, self.ridge, absolute_ridge=self.absolute_ridge)
        filters = directions.filters.reshape(k, m, d)
        mean = moments.mean if moments.center else np.zeros(d)
        if self.components_ is None and self.constant_columns == "ignore":
            filters[..., moments.is_constant()] = 0.0  # they are, but for rounding
        elif self.components_ is not None:
            filters = filters @ self.components_
            filters *= fix_signs(filters.reshape(k, -1))[:, None, None]
            mean = self.offset_ + mean @ self.components_
        self.moments_, self.rectified_ = moments, bool(self.rectified)
        self.filters_, self.correlations_, self.mean_ = filters, directions.correlations, mean
        return self

    # --- responses ---

    def transform(self, X: Any) -> np.ndarray:  # noqa: N803
        """Responses (T, k) float64, one row per step; (T, 2 k) if rectified, ON first.

        Before step m - 1 the first step is repeated. Rows are steps of one episode: their order matters.
        Raises   ValueError if not fitted, or if X has another number of columns or is not finite.
        """
        if not hasattr(self, "filters_") and hasattr(self, "moments_"):
            why = self._missing(self.moments_) or "call partial_fit once more"
            raise NotFittedError(f"this VectorReSU is not fitted yet: {why}")
        check_is_fitted(self, "filters_", msg="this %(name)s is not fitted: call fit, or partial_fit with enough steps")
        x = self._checked(X, reset=False)
        k, m, _ = self.filters_.shape
        z = np.zeros((len(x), k))
        for rows in row_blocks(x):
            n = len(x[rows])
            y = x[np.maximum(np.arange(rows.start - m + 1, rows.start + n), 0)] - self.mean_
            for lag in range(m):
                z[rows] += y[m - 1 - lag : m - 1 - lag + n] @ self.filters_[:, lag].T
        return rectify(z) if self.rectified_ else z

    def get_feature_names_out(self, input_features: Any = None) -> np.ndarray:
        """(k,) names unit0, unit1, ...; if rectified (2 k,): on0, ..., then off0, ...

        Raises   ValueError if not fitted, or if input_features are not the names of the D columns.
        """
        check_is_fitted(self, "filters_")
        _check_feature_names_in(self, input_features)
        halves = ("on", "off") if self.rectified_ else ("unit",)
        return np.array([f"{half}{unit}" for half in halves for unit in range(len(self.filters_))], dtype=object)

    # --- files ---

    def save(self, path: resu_files.PathLike) -> None:
        """Write parameters, fit and moments to an .npz file (no pickle, atomic).

        Raises   ValueError if not fitted, or if a parameter is an object (a RandomState).
        """
        check_is_fitted(self, "moments_")
        try:
            parameters = json.dumps(self.get_params(), default=lambda value: value.item())
        except (TypeError, ValueError, AttributeError) as error:
            raise ValueError("only parameters that are numbers, words or None can be saved") from error
        arrays = {name: getattr(self, name, None) for name in (*SOLUTION, *PROJECTION, "n_features_in_")}
        if hasattr(self, "feature_names_in_"):
            arrays["feature_names_in_"] = np.array(list(self.feature_names_in_), dtype=str)
        arrays |= {f"of_moments_{name}": value for name, value in self.moments_.arrays().items()}
        kept = {name: value for name, value in arrays.items() if value is not None}
        resu_files.write_npz(path, kind=FORMAT, parameters=parameters, **kept)

    @classmethod
    def load(cls, path: resu_files.PathLike) -> VectorReSU:
        """Read a file of `save`. Raises FileNotFoundError, or ValueError if it is damaged or holds something else."""
        data = resu_files.read_npz(path, ("kind",))
        if str(data["kind"]) != FORMAT:
            raise ValueError(f"{path} does not hold a VectorReSU of a known version")
        try:
            resu = cls(**json.loads(str(data["parameters"])))
            prefix = "of_moments_"
            sums = {name.removeprefix(prefix): value for name, value in data.items() if name.startswith(prefix)}
            resu.moments_ = VectorMoments.from_arrays(sums)
            resu._take(data)
        except (KeyError, TypeError, ValueError, IndexError) as error:
            raise ValueError(f"{path} is not a consistent file of a VectorReSU ({error})") from error
        return resu

    def _take(self, data: dict[str, np.ndarray]) -> None:
        """Set what was fitted from a file. Raises KeyError or ValueError if something does not fit."""
        m, d, columns = self.moments_.memory, self.moments_.n_columns, data["n_features_in_"].item()
        k = len(data["filters_"]) if "filters_" in data else 0
        shapes = {"filters_": (k, m, columns), "correlations_": (k,), "mean_": (columns,), "rectified_": ()}
        shapes |= {"components_": (d, columns), "offset_": (columns,), "explained_variance_share_": ()}
        fitted = SOLUTION if "filters_" in data else ()
        projected = ("components_", "offset_") if "components_" in data else ()
        if not projected and d != columns:
            raise ValueError(f"moments of {d} columns for {columns}")
        self.components_ = self.offset_ = None
        for name in (*fitted, *projected, "explained_variance_share_"):
            if data[name].shape != shapes[name] or not np.isfinite(data[name]).all():
                raise ValueError(f"{name} has shape {data[name].shape}, not {shapes[name]}, or is not finite")
            setattr(self, name, data[name] if data[name].ndim else data[name].item())
        self.n_features_in_ = columns
        if "feature_names_in_" in data:
            self.feature_names_in_ = data["feature_names_in_"].astype(object)
