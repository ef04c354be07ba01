"""Options of the library's classes, checked in one place: whole numbers, yes or no, pooling grids, ridges.

What is refused is named in one sentence. Nothing is rounded: 2.5 units are a mistake, and so is True as a number.
"""

from __future__ import annotations

import operator
from typing import Any

import numpy as np


def whole(name: str, value: Any, least: int = 1, most: int | None = None) -> int:
    """value as an int of at least `least` and at most `most` (None: no bound).

    Raises   ValueError naming `name` for fractions, floats, booleans, text and numbers out of range.
    """
    try:
        number = operator.index(value) if not isinstance(value, (bool, np.bool_)) else None
    except TypeError:
        number = None
    if number is None or number < least or (most is not None and number > most):
        span = f"of at least {least}" if most is None else f"in {least} .. {most}"
        raise ValueError(f"{name} must be an integer {span}, not {value!r}")
    return number


def flag(name: str, value: Any) -> bool:
    """value as a bool. Raises ValueError naming `name` for anything that is neither True nor False."""
    if not isinstance(value, (bool, np.bool_)):
        raise ValueError(f"{name} must be True or False, not {value!r}")
    return bool(value)


def relative(name: str, value: Any) -> float:
    """value as a finite float of at least 0 [1]. Raises ValueError naming `name` for anything else."""
    real = isinstance(value, (int, float, np.integer, np.floating)) and not isinstance(value, bool)
    if not real or not 0 <= value < np.inf:
        raise ValueError(f"{name} must be a finite number of at least 0, not {value!r}")
    return float(value)


def pooling_grid(value: Any) -> tuple[int, int]:
    """value as (rows, columns) of pooling cells. Raises ValueError unless it is two whole numbers of at least 1."""
    try:
        rows, columns = value
        return whole("rows", rows), whole("columns", columns)
    except (TypeError, ValueError) as error:
        raise ValueError(f"grid must be two positive whole numbers (rows, columns), not {value!r}") from error
