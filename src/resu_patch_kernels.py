"""The compiled loops of the layers above the first: 3 x 3 patches of maps over some steps. Arrays in, arrays out.

T frames of H x W pixels, P = H * W, S steps, M input maps, K units, C pooling cells.

Everything is an integer, as in layer 1: the maps below are responses in whole steps, the weights are rounded to whole
steps, and a sum of their products stays below 2^53, where float64 is exact. So a response moves by what its inputs move
by, no order of additions matters, and any way of cutting time into blocks, offline or online, on any device, gives the
same bits.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from resu_layer1_kernels import advance_events, begin_events, write_all
from resu_numba import njit

FRACTION = 65_536  # a response is passed on in steps of 1 / FRACTION of the unit's standard deviation
LARGEST = 8_000.0  # and clipped here, thousands of standard deviations away
MAP_BITS = 26  # a layer sees the maps below rounded to so many binary digits
TOGETHER = 4  # maps whose jumps go together into the sums: what they move is then fetched and stored once


class Above(NamedTuple):
    """A layer above the first as it is computed; made by `resu_patch_layers.above`.

    weights  (S, M, 3, 3 S K) float64, whole numbers: what map m of a pixel that moves at step t adds, in this step and
             the next ones, to [row, (column, step, unit)] of the 3 x 3 pixels around it; [t mod S], steps mod S as well
    still    (M, 3, 3K) float64: what it adds to [row, (column, unit)] if it has been so for S steps
    mean     (P, M) int32, what is subtracted from the maps below           bits   how many of their digits are dropped
    factor   (K,) float64, powers of two: from sums to responses in steps of 1 / FRACTION
    gain     (C, 2K) float64, from summed responses to features             width  W
    """

    weights: np.ndarray
    still: np.ndarray
    mean: np.ndarray
    bits: int
    factor: np.ndarray
    gain: np.ndarray
    width: int


class Patches(NamedTuple):
    """What a layer above the first knows of one stream of frames; made by `new_patches`.

    seen      (P, M) int32, the maps below, rounded
    total     ((H + 2) * (W + 2), K) float64, the sums of the products, with a border that nobody reads
    due       ((H + 2) * (W + 2), S, K) float64, what they will move by at step t, in slot t mod S
    response  (P, K) int32, sums (C, 2K) int64: newest
    places    (S, P) int32, counts (S,) int64: the pixels below that moved in the last S steps, those of step t in slot
              t mod S
    sizes     (P,) int8, which (P, M + 3) int8, jumps (P, M + 3) int32: how many maps of the newest ones moved, which,
              by how much, filled up with zeros to a multiple of `TOGETHER`
    stamp     (2, P) int64, the last step in which a pixel below was looked at, and in which one's sums moved
    touched   (P,) int32, scratch
    """

    seen: np.ndarray
    total: np.ndarray
    due: np.ndarray
    response: np.ndarray
    sums: np.ndarray
    places: np.ndarray
    counts: np.ndarray
    sizes: np.ndarray
    which: np.ndarray
    jumps: np.ndarray
    stamp: np.ndarray
    touched: np.ndarray


def new_patches(layers: tuple[Above, ...]) -> tuple[Patches, ...]:
    """Room for one stream in each layer."""

    def room(layer: Above) -> Patches:
        (p, n_maps), n_steps, n_units = layer.mean.shape, len(layer.weights), layer.factor.size
        padded, n_most = (p // layer.width + 2) * (layer.width + 2), n_maps + TOGETHER - 1
        return Patches(
            seen=np.empty((p, n_maps), np.int32),
            total=np.empty((padded, n_units)),
            due=np.empty((padded, n_steps, n_units)),
            response=np.empty((p, n_units), np.int32),
            sums=np.empty(layer.gain.shape, np.int64),
            places=np.empty((n_steps, p), np.int32),
            counts=np.empty(n_steps, np.int64),
            sizes=np.empty(p, np.int8),
            which=np.empty((p, n_most), np.int8),
            jumps=np.empty((p, n_most), np.int32),
            stamp=np.empty((2, p), np.int64),
            touched=np.empty(p, np.int32),
        )

    return tuple(room(layer) for layer in layers)


@njit()
def rounded(value, bits):
    """value / 2^bits to the nearest integer, halves upwards: int64, or arrays of it."""
    return (value + ((1 << bits) >> 1)) >> bits


@njit()
def _note(lower, changed, bits, slot, patches):
    """Note in a slot which maps of the changed pixels moved, and by how much: lower (P, K') int32, responses."""
    seen, which, jumps = patches.seen, patches.which, patches.jumps
    n_units, n = lower.shape[1], 0
    for p in changed:
        e = 0
        for u in range(n_units):
            value = np.int64(lower[p, u])
            for m, positive in ((u, max(value, 0)), (n_units + u, max(-value, 0))):
                new = np.int32(rounded(positive, bits))
                if new != seen[p, m]:
                    which[n, e] = m
                    jumps[n, e] = new - seen[p, m]
                    seen[p, m] = new
                    e += 1
        if e == 0:
            continue
        patches.places[slot, n] = p
        patches.sizes[n] = e
        while e % TOGETHER:
            which[n, e] = 0
            jumps[n, e] = 0
            e += 1
        n += 1
    patches.counts[slot] = n


@njit(fastmath={"contract"})  # below 2^53 nothing is rounded, so that a fused product has the same bits
def _add(weights, slot, width, patches, target):
    """Add the products of the newest jumps with weights (M, 3, 3N) to target ((H + 2) * (W + 2) * N,)."""
    n = weights.shape[2]
    row = (width + 2) * (n // 3)
    for i in range(patches.counts[slot]):
        p, which, jumps = patches.places[slot, i], patches.which[i], patches.jumps[i]
        corner = p // width * row + p % width * (n // 3)
        for e in range(0, patches.sizes[i], TOGETHER):
            j0, j1 = np.float64(jumps[e]), np.float64(jumps[e + 1])
            j2, j3 = np.float64(jumps[e + 2]), np.float64(jumps[e + 3])
            w0, w1, w2, w3 = weights[which[e]], weights[which[e + 1]], weights[which[e + 2]], weights[which[e + 3]]
            for dy in range(3):
                line = target[corner + dy * row : corner + dy * row + n]
                f0, f1, f2, f3 = w0[dy], w1[dy], w2[dy], w3[dy]
                for x in range(n):
                    line[x] += j0 * f0[x] + j1 * f1[x] + j2 * f2[x] + j3 * f3[x]


@njit()
def _touch(now, width, patches):
    """List the pixels whose sums the jumps of the last S steps move; returns how many."""
    looked, moved = patches.stamp[0], patches.stamp[1]
    height, n = moved.size // width, 0
    for slot in range(patches.counts.size):
        for i in range(patches.counts[slot]):
            p = patches.places[slot, i]
            if looked[p] == now:
                continue
            looked[p] = now
            y, x = p // width, p % width
            for near_y in range(max(y - 1, 0), min(y + 2, height)):
                for near in range(near_y * width + max(x - 1, 0), near_y * width + min(x + 2, width)):
                    if moved[near] != now:
                        moved[near] = now
                        patches.touched[n] = near
                        n += 1
    return n


@njit()
def _respond(touched, slot, layer, cell_of, patches, changed):
    """Bring the touched pixels up to date; those that moved are listed in `changed`: returns how many."""
    total, due, response, sums = patches.total, patches.due, patches.response, patches.sums
    factor, width = layer.factor, layer.width
    n_units, n_changed = factor.size, 0
    most = LARGEST * FRACTION
    for p in touched:
        place = (p // width + 1) * (width + 2) + p % width + 1
        cell = sums[cell_of[p]]
        moved = False
        for u in range(n_units):
            total[place, u] += due[place, slot, u]
            due[place, slot, u] = 0
            value = np.int32(np.rint(min(max(total[place, u] * factor[u], -most), most)))
            old = response[p, u]
            if value != old:
                moved = True
                cell[u] += max(value, 0) - max(old, 0)
                cell[n_units + u] += max(-value, 0) - max(-old, 0)
                response[p, u] = value
        if moved:
            changed[n_changed] = p
            n_changed += 1
    return n_changed


@njit()
def _begin(lower, layer, cell_of, patches, changed):
    """Evaluate everything; all earlier steps count as equal to this one. Every pixel is listed in `changed`."""
    for p in range(changed.size):
        changed[p] = p
    patches.seen[:] = layer.mean
    patches.total[:] = 0
    patches.due[:] = 0
    patches.response[:] = 0
    patches.sums[:] = 0
    patches.stamp[:] = -1
    patches.counts[:] = 0
    _note(lower, changed, layer.bits, 0, patches)
    _add(layer.still, 0, layer.width, patches, patches.total.reshape(-1))
    patches.counts[0] = 0
    _respond(changed.copy(), 0, layer, cell_of, patches, patches.touched)


@njit()
def _advance(now, lower, changed, layer, cell_of, patches):
    """Move on to step `now`, in which the pixels changed[0] moved below; returns how many are listed in changed[1]."""
    slot = now % patches.counts.size
    _note(lower, changed[0], layer.bits, slot, patches)
    _add(layer.weights[slot], slot, layer.width, patches, patches.due.reshape(-1))
    n = _touch(now, layer.width, patches)
    return _respond(patches.touched[:n], slot, layer, cell_of, patches, changed[1])


@njit()
def advance_patches(step, fresh, events, n_changed, bank, layers, patches):
    """Carry the changes of layer 1 up through the layers above at one step.

    step      of the newest frame; fresh: it begins an episode (or a block): everything is evaluated and all earlier
              steps count as equal to this one
    events    of layer 1 at this step; of its list of moved pixels n_changed count, and the list is overwritten
    layers, patches   one `Above` and one `Patches` per layer, lowest first
    Returns   how many pixels of the topmost layer moved: they are in the list now
    """
    changed, lower = events.moved, events.response
    for i in range(len(layers)):
        if fresh:
            _begin(lower, layers[i], bank.cell_of, patches[i], changed)
            n_changed = changed.size
        else:
            lists = (changed[:n_changed], changed)
            n_changed = _advance(step, lower, lists, layers[i], bank.cell_of, patches[i])
        lower = patches[i].response
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
