"""The compiled loops of the moments of patches where little moves: sums of products of what differs from rest.

T frames of H x W pixels, P = H * W, K units of the topmost layer (M = 2K ON/OFF maps), m past and h future steps,
L = m + h.

Maps are integers: responses in steps of 2^bits of the kernels' own unit, rectified. Their *deviations* from maps at
rest are 0 nearly everywhere, so that the products of two maps at all offsets cost what deviates. Sums of integers are
exact: whatever is cut into which runs, and counted by whom, gives the same bits.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from resu_layer1_kernels import advance_events, begin_events
from resu_numba import njit
from resu_patch_kernels import advance_layers, rounded

REACH = 2  # the largest offset between two pixels of a patch
SIDE = 2 * REACH + 1  # offsets along one axis


class Rest(NamedTuple):
    """What deviations are counted from.

    response  (P, K) int32, in steps of 2^bits     bits  how many binary digits of a response are rounded away
    width     W
    """

    response: np.ndarray
    bits: int
    width: int


class Deviating(NamedTuple):
    """The pixels that deviate: now, and in the last L steps that count (step r in slot r mod L).

    where   (P,) int32, a pixel's place in the list of now, -1 at rest      places  (P,) int32, the list
    values  (P, M) int32, deviations in the list's order                    n       (1,) int64, its length
    kept    (L, P) int32, for each slot: the places in the image of those that deviated; n_kept (L,) int64
    images  (L, (H + 4) * (W + 4) * M) int32: their deviations, 0 elsewhere and on a border of 2 pixels
    """

    where: np.ndarray
    places: np.ndarray
    values: np.ndarray
    n: np.ndarray
    kept: np.ndarray
    n_kept: np.ndarray
    images: np.ndarray


class Sums(NamedTuple):
    """What is counted. a is a position in the window, oldest step first; products [dy, j, dx, i] are those of map j at
    a pixel with map i at the pixel (dy - 2, dx - 2) away, k steps before.

    inner   (L, 5, M, 5, M) int64 [k]: pairs that every a with a + k < L has in common
    outer   (L, L, 5, M, 5, M) int64 [a, k]: the others; at k = 0 only dy <= 2, and from `wide` on only the middle nine
    level   (P, M) int64, levels (L, P, M) int64: the same for the deviations themselves
    power   (M,) float64: sums of their squares
    """

    inner: np.ndarray
    outer: np.ndarray
    level: np.ndarray
    levels: np.ndarray
    power: np.ndarray


def new_deviating(n_lags: int, shape: tuple[int, int], n_maps: int) -> Deviating:
    """Nobody deviates, in frames of this shape (H, W)."""
    n_pixels, padded = shape[0] * shape[1], (shape[0] + 2 * REACH) * (shape[1] + 2 * REACH)
    return Deviating(
        np.full(n_pixels, -1, np.int32),
        np.empty(n_pixels, np.int32),
        np.empty((n_pixels, n_maps), np.int32),
        np.zeros(1, np.int64),
        np.empty((n_lags, n_pixels), np.int32),
        np.zeros(n_lags, np.int64),
        np.zeros((n_lags, padded * n_maps), np.int32),
    )


def new_sums(n_lags: int, n_pixels: int, n_maps: int) -> Sums:
    """Nothing is counted."""
    blocks = SIDE, n_maps, SIDE, n_maps
    inner, outer = np.zeros((n_lags, *blocks), np.int64), np.zeros((n_lags, n_lags, *blocks), np.int64)
    level, levels = np.zeros((n_pixels, n_maps), np.int64), np.zeros((n_lags, n_pixels, n_maps), np.int64)
    return Sums(inner, outer, level, levels, np.zeros(n_maps))


@njit()
def _deviate(p, response, rest, deviating):
    """Bring pixel p up to date in the list of those that deviate now."""
    where, places, values = deviating.where, deviating.places, deviating.values
    n, n_units = deviating.n[0], response.shape[1]
    place = where[p] if where[p] >= 0 else n
    differs = False
    for u in range(n_units):
        value, usual = rounded(np.int64(response[p, u]), rest.bits), rest.response[p, u]
        differs = differs or value != usual
        values[place, u] = max(value, 0) - max(usual, 0)
        values[place, n_units + u] = max(-value, 0) - max(-usual, 0)
    if differs and place == n:
        where[p], places[n] = n, p
        deviating.n[0] = n + 1
    elif not differs and place < n:
        last = places[n - 1]
        where[last], places[place] = place, last
        values[place] = values[n - 1]
        where[p] = -1
        deviating.n[0] = n - 1


@njit()
def _remember(slot, width, deviating):
    """Put the deviations of now into a slot, in place of those that it held."""
    image, kept, values = deviating.images[slot], deviating.kept[slot], deviating.values
    n_maps = values.shape[1]
    for q in range(deviating.n_kept[slot]):
        start = kept[q] * n_maps
        for i in range(n_maps):
            image[start + i] = 0
    n = deviating.n[0]
    for q in range(n):
        p = deviating.places[q]
        kept[q] = (p // width + REACH) * (width + 2 * REACH) + p % width + REACH
        start = kept[q] * n_maps
        for i in range(n_maps):
            image[start + i] = values[q, i]
    deviating.n_kept[slot] = n


@njit()
def _add_products(slots, reach, half, width, deviating, out):
    """out (5, M, 5, M) += products of what deviates now with what lies around it in an earlier step.

    slots   (that step's, now's)     reach   the largest offset that counts     half   only rows above and its own

    Four pixels go together: a sum is then fetched and stored once for four products.
    """
    older, newer = slots
    image, kept, values = deviating.images[older], deviating.kept[newer], deviating.values
    n_maps, row, last = values.shape[1], width + 2 * REACH, deviating.n[0] - 1
    n, first = (2 * reach + 1) * n_maps, (REACH - reach) * n_maps
    flat = out.reshape(SIDE, n_maps, SIDE * n_maps)
    for q in range(0, last + 1, 4):
        q1, q2, q3 = min(q + 1, last), min(q + 2, last), min(q + 3, last)
        for dy in range(-reach, (0 if half else reach) + 1):
            to = dy * row - reach
            p0, p1, p2, p3 = (
                (kept[q] + to) * n_maps, (kept[q1] + to) * n_maps, (kept[q2] + to) * n_maps, (kept[q3] + to) * n_maps
            )  # fmt: skip
            around0, around1, around2, around3 = (
                image[p0 : p0 + n],
                image[p1 : p1 + n],
                image[p2 : p2 + n],
                image[p3 : p3 + n],
            )
            for j in range(n_maps):
                line = flat[dy + REACH, j, first : first + n]
                v0 = np.int64(values[q, j])
                v1 = np.int64(values[q1, j]) if q + 1 <= last else np.int64(0)
                v2 = np.int64(values[q2, j]) if q + 2 <= last else np.int64(0)
                v3 = np.int64(values[q3, j]) if q + 3 <= last else np.int64(0)
                for i in range(n):
                    line[i] += (
                        v0 * np.int64(around0[i])
                        + v1 * np.int64(around1[i])
                        + v2 * np.int64(around2[i])
                        + v3 * np.int64(around3[i])
                    )


@njit()
def _count(r, n_windows, wide, width, deviating, sums, scratch):
    """Count what deviates now, step r of a run of n_windows windows, with the steps before it."""
    n_lags = sums.levels.shape[0]
    newer = r % n_lags
    _remember(newer, width, deviating)
    values = deviating.values
    for q in range(deviating.n[0]):
        p = deviating.places[q]
        for i in range(values.shape[1]):
            sums.power[i] += np.float64(values[q, i]) ** 2
        if n_lags - 1 <= r < n_windows:
            for i in range(values.shape[1]):
                sums.level[p, i] += values[q, i]
        else:
            for a in range(max(r - n_windows + 1, 0), min(r, n_lags - 1) + 1):
                for i in range(values.shape[1]):
                    sums.levels[a, p, i] += values[q, i]
    for k in range(min(r, n_lags - 1) + 1):
        s, reach = r - k, REACH if k < wide else 1
        slots = s % n_lags, newer
        if n_lags - 1 - k <= s < n_windows:
            _add_products(slots, reach, k == 0, width, deviating, sums.inner[k])
            continue
        scratch[:] = 0
        _add_products(slots, reach, k == 0, width, deviating, scratch)
        for a in range(max(s - n_windows + 1, 0), min(s, n_lags - 1 - k) + 1):
            sums.outer[a, k] += scratch


@njit()
def _forget(deviating):
    """Nobody deviates, now or before."""
    deviating.where[:] = -1
    deviating.n[:] = 0
    deviating.images[:] = 0
    deviating.n_kept[:] = 0


@njit()
def _note(fresh, moved, response, rest, deviating):
    """Bring the pixels that moved up to date, or all of them."""
    for i in range(deviating.where.size if fresh else moved.size):
        _deviate(i if fresh else moved[i], response, rest, deviating)


@njit(nogil=True)
def count_first(frames, span, bank, events, rest, wide, deviating, sums):
    """Count the maps of layer 1 in a run of one episode.

    frames   (T, P) uint8     span   (begin, start, stop): windows lie within steps start .. stop - 1; layer 1 begins at
             step `begin` = start
    wide     steps apart below which all offsets count; from there on one of the two is the middle of its patch
    events, deviating   scratch, as `new_events` and `new_deviating` make it     sums   added to
    """
    _, start, stop = span
    n_windows = stop - start - sums.levels.shape[0] + 1
    scratch = np.empty_like(sums.inner[0])
    _forget(deviating)
    for t in range(start, stop):
        n_changed = 0
        if t == start:
            begin_events(frames, t, bank, events)
        else:
            n_changed = advance_events(frames[t - 1], frames[t], t, bank, events)
        _note(t == start, events.moved[:n_changed], events.response, rest, deviating)
        _count(t - start, n_windows, wide, rest.width, deviating, sums, scratch)


@njit(nogil=True)
def count_above(frames, span, lower, above, patches, windows, deviating, sums):
    """Count the maps of the topmost layer in a run of one episode; as `count_first`, but for

    span     (begin, start, stop): what the layers must have seen before step `start` begins at step `begin`
    lower    (bank, events)     above, patches   as in `encode_layers`     windows   (rest, wide)
    """
    begin, start, stop = span
    rest, wide = windows
    moved, response = lower[1].moved, patches[len(patches) - 1].response
    n_windows = stop - start - sums.levels.shape[0] + 1
    scratch = np.empty_like(sums.inner[0])
    _forget(deviating)
    for t in range(begin, stop):
        n_changed = advance_layers(frames, t, t == begin, lower, above, patches)
        _note(t == begin, moved[:n_changed], response, rest, deviating)
        if t >= start:
            _count(t - start, n_windows, wide, rest.width, deviating, sums, scratch)
