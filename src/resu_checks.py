"""What may come in: counts, flags, grids, factors, series; anything else is refused with one clear sentence."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np

LARGEST = 1e300  # floats beyond could not be centred: differences and their sums would overflow
LARGEST_SQUARED = 1e140  # sums of squares of floats beyond could overflow
LARGEST_EXACT = 1 << 24  # integers up to here are counted exactly: sums of 32 products stay below 2^53


def _is_number(value: Any) -> bool:
    return isinstance(value, (int, float, np.integer, np.floating)) and not isinstance(value, bool)


def as_ridge(ridge: Any, name: str = "ridge") -> float:
    """ridge as a float. Raises ValueError naming `name` if it is no finite number of at least 0."""
    if not _is_number(ridge) or not 0 <= ridge < np.inf:
        raise ValueError(f"{name} must be a finite number of at least 0, not {ridge!r}")
    return float(ridge)


def as_choice(name: str, value: Any, choices: tuple[str, ...]) -> str:
    """value, one of some words. Raises ValueError naming `name` if it is none of them."""
    if not isinstance(value, str) or value not in choices:
        raise ValueError(f"{name} must be {' or '.join(map(repr, choices))}, not {value!r}")
    return str(value)


def as_decay(alpha: Any) -> float:
    """alpha as a float. Raises ValueError if it is no number in (0, 1]."""
    if not _is_number(alpha) or not 0 < alpha <= 1:
        raise ValueError(f"alpha must lie in (0, 1], not {alpha!r}")
    return float(alpha)


def as_count(name: str, value: Any, most: int | None = None, of: str = "", least: int = 1) -> int:
    """value as an int of at least `least` and at most `most`, which `of` explains.

    Raises   ValueError naming `name` if it is anything else, a fraction or a boolean included.
    """
    whole = isinstance(value, (int, np.integer)) and not isinstance(value, bool)
    if not whole or value < least or (most is not None and value > most):
        allowed = f"of at least {least}" if most is None else f"from {least} to {of}{' = ' if of else ''}{most}"
        raise ValueError(f"{name} must be an integer {allowed}, not {value!r}")
    return int(value)


def as_flag(name: str, value: Any) -> bool:
    """value as a bool. Raises ValueError naming `name` if it is neither True nor False."""
    if not isinstance(value, (bool, np.bool_)):
        raise ValueError(f"{name} must be True or False, not {value!r}")
    return bool(value)


def as_grid(value: Any) -> tuple[int, int]:
    """value as (rows, columns) of pooling cells. Raises ValueError if it is not two whole numbers of at least 1."""
    try:
        rows, columns = value
        return as_count("rows", rows), as_count("columns", columns)
    except (TypeError, ValueError) as error:
        raise ValueError(f"grid must be two positive whole numbers (rows, columns), not {value!r}") from error


def _as_table(x: Any, letter: str, columns: str) -> np.ndarray:
    """x as (T, P), P >= 1: (T,) becomes (T, 1). Raises ValueError in these words."""
    x = np.asarray(x)
    if x.ndim == 1:
        x = x[:, None]
    if x.ndim != 2:
        raise ValueError(f"expected an array (T,) or (T, {letter}), not one of shape {x.shape}")
    if not x.shape[1]:
        raise ValueError(f"the input has no {columns}: shape {x.shape}")
    return x


def as_series(x: Any) -> np.ndarray:
    """x as (T, P), C-contiguous uint8 or finite float64; (T,) becomes (T, 1).

    Raises   ValueError naming what is wrong: dimensions, no series, dtype, NaN or infinity, numbers beyond 1e300.
    """
    x = _as_table(x, "P", "series")
    if x.dtype == np.uint8:
        return np.ascontiguousarray(x)
    if x.dtype.kind not in "fiub":
        raise ValueError(f"expected uint8 or real numbers, not dtype {x.dtype}")
    x = np.ascontiguousarray(x, np.float64)
    if not np.isfinite(x).all():
        raise ValueError(f"the input holds NaN or infinity, first at step {int(np.argmin(np.isfinite(x).all(axis=1)))}")
    if np.abs(x).max(initial=0) > LARGEST:
        raise ValueError(f"the input holds numbers beyond {LARGEST:g}, the largest {np.abs(x).max():g}: rescale it")
    return x


def refuse_few_windows(windows: int, lags: int, width: int, of: str, holding: str) -> None:
    """Raises ValueError if there are fewer than lags * width windows, or none.

    width, of   how many of what a step holds         holding   who has the windows
    """
    needed = lags * width
    if windows < max(needed, 1):
        few = f"{holding} {windows} windows of memory + horizon = {lags}, too few for {width} {of}"
        raise ValueError(f"{few}: at least {needed} are needed")


def row_blocks(x: np.ndarray, numbers: int = 1 << 22) -> Iterator[slice]:
    """Spans of rows of x (T, D) that hold about `numbers` numbers each, so that no second array of its size is made."""
    size = max(numbers // max(x.shape[1], 1), 1)
    return (slice(start, start + size) for start in range(0, len(x), size))


def as_vectors(x: Any) -> np.ndarray:
    """x as (T, D), of its own dtype: integers (booleans as uint8) of at most 2^24, or finite floats up to 1e140.

    (T,) becomes (T, 1); larger integers become float64. Nothing is copied but for that.
    Raises   ValueError naming what is wrong: dimensions, no columns, dtype, NaN or infinity, numbers beyond 1e140.
    """
    x = _as_table(x, "D", "columns")
    if x.dtype.kind not in "fiub":
        raise ValueError(f"expected integers or real numbers, not dtype {x.dtype}")
    if x.dtype == np.bool_:
        return x.view(np.uint8)
    if x.dtype.kind in "iu":
        return x.astype(np.float64) if largest_integer(x) > LARGEST_EXACT else x
    for rows in row_blocks(x):
        largest = float(max(x[rows].max(), -x[rows].min()))
        if not np.isfinite(largest):
            step = rows.start + int(np.argmin(np.isfinite(x[rows]).all(axis=1)))
            raise ValueError(f"the input holds NaN or infinity, first at step {step}")
        if largest > LARGEST_SQUARED:
            raise ValueError(f"the input holds numbers beyond {LARGEST_SQUARED:g}, such as {largest:g}: rescale it")
    return x


def largest_integer(x: np.ndarray) -> int:
    """The largest size of the integers x (T, D), 0 of none."""
    return max(int(x.max()), -int(x.min())) if x.size else 0
