"""The compiled loops of the layers above the first: 3 x 3 patches of maps over some steps. Arrays in, arrays out.

T frames of H x W pixels, P = H * W, S steps, M input maps, K units, C pooling cells.

A layer's input is a ring of S centred maps (S, H + 2, W + 2, M) float32, zero outside the screen, with step t in row
t mod S.
A response is one float32 sum in a fixed order, kept as an integer multiple of 2^-16, so that pooled sums are exact
integers: a pixel is evaluated only in steps in which one of its S * 9 * M inputs changes, and any way of cutting time
into blocks, offline or online, gives the same bits.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from resu_layer1_kernels import Bank, advance_events, begin_events, write_all
from resu_numba import njit

FRACTION = 65_536  # a response is stored in steps of 1 / FRACTION of the unit's standard deviation
GROUP = 8  # pixels that are evaluated side by side
LARGEST = np.float32(32_000)  # responses are clipped here, thousands of standard deviations away


class Above(NamedTuple):
    """A layer above the first as it is computed.

    weights  (S, 3, 3M, K) float32, newest step first     mean  (P, M) float32     gain  (C, 2K) float64
    """

    weights: np.ndarray
    mean: np.ndarray
    gain: np.ndarray


class Patches(NamedTuple):
    """What a layer above the first knows of one stream of frames; made by `new_patches`.

    ring         (S, H + 2, W + 2, M) float32, its input        response  (P, K) int32, sums (C, 2K) int64: newest
    last_change  (P,) int64, the last step in which an input of a pixel's patch changed
    active       (P,) int32, pixels with a change in the last S steps, at the front: n_active (1,) int64 of them
    """

    ring: np.ndarray
    response: np.ndarray
    sums: np.ndarray
    last_change: np.ndarray
    active: np.ndarray
    n_active: np.ndarray


def new_patches(bank: Bank, layers: tuple[Above, ...]) -> tuple[Patches, ...]:
    """Room for one stream in each layer."""
    p, height, width = bank.cell_of.size, int(bank.row_edges[-1]), int(bank.column_edges[-1])
    return tuple(
        Patches(
            np.empty((len(layer.weights), height + 2, width + 2, layer.mean.shape[1]), np.float32),
            np.empty((p, layer.weights.shape[3]), np.int32),
            np.empty(layer.gain.shape, np.int64),
            np.empty(p, np.int64),
            np.empty(p, np.int32),
            np.zeros(1, np.int64),
        )
        for layer in layers
    )


@njit()
def _evaluate(ring, newest, weights, corners, responses):
    """responses (GROUP, K) float32 of GROUP pixels, whose patches begin at corners (GROUP,) of a flattened map.

    weights  (S, 3, 3M, K), newest step first. Each response is summed in the same order, whatever its company. A
    group's sums run side by side because one alone would wait for each of its additions, and six inputs (3M = 6 K'
    with K' units below) go together so that a sum is fetched and stored once for six products.
    """
    n_steps, _, width, n_units = weights.shape
    row = ring.shape[2] * ring.shape[3]
    responses[:] = 0
    for j in range(n_steps):
        image = ring[(newest - j) % n_steps].reshape(ring.shape[1] * row)
        for dy in range(3):
            filters = weights[j, dy]
            for i in range(0, width, 6):
                f0, f1, f2 = filters[i], filters[i + 1], filters[i + 2]
                f3, f4, f5 = filters[i + 3], filters[i + 4], filters[i + 5]
                for g in range(GROUP):
                    start = corners[g] + dy * row + i
                    values = image[start : start + 6]
                    v0, v1, v2, v3, v4, v5 = values[0], values[1], values[2], values[3], values[4], values[5]
                    sums = responses[g]
                    for u in range(n_units):
                        sums[u] = sums[u] + v0 * f0[u] + v1 * f1[u] + v2 * f2[u] + v3 * f3[u] + v4 * f4[u] + v5 * f5[u]


@njit()
def _mark(changed, newest, n_steps, patches):
    """Put the 3 x 3 neighbours of every changed pixel on the active list."""
    height, width = patches.ring.shape[1] - 2, patches.ring.shape[2] - 2
    n_active = patches.n_active[0]
    for p in changed:
        y, x = p // width, p % width
        for near_y in range(max(y - 1, 0), min(y + 2, height)):
            for near_x in range(max(x - 1, 0), min(x + 2, width)):
                near = near_y * width + near_x
                if patches.last_change[near] < newest - n_steps + 1:
                    patches.active[n_active] = near
                    n_active += 1
                patches.last_change[near] = newest
    patches.n_active[0] = n_active


@njit()
def _patch_step(newest, weights, cell_of, patches, changed):
    """Evaluate the active pixels at step `newest`; returns how many of them moved: they are now listed in `changed`.

    Response and sums are brought up to date; pixels whose patch was the same for the last S steps become inactive.
    """
    ring, response, sums, last_change, active, n_active = patches
    n_steps, n_units = weights.shape[0], weights.shape[3]
    n_maps, row = ring.shape[3], ring.shape[2] * ring.shape[3]
    width = ring.shape[2] - 2
    fresh = np.empty((GROUP, n_units), np.float32)
    corners = np.empty(GROUP, np.int64)
    n_kept, n_changed, n = 0, 0, n_active[0]
    for start in range(0, n, GROUP):
        for g in range(GROUP):
            p = active[min(start + g, n - 1)]
            corners[g] = (p // width) * row + (p % width) * n_maps
        _evaluate(ring, newest, weights, corners, fresh)
        for g in range(min(GROUP, n - start)):
            p = active[start + g]
            cell = sums[cell_of[p]]
            moved = False
            for u in range(n_units):
                value = np.int32(np.rint(min(max(fresh[g, u], -LARGEST), LARGEST) * np.float32(FRACTION)))
                old = response[p, u]
                if value != old:
                    moved = True
                    cell[u] += max(value, 0) - max(old, 0)
                    cell[n_units + u] += max(-value, 0) - max(-old, 0)
                    response[p, u] = value
            if moved:
                changed[n_changed] = p
                n_changed += 1
            if last_change[p] > newest - n_steps + 1:
                active[n_kept] = p
                n_kept += 1
    n_active[0] = n_kept
    return n_changed


@njit()
def _write_map(response, changed, unit, mean, image):
    """Centred ON and OFF values of the changed pixels: response (P, K) int32 times unit (K,), minus mean (P, 2K)."""
    n_units = response.shape[1]
    width = image.shape[1] - 2
    for p in changed:
        place = image[p // width + 1, p % width + 1]
        for u in range(n_units):
            value = response[p, u] * unit[u]
            place[u] = np.float32(max(value, 0.0)) - mean[p, u]
            place[n_units + u] = np.float32(max(-value, 0.0)) - mean[p, n_units + u]


@njit()
def _begin_patches(step, patches):
    """Everything is to be evaluated, and nothing is known of the steps before."""
    patches.n_active[0] = patches.active.size
    for p in range(patches.active.size):
        patches.active[p] = p
    patches.last_change[:] = step - patches.ring.shape[0]
    patches.ring[:] = 0
    patches.response[:] = 0
    patches.sums[:] = 0


@njit()
def advance_patches(step, fresh, events, n_changed, bank, layers, patches):
    """Carry the changes of layer 1 up through the layers above at one step.

    step      of the newest frame; fresh: it begins an episode (or a block): everything is evaluated and all earlier
              steps count as equal to this one
    events    of layer 1 at this step; of its list of moved pixels n_changed count, and the list is overwritten
    layers, patches   one `Above` and one `Patches` per layer, lowest first
    Returns   how many pixels of the topmost layer moved: they are in the list now
    """
    changed, lower, scale = events.moved, events.response, bank.unit
    for i in range(len(layers)):
        weights, state = layers[i].weights, patches[i]
        n_steps, ring = weights.shape[0], state.ring
        row = step % n_steps
        if fresh:
            _begin_patches(step, state)
            n_changed = changed.size
            for p in range(n_changed):
                changed[p] = p
        else:
            ring[row] = ring[(step - 1) % n_steps]
            _mark(changed[:n_changed], step, n_steps, state)
        _write_map(lower, changed[:n_changed], scale, layers[i].mean, ring[row])
        if fresh:
            for j in range(n_steps):
                if j != row:
                    ring[j] = ring[row]
        n_changed = _patch_step(step, weights, bank.cell_of, state, changed)
        lower = state.response
        scale = np.full(lower.shape[1], 1.0 / FRACTION)
    return n_changed


@njit()
def advance_layers(frames, t, fresh, lower, layers, patches):
    """Carry all layers from frame t - 1 to frame t, or begin at frame t: frames (T, P) uint8, lower (bank, events).

    Returns   how many pixels of the topmost layer moved, as `advance_patches`
    """
    bank, events = lower
    n_changed = 0
    if fresh:
        begin_events(frames, t, bank, events)
    else:
        n_changed = advance_events(frames[t - 1], frames[t], t, bank, events)
    return advance_patches(t, fresh, events, n_changed, bank, layers, patches)


@njit(nogil=True)
def encode_layers(frames, span, bank, events, layers, patches, pooled, maps):
    """All layers over a span of frames of one episode.

    frames    (T, P) uint8
    span      (begin, start, stop): frames start .. stop - 1 are encoded; what the layers must have seen before them
              begins at frame `begin`
    events, patches   scratch, as `new_events` and `new_patches` make it     layers  tuple of `Above`, lowest first
    pooled    tuple of (stop - start, 2K C) float32, one per layer from layer 1 on, filled; or of no column: left alone
    maps      (stop - start, P, K) int32, filled with the topmost responses in steps of 1 / FRACTION; or of no row
    """
    begin, start, stop = span
    for t in range(begin, stop):
        advance_layers(frames, t, t == begin, (bank, events), layers, patches)
        if t < start:
            continue
        if pooled[0].shape[1] > 0:
            write_all(events.sums, bank.gain, pooled[0][t - start])
        for i in range(len(layers)):
            if pooled[i + 1].shape[1] > 0:
                write_all(patches[i].sums, layers[i].gain, pooled[i + 1][t - start])
        if maps.shape[0] > 0:
            maps[t - start] = patches[len(patches) - 1].response


@njit(nogil=True)
def encode_layers_step(step, fresh, events, n_changed, bank, layers, patches, out):
    """One online step of the layers above, after layer 1 has moved on; the same numbers as `encode_layers`.

    step, fresh     steps since the environment's episode began; this is its first
    events, n_changed   as in `advance_patches`           out   (2K C,) float32, features of the topmost layer
    """
    advance_patches(step, fresh, events, n_changed, bank, layers, patches)
    top = len(layers) - 1
    write_all(patches[top].sums, layers[top].gain, out)
