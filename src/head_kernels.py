"""Numba loop of dense layers on inputs of which few differ from the last one. Arrays in, arrays out."""

from __future__ import annotations

import numpy as np

from resu_numba import njit


@njit(fastmath={"contract"})
def _add_rows(weight, chosen, factors, n, total):
    """total (D_out,) += sum over i < n of factors[i] * weight[chosen[i]], four rows at a time."""
    whole = n - n % 4
    for i in range(0, whole, 4):
        a, b, c, d = weight[chosen[i]], weight[chosen[i + 1]], weight[chosen[i + 2]], weight[chosen[i + 3]]
        of_a, of_b, of_c, of_d = factors[i], factors[i + 1], factors[i + 2], factors[i + 3]
        for j in range(total.size):
            total[j] += of_a * a[j] + of_b * b[j] + of_c * c[j] + of_d * d[j]
    for i in range(whole, n):
        row, factor = weight[chosen[i]], factors[i]
        for j in range(total.size):
            total[j] += factor * row[j]


@njit()
def dense_layers(x, last, image, weights, chosen, factors, out):
    """Affine layers with rectified ones in between, at the cost of the entries of x that differ from the last input.

    x, last   (D,) float32 input, and the last one, whose first affine image is `image` (D_1,) float64: updated to x's
    weights   per layer (D_in + 1, D_out) float32: transposed weights, then the biases (unused in the first layer)
    chosen, factors   (largest D_in,) int32 and float32, scratch
    out       (C,) float32, filled
    The image is kept in double precision: what rounding adds in a game is far below the last bits of a float32.
    """
    n = 0
    for d in range(x.size):
        if x[d] != last[d]:
            chosen[n], factors[n] = d, x[d] - last[d]
            last[d] = x[d]
            n += 1
    h = np.zeros(image.size, np.float32)
    _add_rows(weights[0], chosen, factors, n, h)
    for i in range(h.size):
        image[i] += h[i]
        h[i] = image[i]
    for layer in range(1, len(weights)):
        weight = weights[layer]
        n = 0
        for d in range(h.size):
            if h[d] > 0:
                chosen[n], factors[n] = d, h[d]
                n += 1
        h = weight[weight.shape[0] - 1].copy()
        _add_rows(weight, chosen, factors, n, h)
    out[:] = h
