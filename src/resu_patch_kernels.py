"""The compiled loops of the layers above the first: 3 x 3 patches of maps over some steps. Arrays in, arrays out.

T frames of H x W pixels, P = H * W, S steps, M input maps, K units, C pooling cells.

A layer's input is a ring of S centred maps (S, H + 2, W + 2, M) float32, zero outside the screen, with step t in row
t mod S.
A response is one float32 sum in a fixed order, kept as an integer multiple of 2^-16, so that pooled sums are exact
integers: a pixel is evaluated only in steps in which one of its S * 9 * M inputs changes, and any way of cutting time
into blocks, offline or online, gives the same bits.
"""

import numpy as np
from numba import njit, prange

from resu_layer1_kernels import advance_events, begin_events, write_all

FRACTION = 65_536  # a response is stored in steps of 1 / FRACTION of the unit's standard deviation
GROUP = 8  # pixels that are evaluated side by side
LARGEST = np.float32(32_000)  # responses are clipped here, thousands of standard deviations away


@njit(cache=True)
def _evaluate(ring, newest, weights, corners, responses):
    """responses (GROUP, K) float32 of GROUP pixels, whose patches begin at corners (GROUP,) of a flattened map.

    weights  (S, 3, 3M, K), newest step first. Each response is summed in the same order, whatever its company; a
    group's sums run side by side because one alone would wait for each of its additions.
    """
    n_steps, _, width, n_units = weights.shape
    row = ring.shape[2] * ring.shape[3]
    responses[:] = 0
    for j in range(n_steps):
        image = ring[(newest - j) % n_steps].reshape(ring.shape[1] * row)
        for dy in range(3):
            for i in range(width):
                filters = weights[j, dy, i]
                for g in range(GROUP):
                    value = image[corners[g] + dy * row + i]
                    for u in range(n_units):
                        responses[g, u] += value * filters[u]


@njit(cache=True)
def _mark(changed, n_changed, newest, n_steps, height, width, last_change, active, n_active):
    """Put the 3 x 3 neighbours of every changed pixel on the active list; returns its length."""
    for i in range(n_changed):
        y, x = changed[i] // width, changed[i] % width
        for near_y in range(max(y - 1, 0), min(y + 2, height)):
            for near_x in range(max(x - 1, 0), min(x + 2, width)):
                p = near_y * width + near_x
                if last_change[p] < newest - n_steps + 1:
                    active[n_active] = p
                    n_active += 1
                last_change[p] = newest
    return n_active


@njit(cache=True)
def _patch_step(ring, newest, weights, cell_of, response, sums, last_change, active, n_active, changed):
    """Evaluate the active pixels at step `newest`; returns (n_active, number of pixels now in `changed`).

    response (P, K) int32 and sums (C, 2K) int64 are brought up to date; changed (P,) lists the pixels that moved.
    """
    n_steps, n_units = weights.shape[0], weights.shape[3]
    n_maps, row = ring.shape[3], ring.shape[2] * ring.shape[3]
    width = ring.shape[2] - 2
    fresh = np.empty((GROUP, n_units), np.float32)
    corners = np.empty(GROUP, np.int64)
    n_kept, n_changed = 0, 0
    for start in range(0, n_active, GROUP):
        for g in range(GROUP):
            p = active[min(start + g, n_active - 1)]
            corners[g] = (p // width) * row + (p % width) * n_maps
        _evaluate(ring, newest, weights, corners, fresh)
        for g in range(min(GROUP, n_active - start)):
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
    return n_kept, n_changed


@njit(cache=True)
def _write_map(response, changed, n_changed, unit, mean, image):
    """Centred ON and OFF values of the changed pixels: response (P, K) int32 times unit (K,), minus mean (P, 2K)."""
    n_units = response.shape[1]
    width = image.shape[1] - 2
    for i in range(n_changed):
        p = changed[i]
        place = image[p // width + 1, p % width + 1]
        for u in range(n_units):
            value = response[p, u] * unit[u]
            place[u] = np.float32(max(value, 0.0)) - mean[p, u]
            place[n_units + u] = np.float32(max(-value, 0.0)) - mean[p, n_units + u]


@njit(cache=True)
def _patch_layers(step, fresh, changed, n_changed, lower, unit, weights, means, cell_of, rings, responses, sums,
                  last_changes, actives, n_actives):  # fmt: skip
    """Carry the changes of layer 1 up through the layers above at one step.

    step      of the newest frame; fresh: it begins an episode (or a block): everything is evaluated and all earlier
              steps count as equal to this one
    changed   (P,) int32, its first n_changed entries: pixels whose layer-1 response may have changed; overwritten
    lower     (P, K1) int32 responses of layer 1, unit (K1,) float64 their value
    weights, means, rings, ...   one array per layer, lowest first
    """
    n_layers = len(weights)
    height, width = rings[0].shape[1] - 2, rings[0].shape[2] - 2
    scale = unit
    for i in range(n_layers):
        n_steps = weights[i].shape[0]
        ring = rings[i]
        row = step % n_steps
        if fresh:
            n_changed = height * width
            for p in range(n_changed):
                changed[p] = p
                actives[i][p] = p
                last_changes[i][p] = step - n_steps
            n_actives[i] = n_changed
            ring[:] = 0
            responses[i][:] = 0
            sums[i][:] = 0
        else:
            ring[row] = ring[(step - 1) % n_steps]
            n_actives[i] = _mark(
                changed, n_changed, step, n_steps, height, width, last_changes[i], actives[i], n_actives[i]
            )
        _write_map(lower, changed, n_changed, scale, means[i], ring[row])
        if fresh:
            for j in range(n_steps):
                if j != row:
                    ring[j] = ring[row]
        n_actives[i], n_changed = _patch_step(
            ring, step, weights[i], cell_of, responses[i], sums[i], last_changes[i], actives[i], n_actives[i], changed
        )
        lower = responses[i]
        scale = np.full(lower.shape[1], 1.0 / FRACTION)


@njit(cache=True, parallel=True)
def encode_layers(
    frames, first, lead, taps, offsets, unit, gain, weights, means, gains, shape, cell_of, block, pooled, maps
):
    """All layers over the frames from `first` on of one episode.

    frames    (T, P) uint8        shape  (H, W)        lead  steps that a block looks back before its first frame
    taps, offsets, unit, gain     of layer 1, as in `resu_layer1_kernels`
    weights   tuple of (S, 3, 3M, K) float32, means tuple of (P, M) float32, gains tuple of (C, 2K) float64: the layers
              above, lowest first
    pooled    tuple of (T - first, 2K C) float32, one per layer from layer 1 on, filled; or of no column: left alone
    maps      (T - first, P, K) int32, filled with the topmost layer's responses in steps of 1 / FRACTION; or of no row
    """
    n_frames, n_pixels = frames.shape
    n_taps, n_filters = taps.shape
    n_layers = len(weights)
    for b in prange((n_frames - first + block - 1) // block):
        start, stop = first + b * block, min(first + (b + 1) * block, n_frames)
        response = np.empty((n_pixels, n_filters), np.int32)
        first_sums = np.empty(gain.shape, np.int64)
        places = np.empty((n_taps, n_pixels), np.int32)
        jumps = np.empty((n_taps, n_pixels), np.int16)
        counts, stamp, changed = np.empty(n_taps, np.int64), np.empty(n_pixels, np.int64), np.empty(n_pixels, np.int32)
        rings = [np.empty((w.shape[0], shape[0] + 2, shape[1] + 2, w.shape[2] // 3), np.float32) for w in weights]
        responses = [np.empty((n_pixels, w.shape[3]), np.int32) for w in weights]
        sums = [np.empty(g.shape, np.int64) for g in gains]
        last_changes = [np.empty(n_pixels, np.int64) for _ in weights]
        actives = [np.empty(n_pixels, np.int32) for _ in weights]
        n_actives = np.zeros(n_layers, np.int64)
        begin = max(start - lead, 0)
        n_changed = 0
        for t in range(begin, stop):
            if t == begin:
                begin_events(frames, t, taps, offsets, cell_of, response, first_sums, places, jumps, counts, stamp)
            else:
                n_changed = advance_events(
                    frames[t - 1], frames[t], t, taps, cell_of, response, first_sums, places, jumps, counts, stamp,
                    changed,
                )  # fmt: skip
            _patch_layers(
                t, t == begin, changed, n_changed, response, unit, weights, means, cell_of, rings, responses, sums,
                last_changes, actives, n_actives,
            )  # fmt: skip
            if t < start:
                continue
            if pooled[0].shape[1] > 0:
                write_all(first_sums, gain, pooled[0][t - first])
            for i in range(n_layers):
                if pooled[i + 1].shape[1] > 0:
                    write_all(sums[i], gains[i], pooled[i + 1][t - first])
            if maps.shape[0] > 0:
                maps[t - first] = responses[n_layers - 1]


@njit(cache=True)
def encode_layers_step(
    step, fresh, changed, n_changed, lower, unit, weights, means, cell_of, rings, responses, sums, last_changes,
    actives, n_actives, gain, out,
):  # fmt: skip
    """One online step of the layers above, after layer 1 has moved on; the same numbers as `encode_layers`.

    step, fresh     steps since the environment's episode began; this is its first
    changed         the pixels that layer 1 lists as moved; overwritten       gain, out   of the topmost layer
    """
    _patch_layers(
        step, fresh, changed, n_changed, lower, unit, weights, means, cell_of, rings, responses, sums, last_changes,
        actives, n_actives,
    )  # fmt: skip
    write_all(sums[len(sums) - 1], gain, out)
