"""The compiled loops: lag products and rectified pooled responses. Arrays in, arrays out, nothing else.

T frames, P pixels (or parallel series), L lags, m taps, K filters, C pooling cells.

Every loop exists twice. The *dense* one touches every pixel of every frame. The *event-driven* one does work only
where a pixel changed: Atari screens hardly move. Integer inputs are summed in int64, so both give the same bits, and
so does any split of the frames over blocks and threads.
"""

import numpy as np
from numba import njit, prange

TILE = 16_384  # pixels per inner product tile: 255^2 * TILE < 2^31, and a tile of every lag stays in the L2 cache


@njit(cache=True)
def _dot_u8(a, b):
    """Inner product of two uint8 vectors, exact for any length (int32 within a tile, int64 across tiles)."""
    total = np.int64(0)
    for lo in range(0, a.size, TILE):
        a_tile, b_tile = a[lo : lo + TILE], b[lo : lo + TILE]
        part = np.int32(0)
        for p in range(a_tile.size):  # the casts keep it 32 bits wide, which compiles to vpmaddwd
            part = np.int32(part + np.int32(np.int32(a_tile[p]) * np.int32(b_tile[p])))
        total += part
    return total


@njit(cache=True, parallel=True)
def lag_products_u8(x, n_lags, block, products, sums):
    """Dense pass over uint8 frames.

    x         (T, P) uint8, C-contiguous
    products  (T, L) int64, filled with <x_t, x_{t+k}> for t + k < T (other entries are left alone)
    sums      (ceil(T / block), P) int64, filled with the per-pixel sums of each block of frames
    """
    n_frames, n_pixels = x.shape
    for b in prange(sums.shape[0]):
        start, stop = b * block, min((b + 1) * block, n_frames)
        partial = np.zeros(n_pixels, np.int32)  # block * 255 < 2^31
        for t in range(start, stop):
            for k in range(min(n_lags, n_frames - t)):
                products[t, k] = _dot_u8(x[t], x[t + k])
            for p in range(n_pixels):
                partial[p] = np.int32(partial[p] + np.int32(x[t, p]))
        for p in range(n_pixels):
            sums[b, p] = partial[p]


@njit(cache=True, parallel=True)
def lag_products_f64(x, n_lags, block, products, sums):
    """Dense pass over float64 series; arguments as in `lag_products_u8` with float64 outputs."""
    n_frames, n_pixels = x.shape
    for b in prange(sums.shape[0]):
        start, stop = b * block, min((b + 1) * block, n_frames)
        for p in range(n_pixels):
            sums[b, p] = 0.0
        for t in range(start, stop):
            for k in range(min(n_lags, n_frames - t)):
                total = 0.0
                for p in range(n_pixels):
                    total += x[t, p] * x[t + k, p]
                products[t, k] = total
            for p in range(n_pixels):
                sums[b, p] += x[t, p]


@njit(cache=True, parallel=True)
def frame_sums_u8(x, sums):
    """Sum of each frame: x (T, P) uint8, C-contiguous -> sums (T,) int64, filled."""
    for t in prange(x.shape[0]):
        total = np.int64(0)
        for lo in range(0, x.shape[1], TILE):
            tile = x[t, lo : lo + TILE]
            part = np.int32(0)
            for p in range(tile.size):
                part = np.int32(part + np.int32(tile[p]))
            total += part
        sums[t] = total


@njit(cache=True)
def _changes(old, new, words, found):
    """Indices of the pixels that differ between two uint8 frames; returns how many were written to `found`.

    Frames are compared eight pixels at a time where their length allows it (`words` is their uint64 view width).
    """
    n = 0
    if words > 0:
        old8, new8 = old.view(np.uint64), new.view(np.uint64)
        for w in range(words):
            if old8[w] != new8[w]:
                for p in range(8 * w, 8 * w + 8):
                    if old[p] != new[p]:
                        found[n] = p
                        n += 1
    else:
        for p in range(old.size):
            if old[p] != new[p]:
                found[n] = p
                n += 1
    return n


@njit(cache=True, parallel=True)
def lag_products_events(x, n_lags, block, products, sums):
    """Event-driven pass over uint8 frames; arguments and result as in `lag_products_u8`.

    With e = x_{t+1} - x_t, nonzero only at changed pixels, the product rule gives
        d_k(t+1) = d_k(t) + <e_t, x_{t+1+k}> + <x_t, e_{t+k}>.
    Each block starts from a dense evaluation.
    """
    n_frames, n_pixels = x.shape
    words = n_pixels // 8 if n_pixels % 8 == 0 else 0
    for b in prange(sums.shape[0]):
        start, stop = b * block, min((b + 1) * block, n_frames)
        found = np.empty(n_pixels, np.int32)
        step = np.zeros((stop - start, n_lags), np.int64)  # step[t - start] = d(t + 1) - d(t)
        total = sums[b]
        for p in range(n_pixels):
            total[p] = np.int64(x[start, p]) * (stop - start)
        for t in range(start, min(stop + n_lags, n_frames) - 1):
            n_found = _changes(x[t], x[t + 1], words, found)
            inside = t < stop - 1
            n_after = min(n_lags, n_frames - t - 1) if inside else 0  # lags k with t + 1 + k < T
            first_lag = max(0, t - (stop - 2))  # source frame t - k must be a step of this block
            last_lag = min(n_lags - 1, t - start)
            for i in range(n_found):
                p = found[i]
                change = np.int64(x[t + 1, p]) - np.int64(x[t, p])
                if inside:
                    total[p] += change * (stop - 1 - t)
                for k in range(n_after):
                    step[t - start, k] += change * np.int64(x[t + 1 + k, p])
                for k in range(first_lag, last_lag + 1):
                    step[t - k - start, k] += change * np.int64(x[t - k, p])
        for k in range(min(n_lags, n_frames - start)):
            products[start, k] = _dot_u8(x[start], x[start + k])
        for t in range(start, stop - 1):
            for k in range(min(n_lags, n_frames - t - 1)):
                products[t + 1, k] = products[t, k] + step[t - start, k]


# --- rectified, pooled responses -------------------------------------------------------------------------------------
#
# r_k(t, p) = sum_j taps[j, k] * frame[t - j, p] - offsets[p, k]     int32; the caller bounds sum_j |taps| * 255 by 2^30
# sums[c, k] = sum over pixels p of cell c of max(r_k, 0)            int64; sums[c, K + k] holds max(-r_k, 0)
# output[i * C + c] = sums[c, i] * gain[c, i]                        one float64 product, rounded once to float32


@njit(cache=True)
def _start(frames, newest, taps, offsets, cell_of, response, sums, last_change, active):
    """Evaluate every pixel of frame `newest` and list those whose window holds a change; returns their number.

    Frames before row 0 repeat row 0. Fills response (P, K), sums (C, 2K), last_change (P,) and active (P,).
    """
    n_taps, n_filters = taps.shape
    sums[:] = 0
    n_active = 0
    for p in range(offsets.shape[0]):
        last_change[p] = newest - n_taps
        for k in range(n_filters):
            response[p, k] = -offsets[p, k]
        for j in range(n_taps):
            value = frames[max(newest - j, 0), p]
            if j < n_taps - 1 and value != frames[max(newest - j - 1, 0), p]:
                last_change[p] = max(last_change[p], newest - j)
            for k in range(n_filters):
                response[p, k] += taps[j, k] * np.int32(value)
        cell = sums[cell_of[p]]
        for k in range(n_filters):
            cell[k] += max(response[p, k], 0)
            cell[n_filters + k] += max(-response[p, k], 0)
        if last_change[p] > newest - n_taps:
            active[n_active] = p
            n_active += 1
    return n_active


@njit(cache=True)
def _advance(frames, newest, taps, offsets, cell_of, response, sums, last_change, active, n_active, found, touched):
    """Move the state of `_start` from row newest - 1 to row newest; returns (n_active, number of cells in `touched`).

    Only pixels whose window holds a change are evaluated. A window of m frames that ends in row t is constant when the
    last change came at or before row t - m + 1.
    """
    n_taps, n_filters = taps.shape
    n_pixels = offsets.shape[0]
    words = n_pixels // 8 if n_pixels % 8 == 0 else 0
    n_found = _changes(frames[newest - 1], frames[newest], words, found)
    for i in range(n_found):
        p = found[i]
        if last_change[p] < newest - n_taps + 1:
            active[n_active] = p
            n_active += 1
        last_change[p] = newest
    n_kept = 0
    n_touched = 0
    fresh = np.empty(n_filters, np.int32)
    for i in range(n_active):
        p = active[i]
        for k in range(n_filters):
            fresh[k] = -offsets[p, k]
        for j in range(n_taps):
            value = np.int32(frames[max(newest - j, 0), p])
            for k in range(n_filters):
                fresh[k] += taps[j, k] * value
        cell = sums[cell_of[p]]
        touched[n_touched] = cell_of[p]
        n_touched += i == 0 or touched[n_touched - 1] != cell_of[p]
        for k in range(n_filters):
            cell[k] += max(fresh[k], 0) - max(response[p, k], 0)
            cell[n_filters + k] += max(-fresh[k], 0) - max(-response[p, k], 0)
            response[p, k] = fresh[k]
        if last_change[p] > newest - n_taps + 1:
            active[n_kept] = p
            n_kept += 1
    return n_kept, n_touched


@njit(cache=True)
def _write_all(sums, gain, out):
    """out[i * C + c] = sums[c, i] * gain[c, i] for every cell c and map i."""
    n_cells, n_maps = sums.shape
    for i in range(n_maps):
        for c in range(n_cells):
            out[i * n_cells + c] = sums[c, i] * gain[c, i]


@njit(cache=True)
def _write_touched(sums, gain, touched, n_touched, out):
    n_cells, n_maps = sums.shape
    for n in range(n_touched):
        c = touched[n]
        for i in range(n_maps):
            out[i * n_cells + c] = sums[c, i] * gain[c, i]


@njit(cache=True, parallel=True)
def encode_events(frames, taps, offsets, cell_of, gain, block, out):
    """Event-driven encoding of one episode.

    frames   (T, P) uint8         taps  (m, K) int32, newest first     offsets  (P, K) int32
    cell_of  (P,) int32 in 0..C-1 gain  (C, 2K) float64                out      (T, 2K * C) float32, filled
    """
    n_frames, n_pixels = frames.shape
    n_filters = taps.shape[1]
    for b in prange((n_frames + block - 1) // block):
        start, stop = b * block, min((b + 1) * block, n_frames)
        response = np.empty((n_pixels, n_filters), np.int32)
        sums = np.empty(gain.shape, np.int64)
        last_change = np.empty(n_pixels, np.int64)
        active = np.empty(n_pixels, np.int32)
        found = np.empty(n_pixels, np.int32)
        touched = np.empty(n_pixels + 1, np.int32)
        n_active = _start(frames, start, taps, offsets, cell_of, response, sums, last_change, active)
        _write_all(sums, gain, out[start])
        for t in range(start + 1, stop):
            n_active, n_touched = _advance(
                frames, t, taps, offsets, cell_of, response, sums, last_change, active, n_active, found, touched
            )
            out[t] = out[t - 1]
            _write_touched(sums, gain, touched, n_touched, out[t])


@njit(cache=True)
def _respond(row, tap, response):
    for p in range(response.size):
        response[p] += tap * np.int32(row[p])


@njit(cache=True)
def _rectify(response, on, off):
    for x in range(response.size):
        on[x] += max(response[x], 0)
        off[x] += max(-response[x], 0)


@njit(cache=True, parallel=True)
def encode_dense(frames, taps, offsets, width, row_edges, column_edges, gain, block, out):
    """Dense encoding of one episode: the same numbers as `encode_events`, every pixel of every frame evaluated.

    width         pixels per row; cells are the rectangles between row_edges and column_edges
    """
    n_frames, n_pixels = frames.shape
    n_taps, n_filters = taps.shape
    n_rows, n_columns = row_edges.size - 1, column_edges.size - 1
    for b in prange((n_frames + block - 1) // block):
        start, stop = b * block, min((b + 1) * block, n_frames)
        bias = -offsets.T.copy()
        response = np.empty(n_pixels, np.int32)
        on, off = np.empty(width, np.int64), np.empty(width, np.int64)
        sums = np.empty(gain.shape, np.int64)
        for t in range(start, stop):
            for k in range(n_filters):
                response[:] = bias[k]
                for j in range(n_taps):
                    _respond(frames[max(t - j, 0)], taps[j, k], response)
                for r in range(n_rows):
                    on[:] = 0
                    off[:] = 0
                    for y in range(row_edges[r], row_edges[r + 1]):
                        _rectify(response[y * width : (y + 1) * width], on, off)
                    for c in range(n_columns):
                        sums[r * n_columns + c, k] = on[column_edges[c] : column_edges[c + 1]].sum()
                        sums[r * n_columns + c, n_filters + k] = off[column_edges[c] : column_edges[c + 1]].sum()
            _write_all(sums, gain, out[t])


@njit(cache=True)
def encode_step(
    frames, where, restarted, history, newest, taps, offsets, cell_of, gain, response, sums, last_change,
    active, n_active, out,
):  # fmt: skip
    """Online encoding: one new frame in each of B environments, the same numbers as `encode_events`.

    frames   (B, P) uint8     restarted  (B,) bool, True where the frame is the first of an episode
    where    (B,) bool, environments that move on; all else of the others stays as it is
    history  (B, R, P) uint8  the last frames in consecutive rows, R >= 2m; `newest` (B,) is the row of the newest
    response (B, P, K), sums (B, C, 2K), last_change (B, P), active (B, P), n_active (B,): state, updated in place
    out      (B, 2K * C) float32, updated in place (it must hold the previous step's output)
    """
    n_taps = taps.shape[0]
    n_pixels = frames.shape[1]
    found = np.empty(n_pixels, np.int32)
    touched = np.empty(n_pixels + 1, np.int32)
    for b in range(frames.shape[0]):
        if not where[b]:
            continue
        rows = history[b]
        if restarted[b]:
            newest[b] = 0
            rows[0] = frames[b]
            n_active[b] = _start(rows, 0, taps, offsets, cell_of, response[b], sums[b], last_change[b], active[b])
            _write_all(sums[b], gain, out[b])
            continue
        if newest[b] == rows.shape[0] - 1:  # full: the window moves to the front
            for j in range(n_taps):
                rows[j] = rows[newest[b] - n_taps + 1 + j]
            for p in range(n_pixels):
                last_change[b, p] -= newest[b] - n_taps + 1
            newest[b] = n_taps - 1
        newest[b] += 1
        rows[newest[b]] = frames[b]
        n_active[b], n_touched = _advance(
            rows, newest[b], taps, offsets, cell_of, response[b], sums[b], last_change[b], active[b], n_active[b],
            found, touched,
        )  # fmt: skip
        _write_touched(sums[b], gain, touched, n_touched, out[b])


@njit(cache=True)
def _dense_frame(frames, rows, taps, bias, shift, width, row_edges, column_edges, gain, response, on, off, sums, out):
    """One frame of `encode_dense_shifted`: tap j sees row rows[j] of `frames`; response (P,) to sums are scratch."""
    n_taps, n_filters = taps.shape
    n_rows, n_columns = row_edges.size - 1, column_edges.size - 1
    for k in range(n_filters):
        for p in range(response.size):
            response[p] = bias[k, p] + shift[k]
        for j in range(n_taps):
            _respond(frames[rows[j]], taps[j, k], response)
        for r in range(n_rows):
            on[:] = 0
            off[:] = 0
            for y in range(row_edges[r], row_edges[r + 1]):
                _rectify(response[y * width : (y + 1) * width], on, off)
            for c in range(n_columns):
                sums[r * n_columns + c, k] = on[column_edges[c] : column_edges[c + 1]].sum()
                sums[r * n_columns + c, n_filters + k] = off[column_edges[c] : column_edges[c + 1]].sum()
    _write_all(sums, gain, out)


@njit(cache=True, parallel=True)
def encode_dense_shifted(frames, taps, bias, shifts, width, row_edges, column_edges, gain, block, out):
    """`encode_dense` of responses that a further input shifts, the same amount in every pixel of a frame.

    bias     (K, P) int32, -offsets transposed: the response of each pixel to nothing
    shifts   (T, K) int32, added to every response of frame t before rectification; zeros give `encode_dense`
    """
    n_frames, n_pixels = frames.shape
    n_taps = taps.shape[0]
    for b in prange((n_frames + block - 1) // block):
        response = np.empty(n_pixels, np.int32)
        on, off = np.empty(width, np.int64), np.empty(width, np.int64)
        sums = np.empty(gain.shape, np.int64)
        rows = np.empty(n_taps, np.int64)
        for t in range(b * block, min((b + 1) * block, n_frames)):
            for j in range(n_taps):
                rows[j] = max(t - j, 0)
            _dense_frame(
                frames, rows, taps, bias, shifts[t], width, row_edges, column_edges, gain, response, on, off, sums,
                out[t],
            )  # fmt: skip


@njit(cache=True)
def encode_step_shifted(history, rows, taps, bias, shifts, width, row_edges, column_edges, gain, out):
    """Newest frame of each of B environments, the same numbers as `encode_dense_shifted`.

    history  (B, R, P) uint8     rows (m,) int64: which row of history each tap sees     shifts (B, K) int32
    out      (B, 2K * C) float32, filled
    """
    response = np.empty(history.shape[2], np.int32)
    on, off = np.empty(width, np.int64), np.empty(width, np.int64)
    sums = np.empty(gain.shape, np.int64)
    for b in range(history.shape[0]):
        _dense_frame(
            history[b], rows, taps, bias, shifts[b], width, row_edges, column_edges, gain, response, on, off, sums,
            out[b],
        )  # fmt: skip


@njit(cache=True, parallel=True)
def first_layer_responses(frames, first, taps, offsets, unit, out):
    """Responses of layer 1, not rectified, from frame `first` on: out (T - first, P, K) float32, filled.

    unit    (K,) float64, value of one integer response step
    """
    n_taps, n_filters = taps.shape
    for t in prange(first, frames.shape[0]):
        response = np.empty(frames.shape[1], np.int32)
        for k in range(n_filters):
            for p in range(response.size):
                response[p] = -offsets[p, k]
            for j in range(n_taps):
                _respond(frames[max(t - j, 0)], taps[j, k], response)
            for p in range(response.size):
                out[t - first, p, k] = response[p] * unit[k]
