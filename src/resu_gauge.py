"""The gauge of a code: what a head that learned to read one encoder can go on reading once the encoder has moved on.

A refit changes filters, gains and means; a head that was trained before reads numbers that mean something else now. The
old filters F (K, m) are sought in the span of the new ones G (K', m): A G, with the A that leaves least of the old
responses over the windows of some moments C (m, m). By least squares (' is the transpose)

    A = F C G' (G C G')^-1,     lost = diag((F - A G) C (F - A G)') / diag(F C F').

Where K' = m the span holds everything: A G = F, nothing of what was learned is in it.
"""

from __future__ import annotations

import copy

import numpy as np
from scipy import linalg

from resu_conv import ReSUEncoder
from resu_moments import LagMoments


def regauged(old: ReSUEncoder, new: ReSUEncoder, moments: LagMoments | None = None) -> tuple[ReSUEncoder, np.ndarray]:
    """The old encoder as far as the new filters hold it: with filters A G, the old means and the old grid.

    old, new  of one layer, of the same memory; both stay as they are
    moments   over which windows the old responses are to be kept: those of the new encoder, if not given
    Returns   the encoder; (K,) the share of each old response's variance that the new filters do not hold  [1]
    Raises    ValueError if one of them is not fitted or has more layers, if memories differ, if there are no moments (a
              loaded encoder has none), or if an old response or every new one does not vary over them.

    >>> rng = np.random.default_rng(0)
    >>> before, after = (rng.integers(0, 9, (300, 12, 10)).cumsum(axis=0) % 251 for _ in range(2))
    >>> old = ReSUEncoder(memory=4, horizon=4, n_units=4, grid=(3, 2)).fit([before.astype(np.uint8)])
    >>> new = ReSUEncoder(memory=4, horizon=4, n_units=4, grid=(3, 2)).fit([after.astype(np.uint8)])
    >>> kept, lost = regauged(old, new)                 # as many filters as taps: nothing can be lost
    >>> bool(np.allclose(kept.filters_, old.filters_)), lost.round(9).tolist()
    (True, [0.0, 0.0, 0.0, 0.0])
    """
    for encoder in (old, new):
        if encoder.n_layers != 1:
            raise ValueError("the gauge is that of the first layer: n_layers must be 1")
    if old.memory != new.memory:
        raise ValueError(f"an encoder of memory {new.memory} cannot stand for one of memory {old.memory}")
    if moments is None:
        moments = getattr(new, "moments_", None)
    if moments is None:
        raise ValueError("the new encoder has no moments (a saved file keeps only the filters): give some")
    if moments.memory != old.memory:
        raise ValueError(f"these moments have memory {moments.memory}, the encoders {old.memory}")
    past, was, now = moments.C_pp, old.filters_, new.filters_
    size = np.einsum("ki,ij,kj->k", was, past, was)
    if not (size > 0).all():
        raise ValueError(f"old filter {int(np.argmin(size)) + 1} responds to nothing in these windows")
    mixed = linalg.lstsq(_root(past) @ now.T, _root(past) @ was.T)[0].T @ now
    apart = was - mixed
    lost = np.clip(np.einsum("ki,ij,kj->k", apart, past, apart) / size, 0.0, 1.0)
    if (lost > 1 - 1e-9).any():
        raise ValueError(f"the new filters hold nothing of old filter {int(np.argmax(lost)) + 1} in these windows")
    return copy.copy(old).with_filters(mixed, old.mean_), lost


def _root(covariance: np.ndarray) -> np.ndarray:
    """A square root of a covariance (m, m)."""
    values, vectors = linalg.eigh(covariance)
    return np.sqrt(np.maximum(values, 0))[:, None] * vectors.T
