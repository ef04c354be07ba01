"""The compiled loops of layer 1: rectified pooled responses. Arrays in, arrays out, nothing else.

T frames, P pixels, m taps, K filters, C pooling cells.

As in `resu_moment_kernels` there is a *dense* loop and an *event-driven* one with the same bits. What goes together is
handed over together, as a `Bank` or as `Events`.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from resu_event_kernels import LANES, move_by_fours, move_one_by_one
from resu_moment_kernels import changes
from resu_numba import COMPILED, njit

# r_k(t, p) = sum_j taps[j, k] * frame[t - j, p] + bias[k, p]       int32; the caller bounds sum_j |taps| * 255 by 2^30
# sums[c, k] = sum over pixels p of cell c of max(r_k, 0)           int64; sums[c, K + k] holds max(-r_k, 0)
# output[i * C + c] = sums[c, i] * gain[c, i]                       one float64 product, rounded once to float32


class Bank(NamedTuple):
    """Layer 1 in the numbers that give every implementation the same bits.

    taps      (m, K) int32, newest first
    bias      (K, P) int32, the response of each pixel to nothing: minus the mean's response
    cell_of   (P,) int32 in 0 .. C - 1; the cells are the rectangles between the edges
    row_edges (rows + 1,) int64, column_edges (columns + 1,) int64: the last ones are H and W
    gain      (C, 2K) float64, from summed responses to features
    unit      (K,) float64, value of one integer step of a response
    """

    taps: np.ndarray
    bias: np.ndarray
    cell_of: np.ndarray
    row_edges: np.ndarray
    column_edges: np.ndarray
    gain: np.ndarray
    unit: np.ndarray


class Events(NamedTuple):
    """What the event-driven loop knows of one stream of frames; made by `new_events`, filled by `begin_events`.

    response  (P, K) int32, sums (C, 2K) int64: of the newest frame
    places    (m, P) int32, jumps (m, P) int16, counts (m,) int64: the changes of the last m steps, those of step t in
              slot t mod m: pixels, differences, how many
    stamp     (P,) int64, the last step in which a pixel's response moved
    moved     (P,) int32, the pixels that moved in the newest step, each once, at the front
    kept      (P + 1, K) int32, in the same order: their responses before that step
    """

    response: np.ndarray
    sums: np.ndarray
    places: np.ndarray
    jumps: np.ndarray
    counts: np.ndarray
    stamp: np.ndarray
    moved: np.ndarray
    kept: np.ndarray


class Games(NamedTuple):
    """What online encoding knows of B streams.

    events    with a leading axis B          n_moved  (B,) int64, pixels in `events.moved` (of no meaning after a start)
    last      (B, P) uint8, newest frames    now      (B,) int64, their steps in their episodes
    out       (B, 2K * C) float32, newest features
    """

    events: Events
    n_moved: np.ndarray
    last: np.ndarray
    now: np.ndarray
    out: np.ndarray


def new_events(bank: Bank, n: tuple[int, ...] = ()) -> Events:
    """Room for the events of one stream, or with further leading axes n."""
    (m, k), p = bank.taps.shape, bank.cell_of.size
    return Events(
        np.empty((*n, p, k), np.int32),
        np.empty((*n, *bank.gain.shape), np.int64),
        np.empty((*n, m, p), np.int32),
        np.empty((*n, m, p), np.int16),
        np.empty((*n, m), np.int64),
        np.empty((*n, p), np.int64),
        np.empty((*n, p), np.int32),
        np.empty((*n, p + 1, k), np.int32),
    )


def new_games(bank: Bank, n: int) -> Games:
    """Room for n streams."""
    last, out = np.empty((n, bank.cell_of.size), np.uint8), np.empty((n, bank.gain.size), np.float32)
    return Games(new_events(bank, (n,)), np.zeros(n, np.int64), last, np.zeros(n, np.int64), out)


@njit()
def _note_changes(old, new, places, jumps):
    """Write where two uint8 frames differ to `places`, and by how much to `jumps`; returns the number of pixels."""
    n = changes(old, new, places)
    for i in range(n):
        jumps[i] = np.int16(new[places[i]]) - np.int16(old[places[i]])
    return n


@njit()
def begin_events(frames, now, bank, events):
    """Evaluate every pixel of frame `now` and note the changes that led to it. Frames before row 0 repeat row 0."""
    taps, bias = bank.taps, bank.bias
    n_taps, n_filters = taps.shape
    response, sums = events.response, events.sums
    events.counts[:] = 0
    for t in range(max(now - n_taps + 1, 1), now + 1):
        slot = t % n_taps
        events.counts[slot] = _note_changes(frames[t - 1], frames[t], events.places[slot], events.jumps[slot])
    sums[:] = 0
    events.stamp[:] = now
    for p in range(bias.shape[1]):
        for k in range(n_filters):
            response[p, k] = bias[k, p]
        for j in range(n_taps):
            value = np.int32(frames[max(now - j, 0), p])
            for k in range(n_filters):
                response[p, k] += taps[j, k] * value
        cell = sums[bank.cell_of[p]]
        for k in range(n_filters):
            cell[k] += max(response[p, k], 0)
            cell[n_filters + k] += max(-response[p, k], 0)


@njit()
def advance_events(old, new, now, bank, events):
    """Move the events from frame `old` of step now - 1 to frame `new`; returns the length of `events.moved`."""
    slot = now % len(bank.taps)
    events.counts[slot] = _note_changes(old, new, events.places[slot], events.jumps[slot])
    if COMPILED and bank.taps.shape[1] % LANES == 0:
        return move_by_fours(now, bank, events)
    return move_one_by_one(now, bank, events)


@njit()
def write_all(sums, gain, out):
    """out[i * C + c] = sums[c, i] * gain[c, i] for every cell c and map i."""
    n_cells, n_maps = sums.shape
    for i in range(n_maps):
        for c in range(n_cells):
            out[i * n_cells + c] = sums[c, i] * gain[c, i]


@njit()
def _write_moved(bank, sums, moved, written, out):
    """`write_all` for the cells of the moved pixels alone; written (C,) bool is scratch."""
    n_cells, n_maps = sums.shape
    written[:] = False
    for p in moved:
        c = bank.cell_of[p]
        if not written[c]:
            written[c] = True
            for i in range(n_maps):
                out[i * n_cells + c] = sums[c, i] * bank.gain[c, i]


@njit(nogil=True)
def encode_events(frames, start, stop, bank, events, out):
    """Event-driven encoding of frames start .. stop - 1 of one episode (T, P) uint8; fills the rows out[start:stop].

    events   scratch       out   (T, 2K * C) float32
    """
    written = np.empty(bank.gain.shape[0], np.bool_)
    begin_events(frames, start, bank, events)
    write_all(events.sums, bank.gain, out[start])
    for t in range(start + 1, stop):
        n_moved = advance_events(frames[t - 1], frames[t], t, bank, events)
        out[t] = out[t - 1]
        _write_moved(bank, events.sums, events.moved[:n_moved], written, out[t])


@njit(nogil=True)
def encode_step(frames, where, restarted, bank, games):
    """Online encoding: one new frame in each of B environments, the same numbers as `encode_events`.

    frames   (B, P) uint8     restarted  (B,) bool, True where the frame is the first of an episode
    where    (B,) bool, environments that move on; all else of the others stays as it is
    games    `Games`, brought up to date
    """
    written = np.empty(bank.gain.shape[0], np.bool_)
    response, sums, places, jumps, counts, stamp, moved, kept = games.events
    now, out = games.now, games.out
    for b in range(frames.shape[0]):
        if not where[b]:
            continue
        events = Events(response[b], sums[b], places[b], jumps[b], counts[b], stamp[b], moved[b], kept[b])
        if restarted[b]:
            now[b] = 0
            begin_events(frames[b : b + 1], 0, bank, events)
            write_all(sums[b], bank.gain, out[b])
        else:
            now[b] += 1
            n_moved = advance_events(games.last[b], frames[b], now[b], bank, events)
            games.n_moved[b] = n_moved
            _write_moved(bank, sums[b], moved[b, :n_moved], written, out[b])
        games.last[b] = frames[b]


@njit()
def _respond(row, tap, response):
    for p in range(response.size):
        response[p] += tap * np.int32(row[p])


@njit()
def _rectify(response, on, off):
    for x in range(response.size):
        on[x] += max(response[x], 0)
        off[x] += max(-response[x], 0)


@njit()
def _dense_frame(frames, rows, bank, shift, response, sums, out):
    """One frame of `encode_dense`: tap j sees row rows[j] of `frames`; response (P,) and sums (C, 2K) are scratch."""
    taps, row_edges, column_edges = bank.taps, bank.row_edges, bank.column_edges
    n_taps, n_filters = taps.shape
    n_rows, n_columns = row_edges.size - 1, column_edges.size - 1
    width = column_edges[n_columns]
    on, off = np.empty(width, np.int64), np.empty(width, np.int64)
    for k in range(n_filters):
        for p in range(response.size):
            response[p] = bank.bias[k, p] + shift[k]
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
    write_all(sums, bank.gain, out)


@njit(nogil=True)
def encode_dense(frames, start, stop, bank, shifts, out):
    """Dense encoding of frames start .. stop - 1 of one episode (T, P) uint8; fills the rows out[start:stop].

    Every pixel of every frame is evaluated; without shifts the numbers are those of `encode_events`.
    shifts   (T, K) int32, added to every response of frame t before rectification: what a further input does
    """
    response, sums = np.empty(bank.bias.shape[1], np.int32), np.empty(bank.gain.shape, np.int64)
    rows = np.empty(bank.taps.shape[0], np.int64)
    for t in range(start, stop):
        for j in range(rows.size):
            rows[j] = max(t - j, 0)
        _dense_frame(frames, rows, bank, shifts[t], response, sums, out[t])


@njit(nogil=True)
def encode_step_shifted(history, rows, bank, shifts, out):
    """Newest frame of each of B environments, the same numbers as `encode_dense`.

    history  (B, R, P) uint8     rows (m,) int64: which row of history each tap sees     shifts (B, K) int32
    out      (B, 2K * C) float32, filled
    """
    response, sums = np.empty(history.shape[2], np.int32), np.empty(bank.gain.shape, np.int64)
    for b in range(history.shape[0]):
        _dense_frame(history[b], rows, bank, shifts[b], response, sums, out[b])


@njit(nogil=True)
def first_layer_responses(frames, start, stop, bank, out):
    """Responses of layer 1, not rectified, to frames start .. stop - 1: out (stop - start, P, K) int32, filled."""
    taps = bank.taps
    response = np.empty(frames.shape[1], np.int32)
    for t in range(start, stop):
        for k in range(taps.shape[1]):
            response[:] = bank.bias[k]
            for j in range(taps.shape[0]):
                _respond(frames[max(t - j, 0)], taps[j, k], response)
            for p in range(response.size):
                out[t - start, p, k] = response[p]
