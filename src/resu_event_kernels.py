"""How the responses of layer 1 follow the pixels that changed: four filters at a time where K allows it.

P pixels, m taps, K filters, C pooling cells. The loop over the K filters of a pixel is too short for Numba to find the
vector instructions by itself, and as scalar code it takes a third of event-driven encoding: here they are written out.
All is arithmetic of whole numbers: both ways give the same bits.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from llvmlite import ir
from numba import types
from numba.core import cgutils
from numba.extending import intrinsic

from resu_numba import njit

LANES = 4  # 32-bit numbers handled at once: 128 bits, which all processors have
NARROW, WIDE = (ir.VectorType(ir.IntType(bits), LANES) for bits in (32, 64))


def _place(context: Any, builder: ir.IRBuilder, kind: Any, array: Any, index: Sequence[Any], vector: Any) -> Any:
    """Address of array[index] as that of LANES numbers in a row."""
    view = cgutils.create_struct_proxy(kind)(context, builder, value=array)
    address = builder.bitcast(view.data, ir.IntType(8).as_pointer())
    strides = cgutils.unpack_tuple(builder, view.strides, kind.ndim)
    for i, stride in zip(index, strides, strict=True):
        address = builder.gep(address, [builder.mul(i, stride)])
    return builder.bitcast(address, vector.as_pointer())


def _load(builder: ir.IRBuilder, address: Any, width: int) -> Any:
    found = builder.load(address)
    found.align = width  # bytes of one number: rows need not begin at multiples of the vector
    return found


def _store(builder: ir.IRBuilder, value: Any, address: Any, width: int) -> None:
    builder.store(value, address).align = width


def _repeated(builder: ir.IRBuilder, number: Any) -> Any:
    nothing = ir.Constant(NARROW, ir.Undefined)
    first = builder.insert_element(nothing, number, ir.Constant(ir.IntType(32), 0))
    return builder.shuffle_vector(first, nothing, ir.Constant(NARROW, [0] * LANES))


def _positive(builder: ir.IRBuilder, value: Any) -> Any:
    zero = ir.Constant(NARROW, [0] * LANES)
    return builder.select(builder.icmp_signed(">", value, zero), value, zero)


@intrinsic
def _move_four(typing: Any, response: Any, kept: Any, taps: Any, where: Any, jump: Any) -> Any:
    """Of where (p, n, j, k): kept[n, k:k+4] = response[p, k:k+4]; response[p, k:k+4] += taps[j, k:k+4] * jump."""

    def build(context: Any, builder: ir.IRBuilder, signature: Any, values: Any) -> Any:
        response, kept, taps, where, jump = values
        kinds = signature.args
        p, n, j, k = cgutils.unpack_tuple(builder, where)
        at = _place(context, builder, kinds[0], response, (p, k), NARROW)
        old = _load(builder, at, 4)
        _store(builder, old, _place(context, builder, kinds[1], kept, (n, k), NARROW), 4)
        tap = _load(builder, _place(context, builder, kinds[2], taps, (j, k), NARROW), 4)
        _store(builder, builder.add(old, builder.mul(tap, _repeated(builder, jump))), at, 4)
        return context.get_dummy_value()

    return types.none(response, kept, taps, types.UniTuple(types.intp, 4), types.int32), build


@intrinsic
def _settle_four(typing: Any, sums: Any, response: Any, kept: Any, where: Any) -> Any:
    """Of where (c, p, n, k, off): cell c's sums k:k+4 and off:off+4 go from kept[n, k:k+4] to response[p, k:k+4]."""

    def build(context: Any, builder: ir.IRBuilder, signature: Any, values: Any) -> Any:
        sums, response, kept, where = values
        kinds = signature.args
        c, p, n, k, off = cgutils.unpack_tuple(builder, where)
        new = _load(builder, _place(context, builder, kinds[1], response, (p, k), NARROW), 4)
        old = _load(builder, _place(context, builder, kinds[2], kept, (n, k), NARROW), 4)
        on = builder.sub(_positive(builder, new), _positive(builder, old))
        # max(-r, 0) = max(r, 0) - r; what overflows in new - old comes back, as the result lies within 32 bits
        for column, more in ((k, on), (off, builder.sub(on, builder.sub(new, old)))):
            at = _place(context, builder, kinds[0], sums, (c, column), WIDE)
            _store(builder, builder.add(_load(builder, at, 8), builder.sext(more, WIDE)), at, 8)
        return context.get_dummy_value()

    return types.none(sums, response, kept, types.UniTuple(types.intp, 5)), build


@njit()
def move_by_fours(now, bank, events):
    """Move responses and sums to step `now`, whose changes are listed; returns the length of `events.moved`.

    With e_t = x_t - x_{t-1}, nonzero only at changed pixels, r(t) - r(t-1) = sum_j taps[j] e_{t-j}: work is done only
    for the changes of the last m steps. For K a multiple of LANES.
    """
    taps, cell_of = bank.taps, bank.cell_of
    response, sums, places, jumps, counts, stamp, moved, kept = events
    n_taps, n_filters = taps.shape
    n_fours = n_filters // LANES
    n_moved = 0
    for j in range(n_taps):
        slot = (now - j) % n_taps
        for i in range(counts[slot]):
            p = places[slot, i]
            jump = np.int32(jumps[slot, i])
            if stamp[p] == now:  # listed already: what it is now goes to a row that the next pixel overwrites
                for f in range(n_fours):
                    _move_four(response, kept, taps, (p, n_moved, j, LANES * f), jump)
            else:
                stamp[p] = now
                moved[n_moved] = p
                for f in range(n_fours):
                    _move_four(response, kept, taps, (p, n_moved, j, LANES * f), jump)
                n_moved += 1
    for i in range(n_moved):
        p = moved[i]
        for f in range(n_fours):
            _settle_four(sums, response, kept, (cell_of[p], p, i, LANES * f, n_filters + LANES * f))
    return n_moved


@njit()
def move_one_by_one(now, bank, events):
    """`move_by_fours` for any K."""
    taps, cell_of = bank.taps, bank.cell_of
    response, sums, places, jumps, counts, stamp, moved, kept = events
    n_taps, n_filters = taps.shape
    n_moved = 0
    for j in range(n_taps):
        slot = (now - j) % n_taps
        for i in range(counts[slot]):
            p = places[slot, i]
            if stamp[p] != now:
                stamp[p] = now
                moved[n_moved] = p
                for k in range(n_filters):
                    kept[n_moved, k] = response[p, k]
                n_moved += 1
            jump = np.int32(jumps[slot, i])
            for k in range(n_filters):
                response[p, k] += taps[j, k] * jump
    for i in range(n_moved):
        cell = sums[cell_of[moved[i]]]
        for k in range(n_filters):
            new, old = response[moved[i], k], kept[i, k]
            cell[k] += max(new, 0) - max(old, 0)
            cell[n_filters + k] += max(-new, 0) - max(-old, 0)
    return n_moved
