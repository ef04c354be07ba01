"""Lag moments: exact, mergeable second moments of all windows of a set of parallel series.

T steps, P parallel series, m memory, h horizon, L = m + h lags, N windows. Pooled over series, every moment is a sum of
inner products d_k(t) = <x_t, x_{t+k}>, k = 0 .. L - 1: L products per step, not L^2. How these sums stay accurate at
any offset and scale, and how they are added, is in resu_sums.py.
"""

from __future__ import annotations

import functools
from typing import Self

import numpy as np

import resu_files
import resu_moment_kernels
from resu_checks import as_count, as_decay, as_series
from resu_sums import WindowSums, binary_exponent, times_power
from resu_threads import for_spans, n_threads

BLOCK = 1024  # frames per block; results do not depend on it for integers
LEAST = 128  # frames of a smaller one
CHUNK = 1 << 17  # steps whose products are held at a time; of floats, numbers that are centred at a time
EVENT_FRACTION = 0.006  # below this share of changed pixels the event-driven pass is the faster (bench_core.py)
FORMAT, FORMAT_BEFORE = "LagMoments-2", "LagMoments-1"


def changed_fraction(x: np.ndarray, n_pairs: int = 64) -> float:
    """Share of entries of x (T, P) that differ from the step before, over about n_pairs evenly spaced steps."""
    if len(x) < 2:
        return 1.0
    steps = np.unique(np.linspace(1, len(x) - 1, n_pairs).astype(int))
    return float(np.mean([np.mean(x[t] != x[t - 1]) for t in steps]))


def torch_device(method: str) -> str:
    """The device of a method "torch" or "torch:<device>", "" for the others."""
    kind, _, device = str(method).partition(":")
    return (device or "cpu") if kind == "torch" else ""


def _lag_products(x: np.ndarray, n_lags: int, method: str) -> tuple[np.ndarray, np.ndarray]:
    """<x_t, x_{t+k}> as (T, L) and the sum of x over time as (P,), exact int64 for uint8, float64 otherwise."""
    exact = x.dtype == np.uint8
    device = torch_device(method)
    if exact and device:
        import resu_torch_kernels  # torch takes seconds to load, and most who come here do without

        return resu_torch_kernels.lag_products(x, n_lags, device)
    dtype = np.int64 if exact else np.float64
    size = min(max(-(-len(x) // n_threads()), LEAST), BLOCK) if exact else BLOCK  # short episodes on all cores, too
    products = np.zeros((len(x), n_lags), dtype)
    sums = np.empty((-(-len(x) // size), x.shape[1]), dtype)
    if not exact:
        kernel = resu_moment_kernels.lag_products_f64
    elif method == "events" or (method == "auto" and changed_fraction(x) < EVENT_FRACTION):
        kernel = resu_moment_kernels.lag_products_events
    else:
        kernel = resu_moment_kernels.lag_products_u8
    for_spans(lambda a, b: kernel(x, n_lags, a, b, products, sums[a // size]), len(x), size)
    return products, sums.sum(axis=0)


@functools.cache
def _upper(n: int) -> tuple[np.ndarray, np.ndarray]:
    """Rows and columns of the upper half of an n x n matrix."""
    return np.triu_indices(n)


def count_windows(x: np.ndarray, n_lags: int, method: str = "dense") -> WindowSums:
    """Sums over every window of n_lags steps within x (T, P), uint8 or float64; method as in `LagMoments.update`."""
    exact, n_windows = x.dtype == np.uint8, len(x) - n_lags + 1
    if n_windows < 1:
        return WindowSums.nothing(n_lags, x.shape[1], exact)
    shift, exponent = np.zeros(x.shape[1]), 0
    if not exact:
        shift = x[0] + (x - x[0]).mean(axis=0)  # of a constant series exactly its value
        x = x - shift
        exponent = binary_exponent(x)
        x = times_power(x, -exponent)
    products, total = _lag_products(x, n_lags, method)
    gram, sums = np.zeros((n_lags, n_lags), products.dtype), np.empty((n_lags, x.shape[1]), products.dtype)
    if exact:  # the next position has one step more and one less: nothing is lost by counting on from there
        resu_moment_kernels.window_sums_u8(x, n_windows, total, sums)
        row, column = _upper(n_lags)
        steps = [products[:n_windows].sum(axis=0, keepdims=True), products[n_windows:] - products[: n_lags - 1]]
        gram[row, column] = gram[column, row] = np.cumsum(np.concatenate(steps), axis=0)[row, column - row]
        return WindowSums(n_windows, gram, sums, shift, exponent)
    for k in range(n_lags):
        for a in range(n_lags - k):
            gram[a, a + k] = gram[a + k, a] = products[a : a + n_windows, k].sum()
    first, last = x[: n_lags - 1], x[n_windows:]
    sums[0] = total - last.sum(axis=0)  # steps 0 .. N - 1
    for a in range(1, n_lags):
        sums[a] = sums[a - 1] - first[a - 1] + last[a - 1]
    return WindowSums(n_windows, gram, sums, shift, exponent)


class LagMoments:
    """Pooled second moments of all windows of L = m + h consecutive steps: the sufficient statistics of ReSU.

    P parallel series (the pixels of a frame) share one set of moments. Sums of uint8 are int64: any order of chunks,
    merges and subtractions gives bitwise the same moments. Any float input, or a decay below 1, turns them into float64
    for good: they are kept about each series' mean and in a power-of-two unit, so that an offset of any size costs
    nothing and chunks, merged in any order, agree to rounding (relative to the variance). A call that raises an error
    leaves everything as it was.

    Parameters
    memory      m >= 1 [steps], length of the past vector
    horizon     h >= 1 [steps], length of the future vector
    center      subtract each series' own mean (per lag, over the same windows) from the moment matrices, unless
                `matrices` is told otherwise; the sums serve both

    Attributes (a, b are positions in the window, oldest first; u is the unit of the input)
    n_windows   N, windows counted per series (a float after `decay`)
    n_series    P, 0 before the first update
    n_lags      L = m + h
    exact       True while every sum is an integer
    counted     `resu_sums.WindowSums`: the sums, and the shift and unit that they are in; None before the first update
    gram        (L, L), sum over windows and series of (y_a - shift) (y_b - shift); of uint8 shift = 0
    sums        (L, P), sum over windows of y_a - shift; None before the first update
    mean        (P,) float64, mean of each series over the past lags of all windows [u]
    C_pp, C_fp, C_ff   the matrices of `matrices` [unit^2 u^2]
    unit        1; for data that vary by more than 2^300 or less than 2^-300 (their squares would soon leave float64)
                another power of two

    Raises      ValueError if memory or horizon is not an integer of at least 1.

    >>> x = np.sin(np.arange(500.0)[:, None] / [5, 8])
    >>> moments = LagMoments(memory=3, horizon=2, center=True).update(x[:200]).update(x[200:])
    >>> moments.n_windows, moments.C_fp.shape, bool(np.allclose(moments.C_pp, moments.C_pp.T))
    (496, (2, 3), True)
    >>> far = LagMoments(memory=3, horizon=2, center=True).update(x + 1e6)
    >>> bool(np.allclose(far.C_pp, moments.C_pp, rtol=1e-8))
    True
    """

    def __init__(self, memory: int, horizon: int, center: bool = False) -> None:
        self.memory, self.horizon = as_count("memory", memory), as_count("horizon", horizon)
        self.center = bool(center)
        self.counted: WindowSums | None = None
        self._tail: np.ndarray | None = None  # the last L - 1 steps of the open episode

    @property
    def n_lags(self) -> int:
        """L = m + h."""
        return self.memory + self.horizon

    @property
    def n_series(self) -> int:
        """P, or 0 before the first update."""
        return 0 if self.counted is None else self.counted.n_series

    @property
    def n_windows(self) -> int | float:
        """N, windows counted per series."""
        return 0 if self.counted is None else self.counted.n

    @property
    def exact(self) -> bool:
        """True while every sum is an integer."""
        return self.counted is None or self.counted.exact

    @property
    def gram(self) -> np.ndarray:
        """(L, L) int64 or float64, read-only."""
        return np.zeros((self.n_lags, self.n_lags), np.int64) if self.counted is None else self.counted.gram

    @property
    def sums(self) -> np.ndarray | None:
        """(L, P) int64 or float64, read-only, or None before the first update."""
        return None if self.counted is None else self.counted.sums

    @property
    def unit(self) -> float:
        """The power of two in which `matrices` measures the input."""
        return 1.0 if self.counted is None else self.counted.unit

    # --- counting ---

    def update(self, x: np.ndarray, new_episode: bool = False, method: str = "auto") -> Self:
        """Count every window that ends in the new steps.

        x            (T, P) uint8 or float, any T; (T,) counts as one series
        new_episode  False: x continues the episode of the last call, windows across the seam count
        method       "auto", "dense", "events" or "torch:<device>" ("torch:cuda"): how uint8 sums are computed; the
                     result does not depend on it
        Raises       ValueError if x has another shape or dtype, is not finite or beyond 1e300; OverflowError beyond
                     2^63.
        """
        x = as_series(x)
        if method not in ("auto", "dense", "events") and not torch_device(method):
            raise ValueError(f"method must be 'auto', 'dense', 'events' or 'torch:<device>', not {method!r}")
        if self.counted is not None and x.shape[1] != self.n_series:
            raise ValueError(f"x has {x.shape[1]} series per step, but these moments hold {self.n_series}")
        edge = self.n_lags - 1
        tail = x[:0] if new_episode or self._tail is None else self._tail
        if tail.dtype != x.dtype:  # an episode that mixes uint8 and float
            tail, x = tail.astype(np.float64), x.astype(np.float64)
        seam = np.concatenate([tail, x[:edge]])  # holds every window that starts in the tail
        counted = count_windows(seam, self.n_lags)
        piece = CHUNK if x.dtype == np.uint8 else max(CHUNK // x.shape[1], BLOCK)
        for start in range(0, len(x) - edge, piece):  # neither all products nor all centred numbers are held at once
            counted = counted.plus(count_windows(x[start : start + piece + edge], self.n_lags, method))
        self.counted = counted if self.counted is None else self.counted.plus(counted)
        self._tail = (x if len(x) >= edge else np.concatenate([tail, x]))[-edge:].copy()
        return self

    def end_episode(self) -> Self:
        """Close the open episode: what comes next begins anew."""
        self._tail = None
        return self

    def _combinable(self, other: LagMoments) -> None:
        if not isinstance(other, LagMoments):
            raise ValueError(f"expected LagMoments, not {type(other).__name__}")
        if (other.memory, other.horizon) != (self.memory, self.horizon):
            raise ValueError(
                f"moments of memory {other.memory}, horizon {other.horizon} do not combine with "
                f"memory {self.memory}, horizon {self.horizon}"
            )
        if other.n_series != self.n_series and self.n_series and other.n_series:
            raise ValueError(f"moments of {other.n_series} series do not combine with moments of {self.n_series}")

    def merge(self, other: LagMoments) -> Self:
        """Add the windows that `other` counted. This object's open episode stays open; the other's is not joined.

        Raises   ValueError if memory, horizon or the number of series differ; OverflowError beyond 2^63.
        """
        self._combinable(other)
        if other.counted is not None:
            self.counted = other.counted if self.counted is None else self.counted.plus(other.counted)
        return self

    def subtract(self, other: LagMoments) -> Self:
        """Take away the windows that `other` counted: the exact inverse of `merge` for uint8.

        Of floats, what is left is as accurate as rounding of what was there before.
        Raises   ValueError as `merge`, or if `other` counted more windows than this object.
        """
        self._combinable(other)
        if other.n_windows > self.n_windows:
            raise ValueError(f"cannot subtract {other.n_windows} windows from {self.n_windows}")
        if self.counted is not None and other.counted is not None:
            self.counted = self.counted.minus(other.counted)
        return self

    def decay(self, alpha: float) -> Self:
        """Multiply every sum and the count by alpha in (0, 1]; 1 changes nothing, below 1 the sums become float64.

        Raises   ValueError if alpha is no number in (0, 1].
        """
        return self.weigh(as_decay(alpha))

    def weigh(self, factor: float) -> Self:
        """Multiply every sum and the count by factor > 0, as `decay`: what comes then weighs less, or more, beside it.

        Raises   ValueError if factor is no positive finite number.
        """
        if not 0 < factor < np.inf:
            raise ValueError(f"factor must be a positive finite number, not {factor!r}")
        if factor != 1 and self.counted is not None:
            self.counted = self.counted.times(factor)
        return self

    def copy(self) -> LagMoments:
        """An independent copy, open episode included."""
        twin = LagMoments(self.memory, self.horizon, self.center)
        twin.counted, twin._tail = self.counted, self._tail  # neither is ever changed in place
        return twin

    # --- results ---

    def _some(self) -> WindowSums:
        if self.counted is None or self.n_windows <= 0:
            raise ValueError(f"no window of {self.n_lags} steps counted yet")
        return self.counted

    @property
    def mean(self) -> np.ndarray:
        """(P,) float64: mean of each series over the past lags of all windows."""
        return self._some().mean(self.memory)

    def window_moment(self, center: bool | None = None) -> np.ndarray:
        """(L, L) float64: mean over windows and series of y_a y_b, positions oldest first.

        center   True: of the centred series, False: of the series as they are; default: as constructed
        Raises   ValueError if no window was counted.
        """
        return self._some().moment(self.center if center is None else center)

    def matrices(self, center: bool | None = None) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """C_pp (m, m), newest first; C_fp (h, m), rows t+1 .. t+h, columns t .. t-m+1; C_ff (h, h), t+1 first.

        center   as in `window_moment`
        Raises   ValueError if no window was counted.
        """
        joint, m = self.window_moment(center), self.memory
        parts = joint[:m, :m][::-1, ::-1], joint[m:, :m][:, ::-1], joint[m:, m:]
        past, cross, future = (np.ascontiguousarray(part) for part in parts)
        return past, cross, future

    @property
    def C_pp(self) -> np.ndarray:  # noqa: N802
        """(m, m) float64, newest first."""
        return self.matrices()[0]

    @property
    def C_fp(self) -> np.ndarray:  # noqa: N802
        """(h, m) float64: rows t+1 .. t+h, columns t .. t-m+1."""
        return self.matrices()[1]

    @property
    def C_ff(self) -> np.ndarray:  # noqa: N802
        """(h, h) float64, t+1 first."""
        return self.matrices()[2]

    def __eq__(self, other: object) -> bool:
        """Same counted windows, bit for bit (the open episode and `center` do not matter)."""
        if not isinstance(other, LagMoments):
            return NotImplemented
        if (self.memory, self.horizon) != (other.memory, other.horizon):
            return False
        if self.counted is None or other.counted is None:
            return self.counted is other.counted
        return self.counted.same(other.counted)

    __hash__ = None  # type: ignore[assignment]

    # --- files ---

    def save(self, path: resu_files.PathLike) -> None:
        """Write moments and open episode to an .npz file (no pickle, atomic)."""
        counted = WindowSums.nothing(self.n_lags, 0) if self.counted is None else self.counted
        resu_files.write_npz(
            path,
            kind=FORMAT,
            memory=self.memory,
            horizon=self.horizon,
            center=self.center,
            n_series=self.n_series,
            n_windows=counted.n,
            gram=counted.gram,
            sums=counted.sums,
            shift=counted.shift,
            exponent=counted.exponent,
            has_tail=self._tail is not None,
            tail=np.zeros((0, 0)) if self._tail is None else self._tail,
        )

    @classmethod
    def load(cls, path: resu_files.PathLike) -> LagMoments:
        """Read a file of `save`, also of the version before.

        Raises   FileNotFoundError, or ValueError if the file is damaged or holds something else.
        """
        names = ("kind", "memory", "horizon", "center", "n_windows", "gram", "n_series", "sums", "has_tail", "tail")
        data = resu_files.read_npz(path, names)
        if str(data["kind"]) not in (FORMAT, FORMAT_BEFORE):
            raise ValueError(f"{path} holds {data['kind']}, not lag moments of a known version")
        try:
            moments, series = (
                cls(data["memory"].item(), data["horizon"].item(), bool(data["center"])),
                int(data["n_series"]),
            )
            if str(data["kind"]) == FORMAT_BEFORE:  # its sums are about zero
                data |= {"shift": np.zeros(series), "exponent": np.array(0)}
            if series:
                moments.counted = _checked_sums(data, moments.n_lags, series)
            if data["has_tail"]:
                moments._tail = as_series(data["tail"])
                if len(moments._tail) >= moments.n_lags or moments._tail.shape[1] != series:
                    raise ValueError(f"an open episode of shape {moments._tail.shape}")
        except (KeyError, ValueError, TypeError) as error:
            raise ValueError(f"{path} is not a consistent file of lag moments ({error})") from error
        return moments


def _checked_sums(data: dict[str, np.ndarray], n_lags: int, n_series: int) -> WindowSums:
    """The sums in a file of `LagMoments.save`. Raises ValueError if something does not fit."""
    gram, sums, shift, n = data["gram"], data["sums"], data["shift"], data["n_windows"].item()
    if (gram.shape, sums.shape, shift.shape) != ((n_lags, n_lags), (n_lags, n_series), (n_series,)):
        raise ValueError(f"shapes {gram.shape}, {sums.shape}, {shift.shape} for {n_lags} lags and {n_series} series")
    if gram.dtype not in (np.int64, np.float64) or sums.dtype != gram.dtype or shift.dtype != np.float64:
        raise ValueError(f"sums of {gram.dtype}, {sums.dtype}, {shift.dtype}")
    if not (n >= 0 and all(np.isfinite(array).all() for array in (gram, sums, shift))):
        raise ValueError("a sum or the number of windows is not finite or negative")
    return WindowSums(n, gram, sums, shift, int(data["exponent"]))
