"""Sums over windows, about a provisional mean of each series: counted apart, added, taken away, turned into moments.

P series, L lags, N windows; a, b are positions in the window, oldest first. For integers the provisional mean is zero
and every sum is an exact int64. For floats it is the series' mean, so that nothing large is left to cancel (a pairwise
update: Chan, Golub and LeVeque 1983), and the sums are kept in a power-of-two unit, so that no square overflows or
underflows.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

import resu_moment_kernels

NOTHING = -2000  # exponent of sums that are all zero: below that of any number
ORDINARY = 300  # data below 2^+-300: moments are given in the data's own unit, their squares are far from the limits


def binary_exponent(x: np.ndarray) -> int:
    """The least e with |x| < 2^e everywhere, NOTHING if x is zero or empty."""
    largest = np.abs(x).max(initial=0)
    return int(np.frexp(largest)[1]) if largest > 0 else NOTHING


def times_power(x: np.ndarray, exponent: int) -> np.ndarray:
    """x 2^exponent: exact, but where it overflows (infinite) or underflows."""
    if exponent == 0:
        return x
    return x * 2.0**exponent if abs(exponent) < 1000 else np.ldexp(x, exponent)  # the product is much faster


@dataclass(frozen=True, eq=False)
class WindowSums:
    """What was counted in n windows of P series. Nothing in it ever changes: every operation gives a new one.

    n         N, windows per series (a float after `times`)
    gram      (L, L), sum over windows and series of (y_a - shift) (y_b - shift), in units of 4^exponent
    sums      (L, P), sum over windows of y_a - shift, in units of 2^exponent
    shift     (P,) float64, zeros while the sums are int64
    exponent  0 while the sums are int64
    """

    n: int | float
    gram: np.ndarray
    sums: np.ndarray
    shift: np.ndarray
    exponent: int = 0

    def __post_init__(self) -> None:
        for array in (self.gram, self.sums, self.shift):
            array.setflags(write=False)  # copies share them

    @classmethod
    def nothing(cls, n_lags: int, n_series: int, exact: bool = True) -> WindowSums:
        """No windows of P series."""
        dtype = np.int64 if exact else np.float64
        gram, sums = np.zeros((n_lags, n_lags), dtype), np.zeros((n_lags, n_series), dtype)
        return cls(0, gram, sums, np.zeros(n_series), 0 if exact else NOTHING)

    @property
    def n_series(self) -> int:
        """P."""
        return self.sums.shape[1]

    @property
    def exact(self) -> bool:
        """True while every sum is an integer."""
        return self.gram.dtype == np.int64

    @property
    def unit(self) -> float:
        """The power of two, squared, in which `moment` is given: 1 for data between 2^-300 and 2^300."""
        return 1.0 if self._unit_exponent == 0 else float(np.ldexp(1.0, self._unit_exponent))

    @property
    def _unit_exponent(self) -> int:
        return 0 if abs(self.exponent) <= ORDINARY or self.exponent == NOTHING else self.exponent

    def same(self, other: WindowSums) -> bool:
        """Equal bit for bit."""
        return (self.n, self.exponent) == (other.n, other.exponent) and all(
            np.array_equal(getattr(self, name), getattr(other, name)) for name in ("gram", "sums", "shift")
        )

    # --- arithmetic ---

    def plus(self, other: WindowSums) -> WindowSums:
        """The windows of both. Raises OverflowError if integers would pass 2^63."""
        return self._combined(other, +1)

    def minus(self, other: WindowSums) -> WindowSums:
        """The windows of this one without those of `other`, which counted no more."""
        return self._combined(other, -1)

    def times(self, alpha: float) -> WindowSums:
        """Every window weighs alpha times as much; the sums become float64."""
        a = self.as_float()
        return WindowSums(a.n * alpha, a.gram * alpha, a.sums * alpha, a.shift, a.exponent)

    def as_float(self) -> WindowSums:
        """The same windows in float64, about each series' mean."""
        if not self.exact:
            return self
        if self.n == 0:
            return WindowSums.nothing(len(self.sums), self.n_series, exact=False)
        gram, sums, shift, _ = self._about_integers()
        exponent = 0 if gram.any() else NOTHING
        return WindowSums(self.n, gram.astype(np.float64), sums, shift.astype(np.float64), exponent)

    def _combined(self, other: WindowSums, sign: int) -> WindowSums:
        if self.exact and other.exact:
            if sign > 0 and (float(self.n) + other.n) * self.n_series * 255.0**2 >= 2.0**63:
                raise OverflowError(f"{self.n} windows of {self.n_series} series are all that 64 bits hold exactly")
            add = np.add if sign > 0 else np.subtract
            gram, sums = add(self.gram, other.gram), add(self.sums, other.sums)
            return WindowSums(self.n + sign * other.n, gram, sums, self.shift)
        a, b, n = self.as_float(), other.as_float(), self.n + sign * other.n
        if b.n == 0:
            return a
        if n == 0:
            return WindowSums.nothing(len(self.sums), self.n_series, exact=False)
        if a.n == 0:
            return b
        centre = a._centre()
        shift = centre + (b._centre() - centre) * (sign * b.n / n)  # equal centres stay what they are, bit for bit
        apart = max(binary_exponent(part.shift - shift) for part in (a, b))
        exponent = max(a.exponent, b.exponent, apart)
        a, b = a._moved(shift, exponent), b._moved(shift, exponent)
        return WindowSums(n, a.gram + sign * b.gram, a.sums + sign * b.sums, shift, exponent)

    def _centre(self) -> np.ndarray:
        """(P,) float64: mean of each series at the oldest position, which is that of all positions but for the ends."""
        return self.shift + times_power(self.sums[0] / self.n, self.exponent)

    def _moved(self, shift: np.ndarray, exponent: int) -> WindowSums:
        """The same windows of float64 sums about another shift (P,), in units of 2^exponent."""
        down = self.exponent - exponent
        gram, sums = times_power(self.gram, 2 * down), times_power(self.sums, down)
        apart = times_power(self.shift - shift, -exponent)
        cross = np.einsum("ap,p->a", sums, apart)
        gram = gram + (cross[:, None] + cross[None, :] + self.n * np.einsum("p,p->", apart, apart))
        return WindowSums(self.n, gram, sums + self.n * apart, shift, exponent)

    def _about_integers(self) -> tuple[np.ndarray, np.ndarray, np.ndarray, int]:
        """Gram (int64) and sums (float64) about the integers (P,) next to each series' mean, these, and the largest
        |sum|: all exact below 2^53, as only sums of more than 10^13 windows are not."""
        shift, rest = np.empty(self.n_series, np.int64), np.empty(self.sums.shape)
        cross = np.empty_like(self.sums[:, 0])
        largest = resu_moment_kernels.about_integers(self.sums, self.n, shift, rest, cross)
        gram = self.gram - cross[:, None] - cross[None, :] + self.n * (shift @ shift)
        return gram, rest, shift, largest

    # --- results ---

    def mean(self, n_lags: int) -> np.ndarray:
        """(P,) float64: mean of each series over the first n_lags positions of all windows."""
        total = self.sums[:n_lags].sum(axis=0) / (n_lags * self.n)
        return total if self.exact else self.shift + times_power(total, self.exponent)

    def moment(self, center: bool) -> np.ndarray:
        """(L, L) float64: mean over windows and series of y_a y_b, in units of unit^2; infinite where that overflows.

        center   y less its mean over the same windows
        """
        size = self.n * self.n_series
        if self.exact:
            return self._exact_centred() / size if center else self.gram / size
        if center:
            part, gram = self, self.gram - np.einsum("ap,bp->ab", self.sums, self.sums) / self.n
        else:
            part = self._moved(np.zeros_like(self.shift), max(self.exponent, binary_exponent(self.shift)))
            gram = part.gram
        with np.errstate(over="ignore"):
            return times_power(gram / size, 2 * (part.exponent - self._unit_exponent))

    def _exact_centred(self) -> np.ndarray:
        """(L, L) float64: gram of integers less that of the means, nothing lost to cancellation."""
        cross, products = np.empty_like(self.sums[:, 0]), np.empty(self.gram.shape)
        largest, squares = resu_moment_kernels.products_about_integers(self.sums, self.n, cross, products)
        if largest * largest * self.n_series < 2**53:  # float64 held every product and every sum exactly
            return self.gram - cross[:, None] - cross[None, :] + self.n * squares - products / self.n
        gram, rest, _, _ = self._about_integers()
        if largest * largest * self.n_series < 2**63:  # beyond, after some 10^7 windows, they are rounded
            rest = rest.astype(np.int64)
        return gram - np.einsum("ap,bp->ab", rest, rest) / self.n
