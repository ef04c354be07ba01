"""Numba loop of dense layers on inputs of which few differ from a reference. Arrays in, arrays out."""

from __future__ import annotations

from numba import njit


@njit(cache=True)
def dense_layers(x, reference, start, weights, out):
    """Affine layers with rectified ones in between, at the cost of the entries of x that differ from the reference.

    x, reference  (D,) float32 input, and the input whose first affine image is `start` (D_1,) float32
    weights       per layer (D_in + 1, D_out) float32: transposed weights, then the biases (unused in the first layer)
    out           (C,) float32, filled
    Sums run in a fixed order, so that equal inputs give equal bytes wherever they come from.
    """
    h = start.copy()
    first = weights[0]
    for d in range(x.size):
        difference = x[d] - reference[d]
        if difference != 0:
            for i in range(h.size):
                h[i] += difference * first[d, i]
    for layer in range(1, len(weights)):
        weight = weights[layer]
        rows = weight.shape[0] - 1
        total = weight[rows].copy()
        for d in range(rows):
            value = h[d]
            if value > 0:
                for i in range(total.size):
                    total[i] += value * weight[d, i]
        h = total
    out[:] = h
