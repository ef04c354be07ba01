"""The compiled loops of layer 1: rectified pooled responses. Arrays in, arrays out, nothing else.

T frames, P pixels, m taps, K filters, C pooling cells.

As in `resu_moment_kernels` there is a *dense* loop and an *event-driven* one with the same bits.
"""

import numpy as np
from numba import njit, prange

from resu_moment_kernels import changes

# r_k(t, p) = sum_j taps[j, k] * frame[t - j, p] - offsets[p, k]     int32; the caller bounds sum_j |taps| * 255 by 2^30
# sums[c, k] = sum over pixels p of cell c of max(r_k, 0)            int64; sums[c, K + k] holds max(-r_k, 0)
# output[i * C + c] = sums[c, i] * gain[c, i]                        one float64 product, rounded once to float32


@njit(cache=True)
def _note_changes(old, new, words, places, jumps):
    """Write where two uint8 frames differ to `places`, and by how much to `jumps`; returns the number of pixels."""
    n = changes(old, new, words, places)
    for i in range(n):
        jumps[i] = np.int16(new[places[i]]) - np.int16(old[places[i]])
    return n


@njit(cache=True)
def begin_events(frames, now, taps, offsets, cell_of, response, sums, places, jumps, counts, stamp):
    """Evaluate every pixel of frame `now` and note the changes that led to it.

    Frames before row 0 repeat row 0. Fills response (P, K), sums (C, 2K) and the changes of the last m steps, those of
    step t in slot t mod m: pixels places (m, P), differences jumps (m, P), their number counts (m,). stamp (P,): the
    last step in which a pixel's response moved.
    """
    n_taps, n_filters = taps.shape
    n_pixels = offsets.shape[0]
    words = n_pixels // 8 if n_pixels % 8 == 0 else 0
    counts[:] = 0
    for t in range(max(now - n_taps + 1, 1), now + 1):
        slot = t % n_taps
        counts[slot] = _note_changes(frames[t - 1], frames[t], words, places[slot], jumps[slot])
    sums[:] = 0
    stamp[:] = now
    for p in range(n_pixels):
        for k in range(n_filters):
            response[p, k] = -offsets[p, k]
        for j in range(n_taps):
            value = np.int32(frames[max(now - j, 0), p])
            for k in range(n_filters):
                response[p, k] += taps[j, k] * value
        cell = sums[cell_of[p]]
        for k in range(n_filters):
            cell[k] += max(response[p, k], 0)
            cell[n_filters + k] += max(-response[p, k], 0)


@njit(cache=True)
def advance_events(old, new, now, taps, cell_of, response, sums, places, jumps, counts, stamp, moved):
    """Move the state of `begin_events` from frame `old` of step now - 1 to frame `new`; returns the length of `moved`.

    With e_t = x_t - x_{t-1}, nonzero only at changed pixels, r(t) - r(t-1) = sum_j taps[j] e_{t-j}: work is done only
    for the changes of the last m steps. moved (P,) lists the pixels that they touch, each once.
    """
    n_taps, n_filters = taps.shape
    n_pixels = response.shape[0]
    words = n_pixels // 8 if n_pixels % 8 == 0 else 0
    slot = now % n_taps
    counts[slot] = _note_changes(old, new, words, places[slot], jumps[slot])
    n_moved = 0
    for j in range(n_taps):
        slot = (now - j) % n_taps
        for i in range(counts[slot]):
            p = places[slot, i]
            if stamp[p] != now:
                stamp[p] = now
                moved[n_moved] = p
                n_moved += 1
                cell = sums[cell_of[p]]
                for k in range(n_filters):
                    cell[k] -= max(response[p, k], 0)
                    cell[n_filters + k] -= max(-response[p, k], 0)
            jump = np.int32(jumps[slot, i])
            for k in range(n_filters):
                response[p, k] += taps[j, k] * jump
    for i in range(n_moved):
        p = moved[i]
        cell = sums[cell_of[p]]
        for k in range(n_filters):
            cell[k] += max(response[p, k], 0)
            cell[n_filters + k] += max(-response[p, k], 0)
    return n_moved


@njit(cache=True)
def write_all(sums, gain, out):
    """out[i * C + c] = sums[c, i] * gain[c, i] for every cell c and map i."""
    n_cells, n_maps = sums.shape
    for i in range(n_maps):
        for c in range(n_cells):
            out[i * n_cells + c] = sums[c, i] * gain[c, i]


@njit(cache=True)
def _write_moved(sums, gain, cell_of, moved, n_moved, written, out):
    """`write_all` for the cells of the moved pixels alone; written (C,) bool is scratch."""
    n_cells, n_maps = sums.shape
    written[:] = False
    for n in range(n_moved):
        c = cell_of[moved[n]]
        if not written[c]:
            written[c] = True
            for i in range(n_maps):
                out[i * n_cells + c] = sums[c, i] * gain[c, i]


@njit(cache=True, parallel=True)
def encode_events(frames, taps, offsets, cell_of, gain, block, out):
    """Event-driven encoding of one episode.

    frames   (T, P) uint8         taps  (m, K) int32, newest first     offsets  (P, K) int32
    cell_of  (P,) int32 in 0..C-1 gain  (C, 2K) float64                out      (T, 2K * C) float32, filled
    """
    n_frames, n_pixels = frames.shape
    n_taps, n_filters = taps.shape
    for b in prange((n_frames + block - 1) // block):
        start, stop = b * block, min((b + 1) * block, n_frames)
        response = np.empty((n_pixels, n_filters), np.int32)
        sums = np.empty(gain.shape, np.int64)
        places = np.empty((n_taps, n_pixels), np.int32)
        jumps = np.empty((n_taps, n_pixels), np.int16)
        counts, stamp = np.empty(n_taps, np.int64), np.empty(n_pixels, np.int64)
        moved, written = np.empty(n_pixels, np.int32), np.empty(gain.shape[0], np.bool_)
        begin_events(frames, start, taps, offsets, cell_of, response, sums, places, jumps, counts, stamp)
        write_all(sums, gain, out[start])
        for t in range(start + 1, stop):
            n_moved = advance_events(
                frames[t - 1], frames[t], t, taps, cell_of, response, sums, places, jumps, counts, stamp, moved
            )
            out[t] = out[t - 1]
            _write_moved(sums, gain, cell_of, moved, n_moved, written, out[t])


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
            write_all(sums, gain, out[t])


@njit(cache=True)
def encode_step(
    frames, where, restarted, last, now, taps, offsets, cell_of, gain, response, sums, places, jumps, counts, stamp,
    moved, n_moved, out,
):  # fmt: skip
    """Online encoding: one new frame in each of B environments, the same numbers as `encode_events`.

    frames   (B, P) uint8     restarted  (B,) bool, True where the frame is the first of an episode
    where    (B,) bool, environments that move on; all else of the others stays as it is
    last     (B, P) uint8     the newest frames, now (B,) int64 their step in the episode: updated in place, like the
             state of `begin_events` and `advance_events` with a leading axis B, and n_moved (B,), the length of its
             `moved` (of no meaning where restarted)
    out      (B, 2K * C) float32, updated in place (it must hold the previous step's output)
    """
    written = np.empty(gain.shape[0], np.bool_)
    for b in range(frames.shape[0]):
        if not where[b]:
            continue
        if restarted[b]:
            now[b] = 0
            begin_events(
                frames[b : b + 1], 0, taps, offsets, cell_of, response[b], sums[b], places[b], jumps[b], counts[b],
                stamp[b],
            )  # fmt: skip
            write_all(sums[b], gain, out[b])
        else:
            now[b] += 1
            n_moved[b] = advance_events(
                last[b], frames[b], now[b], taps, cell_of, response[b], sums[b], places[b], jumps[b], counts[b],
                stamp[b], moved[b],
            )  # fmt: skip
            _write_moved(sums[b], gain, cell_of, moved[b], n_moved[b], written, out[b])
        last[b] = frames[b]


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
    write_all(sums, gain, out)


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
