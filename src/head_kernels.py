"""Numba loop of dense layers on inputs of which few differ from the last one. Arrays in, arrays out."""

from __future__ import annotations

import numpy as np
from numba import njit


@njit(cache=True)
def dense_layers(x, last, image, weights, out):
    """Affine layers with rectified ones in between, at the cost of the entries of x that differ from the last input.

    x, last   (D,) float32 input, and the last one, whose first affine image is `image` (D_1,) float64: updated to x's
    weights   per layer (D_in + 1, D_out) float32: transposed weights, then the biases (unused in the first layer)
    out       (C,) float32, filled
    The image is kept in double precision: what rounding adds in a game is far below the last bit of a float32.
    """
    first = weights[0]
    for d in range(x.size):
        if x[d] != last[d]:
            difference = np.float64(x[d]) - np.float64(last[d])
            last[d] = x[d]
            for i in range(image.size):
                image[i] += difference * first[d, i]
    h = image.astype(np.float32)
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
