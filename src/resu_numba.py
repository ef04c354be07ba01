"""Numba's compiler as this library uses it: what was compiled is kept on disk, wherever a folder can be written.

Numba compiles a function anew when its own file has changed, though it holds copies of functions from other files.
Here it does so when any file of kernels has changed: a newer version never runs what an older one left.
"""

from __future__ import annotations

import functools
import hashlib
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numba

COMPILED = not numba.config.DISABLE_JIT  # type: ignore[attr-defined]  # else kernels run as plain Python


def njit(**options: Any) -> Callable[[Callable[..., Any]], Any]:
    """numba.njit with a cache on disk; without one where neither the source's folder nor Numba's can be written.

    options   of numba.njit
    Warns     RuntimeWarning, once, that everything is compiled anew in every process, and what to do about it.
    """

    def compiled(function: Callable[..., Any]) -> Any:
        try:
            return _stamped(numba.njit(cache=True, **options)(function))
        except RuntimeError as error:  # "cannot cache function: no locator available"
            if "cache" not in str(error):
                raise
            _warn()
            return numba.njit(**options)(function)

    return compiled


def _stamped(dispatcher: Any) -> Any:
    """The dispatcher, what it keeps being valid for these sources alone."""
    if COMPILED:  # else it is the plain function
        index = dispatcher._cache._cache_file  # Numba has no public name for it; what the file on disk begins with
        index._source_stamp = (index._source_stamp, _sources())
    return dispatcher


@functools.cache
def _sources() -> str:
    """A hash of all files of kernels."""
    found = hashlib.sha256()
    for path in sorted(Path(__file__).parent.glob("*_kernels.py")):
        found.update(path.read_bytes())
    return found.hexdigest()


@functools.cache
def _warn() -> None:
    warnings.warn(
        "compiled code cannot be kept, so every process compiles it anew (some 10 s): "
        "set the environment variable NUMBA_CACHE_DIR to a folder that can be written",
        RuntimeWarning,
        stacklevel=4,
    )
