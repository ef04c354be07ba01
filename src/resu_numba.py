"""Numba's compiler as this library uses it: what was compiled is kept on disk, wherever a folder can be written."""

from __future__ import annotations

import functools
import warnings
from collections.abc import Callable
from typing import Any

import numba


def njit(**options: Any) -> Callable[[Callable[..., Any]], Any]:
    """numba.njit with a cache on disk; without one where neither the source's folder nor Numba's can be written.

    options   of numba.njit
    Warns     RuntimeWarning, once, that everything is compiled anew in every process, and what to do about it.
    """

    def compiled(function: Callable[..., Any]) -> Any:
        try:
            return numba.njit(cache=True, **options)(function)
        except RuntimeError as error:  # "cannot cache function: no locator available"
            if "cache" not in str(error):
                raise
            _warn()
            return numba.njit(**options)(function)

    return compiled


@functools.cache
def _warn() -> None:
    warnings.warn(
        "compiled code cannot be kept, so every process compiles it anew (some 10 s): "
        "set the environment variable NUMBA_CACHE_DIR to a folder that can be written",
        RuntimeWarning,
        stacklevel=4,
    )
