"""Moments of vector series: exact, mergeable second moments of all windows, each column with every other.

T steps, D columns, m memory, h horizon, L = m + h lags, N windows, E episodes; a <= b are positions in the window,
oldest first, y_a the vector there.

What is kept. The moment of a window has L^2 blocks (D, D). Blocks of one lag k = b - a sum the same products
x_t x_{t+k}', but for some at the ends of each episode. So L matrices are kept, those of (0, k), and the first and last
L - 1 steps of each episode, from which the others follow exactly: L D^2 + 2 (L - 1) D E numbers, not L^2 D^2.

Exactness. Integers up to 2^24 in size are multiplied by float64 BLAS in blocks whose sums stay below 2^53, and added in
int64: chunks, merges and episodes in any order give the same bits. Floats are read as float64 and summed about a
provisional mean of each column, which moves as parts are added (Chan, Golub and LeVeque 1983), so that an offset
costs nothing; there, orders agree to rounding. Time goes into L products X'X per block of steps.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Self

import numpy as np

import resu_files
from resu_checks import as_count, as_vectors, largest_integer, row_blocks

BLOCK = 4096  # steps per product of BLAS, at most
NUMBERS = 1 << 25  # numbers held in float64 at a time, about
TINY = 1e-280  # variance below which squares lose digits: taken for none
FORMAT = "VectorMoments-1"


def _product(left: np.ndarray, right: np.ndarray, largest: int) -> np.ndarray:
    """left' right (D, D) of float64 (n, D): as int64, exactly, if they hold integers of size `largest` > 0."""
    if not largest:
        return left.T @ right
    size = max(2**53 // largest**2, 1)
    total = np.zeros((left.shape[1], right.shape[1]), np.int64)
    for start in range(0, len(left), size):
        total += (left[start : start + size].T @ right[start : start + size]).astype(np.int64)
    return total


def column_means(x: np.ndarray) -> np.ndarray:
    """(D,) float64 means of x (T, D) with T >= 1: of a constant column exactly its value."""
    first = x[0].astype(np.float64)
    return first + sum((x[rows] - first).sum(axis=0) for rows in row_blocks(x)) / len(x)


@dataclass(frozen=True, eq=False)
class VectorSums:
    """What was counted in n windows. Nothing in it ever changes: every operation gives a new one.

    n        N
    lagged   (L, D, D) int64 or float64, sum over windows of (y_0 - shift) (y_k - shift)'
    sums     (L, D), sum over windows of y_k - shift
    shift    (D,) float64, zeros while the sums are those of integers as they came
    largest  of integers the size of the largest (at least 1), of floats 0
    """

    n: int
    lagged: np.ndarray
    sums: np.ndarray
    shift: np.ndarray
    largest: int

    def __post_init__(self) -> None:
        for array in (self.lagged, self.sums, self.shift):
            array.setflags(write=False)  # copies share them

    @property
    def exact(self) -> bool:
        """True while every sum is an integer."""
        return self.largest > 0

    def plus(self, other: VectorSums) -> VectorSums:
        """The windows of both. Raises OverflowError if integers would pass 2^62."""
        n = self.n + other.n
        if self.exact and other.exact:
            largest = max(self.largest, other.largest)
            if n * largest**2 >= 2**62:
                raise OverflowError(f"{self.n} windows of numbers up to {largest} are all that 64 bits hold exactly")
            return VectorSums(n, self.lagged + other.lagged, self.sums + other.sums, self.shift, largest)
        a, b = self.as_float(), other.as_float()
        shift = a.centre() + (b.centre() - a.centre()) * (b.n / n)  # equal centres stay what they are, bit for bit
        a, b = a.about(shift), b.about(shift)
        return VectorSums(n, a.lagged + b.lagged, a.sums + b.sums, shift, 0)

    def centre(self) -> np.ndarray:
        """(D,) float64: the mean at the oldest position; of integers the whole number next to it."""
        mean = self.sums[0] / self.n
        return np.rint(mean) if self.exact else self.shift + mean

    def as_float(self) -> VectorSums:
        """The same windows in float64, about the mean."""
        if not self.exact:
            return self
        part = self.about(self.centre())
        return VectorSums(part.n, part.lagged.astype(np.float64), part.sums.astype(np.float64), part.shift, 0)

    def about(self, shift: np.ndarray) -> VectorSums:
        """The same windows about another shift (D,), which is whole for integers: then exact, as they are."""
        if np.array_equal(shift, self.shift):
            return self
        apart = (self.shift - shift).astype(self.sums.dtype)  # int64 may wrap on the way: what comes out does not
        lagged = np.empty_like(self.lagged)
        for k in range(len(lagged)):
            np.multiply.outer(self.sums[0] + self.n * apart, apart, out=lagged[k])
            lagged[k] += self.lagged[k] + np.multiply.outer(apart, self.sums[k])
        return VectorSums(self.n, lagged, self.sums + self.n * apart, shift, 2 * self.largest)


def _pieces(tail: np.ndarray, x: np.ndarray, edge: int) -> Iterator[np.ndarray]:
    """float64 arrays of steps, fresh ones: each window of edge + 1 steps of [tail, x] lies in exactly one."""
    seam = np.concatenate([tail, x[:edge].astype(np.float64)])
    if len(seam) > edge:
        yield seam
    size = min(max(NUMBERS // x.shape[1], 64), BLOCK)
    for start in range(0, len(x) - edge, size):
        yield x[start : start + size + edge].astype(np.float64)


def count_windows(tail: np.ndarray, x: np.ndarray, n_lags: int, exact: bool) -> VectorSums | None:
    """Sums over the windows of n_lags steps in [tail, x], tail (< L, D) float64, x (T, D); None if there are none.

    exact   both hold integers of at most 2^24: sums are exact
    """
    n, columns = len(tail) + len(x) - n_lags + 1, x.shape[1]
    if n < 1 or not len(x):
        return None
    largest = max(1, largest_integer(x), int(np.abs(tail).max(initial=0))) if exact else 0
    if n * largest**2 >= 2**62:
        raise OverflowError(f"{n} windows of numbers up to {largest} are more than 64 bits hold exactly")
    dtype = np.int64 if exact else np.float64
    shift = np.zeros(columns) if exact else column_means(x)
    lagged, sums = np.zeros((n_lags, columns, columns), dtype), np.zeros((n_lags, columns), dtype)
    for y in _pieces(tail, x, n_lags - 1):
        y -= shift
        windows = len(y) - n_lags + 1
        for k in range(n_lags):
            lagged[k] += _product(y[:windows], y[k : k + windows], largest)
            sums[k] += y[k : k + windows].sum(axis=0).astype(dtype)
    return VectorSums(n, lagged, sums, shift, largest)


class VectorMoments:
    """Second moments of all windows of L = m + h consecutive steps of D columns: the sufficient statistics of a
    `resu_vector.VectorReSU`.

    Integers (booleans, too) give the same bits for any order of chunks and merges; any float input turns the sums into
    float64 for good. A call that raises an error leaves everything as it was.

    Parameters
    memory      m >= 1 [steps], length of the past
    horizon     h >= 1 [steps], length of the future
    center      subtract each column's own mean (per lag, over the same windows), unless `matrices` is told otherwise

    Attributes
    n_windows   N, windows counted
    n_columns   D, 0 before the first update
    n_lags      L = m + h
    exact       True while every sum is an integer
    counted     `VectorSums`, None before the first window
    mean        (D,) float64, mean of each column over the past lags of all windows

    Raises      ValueError if memory or horizon is not an integer of at least 1.

    >>> x = np.random.default_rng(0).integers(0, 9, (500, 3))
    >>> whole = VectorMoments(memory=2, horizon=1, center=True).update(x)
    >>> whole == VectorMoments(2, 1).update(x[:200]).update(x[200:])         # bit for bit
    True
    >>> [matrix.shape for matrix in whole.matrices()]
    [(6, 6), (3, 6), (3, 3)]
    """

    def __init__(self, memory: int, horizon: int, center: bool = False) -> None:
        self.memory, self.horizon = as_count("memory", memory), as_count("horizon", horizon)
        self.center = bool(center)
        self.n_columns, self.exact = 0, True
        self.counted: VectorSums | None = None
        self._edges: tuple[np.ndarray, ...] = ()  # (2, L - 1, D) each: first and last steps of closed episodes
        self._open: tuple[np.ndarray, np.ndarray, int] | None = None  # first, last steps of the open one; its length

    @property
    def n_lags(self) -> int:
        """L = m + h."""
        return self.memory + self.horizon

    @property
    def n_windows(self) -> int:
        """N, windows counted."""
        return 0 if self.counted is None else self.counted.n

    # --- counting ---

    def update(self, x: Any, new_episode: bool = False) -> Self:
        """Count every window that ends in the new steps.

        x            (T, D) integers or floats, any T; (T,) counts as one column
        new_episode  False: x continues the episode of the last call, windows across the seam count
        Raises       ValueError if x has another width or dtype, is not finite or beyond 1e140; OverflowError beyond
                     2^62.
        """
        x = as_vectors(x)
        if self.n_columns and x.shape[1] != self.n_columns:
            raise ValueError(f"x has {x.shape[1]} columns, but these moments hold {self.n_columns}")
        edge, exact = self.n_lags - 1, self.exact and (x.dtype.kind in "iu" or not len(x))
        edges, nothing = self._edges, np.zeros((0, x.shape[1]))
        if new_episode or self._open is None:
            edges, opened = self._all_edges(), (nothing, nothing, 0)
        else:
            opened = self._open
        head, tail, length = opened
        added = count_windows(tail, x, self.n_lags, exact)
        if added is not None:
            self.counted = added if self.counted is None else self.counted.plus(added)
        head = np.concatenate([head, x[: edge - len(head)].astype(np.float64)])
        tail = np.concatenate([tail, x[-edge:].astype(np.float64)])[-edge:]
        self._edges, self._open = edges, (head, tail, length + len(x))
        self.n_columns, self.exact = x.shape[1], exact
        return self

    def end_episode(self) -> Self:
        """Close the open episode: what comes next begins anew."""
        self._edges, self._open = self._all_edges(), None
        return self

    def _all_edges(self) -> tuple[np.ndarray, ...]:
        """Those of the open episode, too, once it holds a window."""
        if self._open is None or self._open[2] < self.n_lags:
            return self._edges
        return (*self._edges, np.stack(self._open[:2]))

    def merge(self, other: VectorMoments) -> Self:
        """Add the windows that `other` counted. This object's open episode stays open; the other's is not joined.

        Raises   ValueError if memory, horizon or the number of columns differ; OverflowError beyond 2^62.
        """
        if not isinstance(other, VectorMoments):
            raise ValueError(f"expected VectorMoments, not {type(other).__name__}")
        if (other.memory, other.horizon) != (self.memory, self.horizon):
            raise ValueError(
                f"moments of memory {other.memory}, horizon {other.horizon} do not combine with "
                f"memory {self.memory}, horizon {self.horizon}"
            )
        if other.n_columns != self.n_columns and self.n_columns and other.n_columns:
            raise ValueError(f"moments of {other.n_columns} columns do not combine with moments of {self.n_columns}")
        edges = self._edges + other._all_edges()
        if other.counted is not None:
            self.counted = other.counted if self.counted is None else self.counted.plus(other.counted)
        self._edges, self.exact = edges, self.exact and other.exact
        self.n_columns = self.n_columns or other.n_columns
        return self

    def copy(self) -> VectorMoments:
        """An independent copy, open episode included."""
        twin = VectorMoments(self.memory, self.horizon, self.center)
        vars(twin).update(vars(self))  # nothing in it is ever changed in place
        return twin

    # --- results ---

    def _some(self) -> VectorSums:
        if self.counted is None:
            raise ValueError(f"no window of {self.n_lags} steps counted yet")
        return self.counted

    @property
    def mean(self) -> np.ndarray:
        """(D,) float64: mean of each column over the past lags of all windows."""
        some = self._some()
        return some.shift + some.sums[: self.memory].sum(axis=0) / (self.memory * some.n)

    def _ends(self, shift: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """First and last L - 1 steps of each episode about a shift (D,), (E, L - 1, D) float64 each."""
        both = np.stack(self._all_edges()) - shift
        return both[:, 0], both[:, 1]

    def is_constant(self) -> np.ndarray:
        """(D,) bool: columns that are the same at every step of every window, or vary by less than about 1e-140."""
        some = self._some()
        shift = some.centre() if some.exact else some.shift  # of a constant column its value
        apart = (some.shift - shift).astype(some.sums.dtype)
        oldest = np.diagonal(some.lagged[0]) + (2 * some.sums[0] + some.n * apart) * apart
        first, last = self._ends(shift)
        drift = np.cumsum((last**2 - first**2).sum(axis=0), axis=0)
        return (oldest + np.concatenate([drift[:1] * 0, drift]) <= TINY * some.n).all(axis=0)

    def _blocks(self, center: bool, rows: Sequence[int], columns: Sequence[int]) -> np.ndarray:
        """Means of y_a y_b', positions a of `rows` down, b of `columns` to the right, as one matrix of float64."""
        some, d = self._some(), self.n_columns
        part = some if center and not some.exact else some.about(some.centre() if center else np.zeros(d))
        first, last = self._ends(part.shift)

        def block(a: int, b: int) -> np.ndarray:
            if a > b:
                return block(b, a).T
            left = np.concatenate([last[:, :a], first[:, :a]]).reshape(-1, d)
            right = np.concatenate([last[:, b - a : b], -first[:, b - a : b]]).reshape(-1, d)
            total = part.lagged[b - a] + _product(left, right, part.largest)
            if center:
                total = total - np.multiply.outer(part.sums[a].astype(np.float64), part.sums[b] / part.n)
            return total / part.n

        found = np.empty((len(rows) * d, len(columns) * d))
        for i, a in enumerate(rows):
            for j, b in enumerate(columns):
                if rows == columns and j < i:
                    found[i * d : (i + 1) * d, j * d : (j + 1) * d] = found[j * d : (j + 1) * d, i * d : (i + 1) * d].T
                else:
                    found[i * d : (i + 1) * d, j * d : (j + 1) * d] = block(a, b)
        return found

    def matrices(self, center: bool | None = None, past_only: int = 0) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """C_pp (m D, m D), newest step first; C_fp (h D, m D), rows t+1 .. t+h; C_ff (h D, h D), t+1 first.

        center     True: of the centred columns, False: of the columns as they are; default: as constructed
        past_only  j < D: the last j columns are left out of the future, of which h (D - j) numbers remain
        Raises     ValueError if no window was counted.
        """
        center = self.center if center is None else center
        past, future = list(range(self.memory))[::-1], list(range(self.memory, self.n_lags))
        kept = np.arange(self.horizon * self.n_columns) % self.n_columns < self.n_columns - past_only
        c_fp, c_ff = self._blocks(center, future, past), self._blocks(center, future, future)
        return self._blocks(center, past, past), c_fp[kept], c_ff[np.ix_(kept, kept)]

    def __eq__(self, other: object) -> bool:
        """Same counted windows, bit for bit (the open episode and `center` do not matter)."""
        if not isinstance(other, VectorMoments):
            return NotImplemented
        if (self.memory, self.horizon, self.n_windows) != (other.memory, other.horizon, other.n_windows):
            return False
        a, b = self.counted, other.counted
        if a is None or b is None:
            return a is b
        if not all(np.array_equal(getattr(a, name), getattr(b, name)) for name in ("lagged", "sums", "shift")):
            return False
        ours, theirs = (moments.matrices(center=False) for moments in (self, other))
        return all(map(np.array_equal, ours, theirs))

    __hash__ = None  # type: ignore[assignment]

    # --- files ---

    def arrays(self) -> dict[str, Any]:
        """All that it holds, open episode included, as `from_arrays` takes it."""
        d, edge = self.n_columns, self.n_lags - 1
        counted = self.counted or VectorSums(
            0, np.zeros((self.n_lags, d, d)), np.zeros((self.n_lags, d)), np.zeros(d), 0
        )
        head, tail, length = self._open or (np.zeros((0, d)), np.zeros((0, d)), -1)
        edges = np.stack(self._edges) if self._edges else np.zeros((0, 2, edge, d))
        sums = {name: getattr(counted, name) for name in ("n", "lagged", "sums", "shift", "largest")}
        options = {name: getattr(self, name) for name in ("memory", "horizon", "center", "exact")}
        return options | sums | {"edges": edges, "head": head, "tail": tail, "length": length}

    @classmethod
    def from_arrays(cls, data: Mapping[str, Any]) -> VectorMoments:
        """Moments from what `arrays` gave. Raises KeyError, TypeError or ValueError if something does not fit."""
        data = {name: np.asarray(value) for name, value in data.items()}
        moments = cls(data["memory"].item(), data["horizon"].item(), bool(data["center"]))
        lags, edge, d, n = moments.n_lags, moments.n_lags - 1, data["lagged"].shape[-1], data["n"].item()
        head, tail, length, largest = data["head"], data["tail"], data["length"].item(), data["largest"].item()
        here = min(max(length, 0), edge)
        shapes = {"lagged": (lags, d, d), "sums": (lags, d), "shift": (d,), "head": (here, d), "tail": (here, d)}
        shapes["edges"] = (len(data["edges"]), 2, edge, d)
        for name, shape in shapes.items():
            dtype = np.dtype(np.int64 if largest and name in ("lagged", "sums") else np.float64)
            array = data[name]
            if array.shape != shape or array.dtype != dtype or not np.isfinite(array).all():
                raise ValueError(f"{name} is {array.dtype} of shape {array.shape} or not finite")
        if n < 0 or largest < 0 or length < -1 or (n > 0) != bool(len(data["edges"]) or length > edge):
            raise ValueError(f"{n} windows in {len(data['edges'])} episodes and {length} open steps")
        if n:
            moments.counted = VectorSums(n, data["lagged"], data["sums"], data["shift"], largest)
        moments.n_columns, moments.exact, moments._edges = d, bool(data["exact"]), tuple(data["edges"])
        moments._open = (head, tail, length) if length >= 0 else None
        return moments

    def save(self, path: resu_files.PathLike) -> None:
        """Write moments and open episode to an .npz file (no pickle, atomic)."""
        resu_files.write_npz(path, kind=FORMAT, **self.arrays())

    @classmethod
    def load(cls, path: resu_files.PathLike) -> VectorMoments:
        """Read a file of `save`. Raises FileNotFoundError, or ValueError if it is damaged or holds something else."""
        data = resu_files.read_npz(path, ("kind",))
        if str(data.pop("kind")) != FORMAT:
            raise ValueError(f"{path} does not hold moments of vectors of a known version")
        try:
            return cls.from_arrays(data)
        except (KeyError, TypeError, ValueError, IndexError) as error:
            raise ValueError(f"{path} is not a consistent file of moments of vectors ({error})") from error
