"""Principal directions of many columns, by scikit-learn's randomised SVD; what they keep is measured, not assumed.

T steps, D columns, d components.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from sklearn.utils.extmath import randomized_svd

from resu_checks import as_count, row_blocks
from resu_vector_moments import TINY, column_means


def refuse_constant(constant: np.ndarray) -> None:
    """constant   (D,) bool. Raises ValueError naming the first column that is."""
    others = int(constant.sum()) - 1
    if others >= 0:
        more = f" (and {others} more)" if others else ""
        raise ValueError(
            f"column {int(np.argmax(constant))} is constant{more}: leave it out, or set constant_columns='ignore'"
        )


def principal_directions(
    episodes: list[np.ndarray],
    n_components: int,
    random_state: Any = 0,
    constant_columns: str = "ignore",
    **options: Any,
) -> tuple[np.ndarray, np.ndarray, float]:
    """The leading principal directions of the columns over all steps.

    One centred copy of the steps is made: float64 if any of them are, else float32.
    episodes          arrays (T, D) as `resu_checks.as_vectors` gives them, one at least
    n_components      d, at most D and at most the number of steps
    random_state      of the randomised SVD: an integer, None or a NumPy RandomState
    constant_columns  "ignore" or "refuse"
    options           further ones of scikit-learn's `randomized_svd`
    Returns  (d, D) float64, orthonormal rows; (D,) float64 means; share of the variance that the rows keep  [1]
    Raises   ValueError if d is too large, if nothing varies, or if a column is constant and that is refused.
    """
    episodes = [x for x in episodes if len(x)] or episodes[:1]
    columns, steps = episodes[0].shape[1], sum(map(len, episodes))
    n = as_count("n_components", n_components, min(columns, steps), "min(columns, steps)")
    means = np.stack([column_means(x) for x in episodes])
    offset = means[0] + np.average(means - means[0], axis=0, weights=[len(x) for x in episodes])
    largest, variances = 0.0, np.zeros(columns)
    for x in episodes:
        for rows in row_blocks(x):
            y = x[rows] - offset
            variances += (y**2).sum(axis=0) / steps
            largest = max(largest, float(np.abs(y).max()))
    if constant_columns == "refuse":
        refuse_constant(variances <= TINY)
    if variances.sum() <= TINY:
        raise ValueError("the input has no variance (it is constant): nothing to fit")
    double = any(x.dtype.kind == "f" and x.dtype.itemsize > 4 for x in episodes)
    centred, start = np.empty((steps, columns), np.float64 if double else np.float32), 0
    for x in episodes:
        for rows in row_blocks(x):
            y = (x[rows] - offset) / largest  # squares must not leave float32
            centred[start : start + len(y)] = y
            start += len(y)
    found = randomized_svd(centred, n, random_state=random_state, **options)[2]
    q, r = np.linalg.qr(found.T.astype(np.float64))  # rows of float32 are orthonormal to 1e-7 only
    components = (q * np.where(np.diag(r) < 0, -1.0, 1.0)).T
    kept = sum(float((((x[rows] - offset) @ components.T) ** 2).sum()) for x in episodes for rows in row_blocks(x))
    return components, offset, min(kept / steps / float(variances.sum()), 1.0)
