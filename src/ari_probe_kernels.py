"""The compiled loops of AtariARI's probes: softmax over columns in groups, one group per variable, and Adam."""

from __future__ import annotations

import math

import numpy as np

from resu_numba import njit


@njit(fastmath={"contract"}, error_model="numpy")
def subtract_largest(logits, edges):
    """logits (n, C) float32, in place: the largest of each row's group taken off; group v is edges[v]:edges[v + 1]."""
    for i in range(logits.shape[0]):
        row = logits[i]
        for v in range(edges.size - 1):
            largest = row[edges[v]]
            for j in range(edges[v] + 1, edges[v + 1]):
                largest = max(largest, row[j])
            for j in range(edges[v], edges[v + 1]):
                row[j] -= largest


@njit(fastmath={"contract"}, error_model="numpy")
def softmax_gradient(powers, edges, targets):
    """powers (n, C) float32, e to the logits, in place: the gradient of the cross-entropy's mean by the logits.

    edges    (V + 1,) int64, of the groups      targets   (n, V) int64: the column of each variable's label
    """
    share = np.float32(1.0 / powers.shape[0])
    for i in range(powers.shape[0]):
        row = powers[i]
        for v in range(edges.size - 1):
            total = np.float32(0.0)
            for j in range(edges[v], edges[v + 1]):
                total += row[j]
            factor = share / total
            for j in range(edges[v], edges[v + 1]):
                row[j] *= factor
            row[targets[i, v]] -= share


@njit(fastmath={"contract"}, error_model="numpy")
def adam(weights, gradient, first, second, rates, step, eps):
    """One step of Adam with betas .9 and .999, in place.

    weights, gradient, first, second   (D, C) float32: parameters, their gradient, its moments
    rates   (C,) float32, a rate per column      step   1, 2, 3, ...      eps   added to the root
    """
    of_first, of_second = np.float32(1 - 0.9**step), np.float32(1 / math.sqrt(1 - 0.999**step))
    old_1, new_1 = np.float32(0.9), np.float32(0.1)
    old_2, new_2 = np.float32(0.999), np.float32(0.001)
    least = np.float32(eps)
    for d in range(weights.shape[0]):
        w, g, m, s = weights[d], gradient[d], first[d], second[d]
        for j in range(w.size):
            m[j] = old_1 * m[j] + new_1 * g[j]
            s[j] = old_2 * s[j] + new_2 * g[j] * g[j]
            w[j] -= rates[j] / of_first * m[j] / (np.sqrt(s[j]) * of_second + least)


@njit(fastmath={"contract"}, error_model="numpy")
def largest_of_groups(logits, edges, chosen):
    """chosen (n, V) int64, filled: the column with the largest of logits (n, C) in each group, the first of equals."""
    for i in range(logits.shape[0]):
        row = logits[i]
        for v in range(edges.size - 1):
            best = edges[v]
            for j in range(edges[v] + 1, edges[v + 1]):
                if row[j] > row[best]:
                    best = j
            chosen[i, v] = best
