"""Lag moments: exact, mergeable second moments of all windows of a set of parallel series.

T steps, P parallel series, m memory, h horizon, L = m + h lags, N windows. Pooled over series, every moment is a sum of
inner products d_k(t) = <x_t, x_{t+k}>, k = 0 .. L - 1: L products per step, not L^2.
"""

from __future__ import annotations

from typing import Any, Self

import numpy as np

import resu_files
import resu_moment_kernels

BLOCK = 1024  # frames per parallel block; results do not depend on it for integers
CHUNK = 1 << 17  # steps whose products are held at a time
EVENT_FRACTION = 0.006  # below this share of changed pixels the event-driven pass is the faster (bench_core.py)


def changed_fraction(x: np.ndarray, n_pairs: int = 64) -> float:
    """Share of entries of x (T, P) that differ from the step before, over about n_pairs evenly spaced steps."""
    if len(x) < 2:
        return 1.0
    steps = np.unique(np.linspace(1, len(x) - 1, n_pairs).astype(int))
    return float(np.mean([np.mean(x[t] != x[t - 1]) for t in steps]))


def torch_device(method: str) -> str:
    """The device of a method "torch" or "torch:<device>", "" for the others."""
    kind, _, device = method.partition(":")
    return (device or "cpu") if kind == "torch" else ""


def _lag_products(x: np.ndarray, n_lags: int, method: str) -> tuple[np.ndarray, np.ndarray]:
    """<x_t, x_{t+k}> as (T, L) and the sum of x over time as (P,), exact int64 for uint8, float64 otherwise."""
    exact = x.dtype == np.uint8
    device = torch_device(method)
    if exact and device:
        import resu_torch_kernels  # torch takes seconds to load, and most who come here do without

        return resu_torch_kernels.lag_products(x, n_lags, device)
    dtype = np.int64 if exact else np.float64
    n_blocks = -(-len(x) // BLOCK)
    products = np.zeros((len(x), n_lags), dtype)
    sums = np.empty((n_blocks, x.shape[1]), dtype)
    if not exact:
        kernel = resu_moment_kernels.lag_products_f64
    elif method == "events" or (method == "auto" and changed_fraction(x) < EVENT_FRACTION):
        kernel = resu_moment_kernels.lag_products_events
    else:
        kernel = resu_moment_kernels.lag_products_u8
    kernel(x, n_lags, BLOCK, products, sums)
    return products, sums.sum(axis=0)


class LagMoments:
    """Pooled second moments of all windows of L = m + h consecutive steps: the sufficient statistics of ReSU.

    P parallel series (the pixels of a frame) share one set of moments. For uint8 input everything kept is an int64,
    so that any order of chunks, merges and subtractions gives bitwise the same moments. Any float input, or a decay
    below 1, turns the sums into float64 for good.

    memory    m >= 1, steps in the past vector       horizon  h >= 1, steps in the future vector
    center    subtract each series' own mean (per lag, over the same windows) from the moment matrices; the sums serve
              both cases, so it can be switched at any time
    Attributes (a, b are positions in the window, oldest first):
    n_windows   N, windows counted per series (a float after `decay`)
    gram        (L, L), sum over windows and series of y_a y_b
    sums        (L, P), sum over windows of y_a
    """

    def __init__(self, memory: int, horizon: int, center: bool = False) -> None:
        for name, value in (("memory", memory), ("horizon", horizon)):
            if not isinstance(value, (int, np.integer)) or value < 1:
                raise ValueError(f"{name} must be an integer of at least 1, not {value!r}")
        self.memory, self.horizon, self.center = int(memory), int(horizon), bool(center)
        self.n_windows: int | float = 0
        self.gram: np.ndarray = np.zeros((self.n_lags, self.n_lags), np.int64)
        self.sums: np.ndarray | None = None
        self._tail: np.ndarray | None = None  # the last L - 1 steps of the open episode

    @property
    def n_lags(self) -> int:
        """L = m + h."""
        return self.memory + self.horizon

    @property
    def n_series(self) -> int:
        """P, or 0 before the first update."""
        return 0 if self.sums is None else self.sums.shape[1]

    @property
    def exact(self) -> bool:
        """True while every sum is an integer."""
        return self.gram.dtype == np.int64

    def update(self, x: np.ndarray, new_episode: bool = False, method: str = "auto") -> Self:
        """Count every window that ends in the new steps.

        x            (T, P) uint8 or float, any T; (T,) counts as one series
        new_episode  False: x continues the episode of the last call, windows across the seam count
        method       "auto", "dense", "events" or "torch:<device>" ("torch:cuda"): how uint8 sums are computed; the
                     result does not depend on it
        Raises       ValueError if x has another shape or dtype, or is not finite; OverflowError beyond 2^63.
        """
        x = as_series(x)
        if method not in ("auto", "dense", "events") and not torch_device(method):
            raise ValueError(f"method must be 'auto', 'dense', 'events' or 'torch:<device>', not {method!r}")
        if self.sums is not None and x.shape[1] != self.n_series:
            raise ValueError(f"x has {x.shape[1]} series per step, but these moments hold {self.n_series}")
        if self.exact and (float(self.n_windows) + len(x)) * x.shape[1] * 255.0**2 >= 2.0**63:
            raise OverflowError(f"{self.n_windows} windows of {x.shape[1]} series are all that 64 bits hold exactly")
        if self.sums is None:
            self.sums = np.zeros((self.n_lags, x.shape[1]), np.int64)
        if x.dtype != np.uint8:
            self._to_float()
        if new_episode:
            self._tail = None
        if len(x) > CHUNK:  # products of all steps need not be held at once
            for start in range(0, len(x), CHUNK):
                self.update(x[start : start + CHUNK], method=method)
            return self
        if len(x) == 0:
            return self
        tail = x[:0] if self._tail is None else self._tail
        if tail.dtype != x.dtype:  # an episode that mixes uint8 and float
            tail, x = tail.astype(np.float64), x.astype(np.float64)
        seam = np.concatenate([tail, x[: self.n_lags - 1]])  # holds every window that starts in the tail
        self._count(seam, "dense")
        if len(x) >= self.n_lags:
            self._count(x, method)
            self._tail = x[1 - self.n_lags :].copy() if self.n_lags > 1 else x[:0].copy()
        else:
            self._tail = np.concatenate([tail, x])[1 - self.n_lags :].copy()
        return self

    def end_episode(self) -> Self:
        """Close the open episode: what comes next begins anew."""
        self._tail = None
        return self

    def _count(self, x: np.ndarray, method: str) -> None:
        """Add every window that lies within x (T, P)."""
        n_windows = len(x) - self.n_lags + 1
        if n_windows < 1:
            return
        assert self.sums is not None
        products, total = _lag_products(x, self.n_lags, method)
        for k in range(self.n_lags):
            for a in range(self.n_lags - k):
                value = products[a : a + n_windows, k].sum()
                self.gram[a, a + k] += value
                if k:
                    self.gram[a + k, a] += value
        wide = x[: self.n_lags - 1].astype(self.sums.dtype), x[n_windows:].astype(self.sums.dtype)
        row = total - wide[1].sum(axis=0)  # steps 0 .. N - 1
        self.sums[0] += row
        for a in range(1, self.n_lags):
            row = row - wide[0][a - 1] + wide[1][a - 1]
            self.sums[a] += row
        self.n_windows += n_windows

    def _to_float(self) -> None:
        if self.exact:
            self.gram = self.gram.astype(np.float64)
            self.sums = None if self.sums is None else self.sums.astype(np.float64)

    def _combine(self, other: LagMoments, sign: int) -> Self:
        if not isinstance(other, LagMoments):
            raise ValueError(f"expected LagMoments, not {type(other).__name__}")
        if (other.memory, other.horizon) != (self.memory, self.horizon):
            raise ValueError(
                f"moments of memory {other.memory}, horizon {other.horizon} do not combine with "
                f"memory {self.memory}, horizon {self.horizon}"
            )
        if other.sums is None:
            return self
        if self.sums is not None and other.n_series != self.n_series:
            raise ValueError(f"moments of {other.n_series} series do not combine with moments of {self.n_series}")
        if sign < 0 and other.n_windows > self.n_windows:
            raise ValueError(f"cannot subtract {other.n_windows} windows from {self.n_windows}")
        if not other.exact:
            self._to_float()
        if self.exact and (float(self.n_windows) + other.n_windows) * other.n_series * 255.0**2 >= 2.0**63:
            raise OverflowError(f"{self.n_windows} windows of {self.n_series} series are all that 64 bits hold exactly")
        self.gram = self.gram + sign * other.gram.astype(self.gram.dtype)
        counted = np.zeros_like(other.sums) if self.sums is None else self.sums
        self.sums = counted.astype(self.gram.dtype) + sign * other.sums.astype(self.gram.dtype)
        self.n_windows += sign * other.n_windows
        return self

    def merge(self, other: LagMoments) -> Self:
        """Add the windows that `other` counted. This object's open episode stays open; the other's is not joined.

        Raises   ValueError if memory, horizon or the number of series differ.
        """
        return self._combine(other, +1)

    def subtract(self, other: LagMoments) -> Self:
        """Take away the windows that `other` counted: the exact inverse of `merge`.

        Raises   ValueError as `merge`, or if `other` counted more windows than this object.
        """
        return self._combine(other, -1)

    def decay(self, alpha: float) -> Self:
        """Multiply every sum and the count by alpha in (0, 1]; 1 changes nothing, below 1 the sums become float64."""
        if not 0 < alpha <= 1:
            raise ValueError(f"alpha must lie in (0, 1], not {alpha!r}")
        if alpha < 1 and self.sums is not None:
            self._to_float()
            self.gram *= alpha
            self.sums *= alpha
            self.n_windows *= alpha
        return self

    def copy(self) -> LagMoments:
        """An independent copy, open episode included."""
        twin = LagMoments(self.memory, self.horizon, self.center)
        twin.n_windows, twin.gram = self.n_windows, self.gram.copy()
        twin.sums = None if self.sums is None else self.sums.copy()
        twin._tail = None if self._tail is None else self._tail.copy()
        return twin

    @property
    def mean(self) -> np.ndarray:
        """(P,) float64: mean of each series over the past lags of all windows."""
        if self.sums is None or self.n_windows <= 0:
            raise ValueError("no windows counted yet")
        return self.sums[: self.memory].sum(axis=0) / (self.memory * self.n_windows)

    def window_moment(self) -> np.ndarray:
        """(L, L) float64: mean over windows and series of y_a y_b, centred if `center`; positions oldest first."""
        if self.sums is None or self.n_windows <= 0:
            raise ValueError(f"no window of {self.n_lags} steps counted yet")
        n, size = self.n_windows, self.n_windows * self.n_series
        if not self.center:
            return self.gram / size
        if not self.exact:
            return (self.gram - np.einsum("ap,bp->ab", self.sums, self.sums) / n) / size
        # Exact: move each series by the integer next to its mean, so that nothing large is left to cancel.
        shift = np.rint(self.sums.mean(axis=0) / n).astype(np.int64)
        cross = self.sums @ shift
        gram = self.gram - cross[:, None] - cross[None, :] + n * (shift @ shift)
        rest = self.sums - n * shift
        largest = max(int(rest.max()), -int(rest.min()))
        if largest * largest * self.n_series < 2**53:  # float64 holds every product and every sum exactly: use BLAS
            fast = rest.astype(np.float64)
            return (gram - (fast @ fast.T) / n) / size
        if largest * largest * self.n_series >= 2**63:  # only beyond some 10^7 windows
            rest = rest.astype(np.float64)
        return (gram - np.einsum("ap,bp->ab", rest, rest) / n) / size

    def matrices(self) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """C_pp (m, m), newest first; C_fp (h, m), rows t+1 .. t+h, columns t .. t-m+1; C_ff (h, h), t+1 first."""
        joint, m = self.window_moment(), self.memory
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
        return (
            (self.memory, self.horizon, self.n_windows) == (other.memory, other.horizon, other.n_windows)
            and np.array_equal(self.gram, other.gram)
            and (self.sums is None) == (other.sums is None)
            and (self.sums is None or other.sums is None or np.array_equal(self.sums, other.sums))
        )

    __hash__ = None  # type: ignore[assignment]

    def save(self, path: resu_files.PathLike) -> None:
        """Write moments and open episode to an .npz file (no pickle, atomic)."""
        resu_files.write_npz(
            path,
            kind="LagMoments-1",
            memory=self.memory,
            horizon=self.horizon,
            center=self.center,
            n_windows=self.n_windows,
            gram=self.gram,
            n_series=self.n_series,
            sums=np.zeros((self.n_lags, 0)) if self.sums is None else self.sums,
            has_tail=self._tail is not None,
            tail=np.zeros((0, 0)) if self._tail is None else self._tail,
        )

    @classmethod
    def load(cls, path: resu_files.PathLike) -> LagMoments:
        """Read a file of `save`.

        Raises   FileNotFoundError, or ValueError if the file is damaged or holds something else.
        """
        names = ("kind", "memory", "horizon", "center", "n_windows", "gram", "n_series", "sums", "has_tail", "tail")
        data = resu_files.read_npz(path, names)
        if str(data["kind"]) != "LagMoments-1":
            raise ValueError(f"{path} holds {data['kind']}, not lag moments of a known version")
        moments = cls(int(data["memory"]), int(data["horizon"]), bool(data["center"]))
        lags, series = moments.n_lags, int(data["n_series"])
        if data["gram"].shape != (lags, lags) or data["sums"].shape != (lags, series):
            raise ValueError(f"{path}: shapes do not fit memory {moments.memory}, horizon {moments.horizon}")
        moments.n_windows = data["n_windows"].item()
        moments.gram = data["gram"]
        moments.sums = data["sums"] if series else None
        moments._tail = data["tail"] if data["has_tail"] else None
        return moments


def as_series(x: Any) -> np.ndarray:
    """x as (T, P), C-contiguous uint8 or finite float64; (T,) becomes (T, 1).

    Raises   ValueError naming what is wrong: dimensions, dtype, NaN or infinity.
    """
    x = np.asarray(x)
    if x.ndim == 1:
        x = x[:, None]
    if x.ndim != 2:
        raise ValueError(f"expected an array (T,) or (T, P), not one of shape {x.shape}")
    if x.dtype == np.uint8:
        return np.ascontiguousarray(x)
    if x.dtype.kind not in "fiub":
        raise ValueError(f"expected uint8 or real numbers, not dtype {x.dtype}")
    x = np.ascontiguousarray(x, np.float64)
    if not np.isfinite(x).all():
        raise ValueError(f"the input holds NaN or infinity, first at step {int(np.argmin(np.isfinite(x).all(axis=1)))}")
    return x
