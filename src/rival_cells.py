"""The fastest peers of layer 1 on one game: cells of the benchmark of the core."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

import atari_play
import peers
from players import TASKS
from resu_conv import ReSUEncoder
from resu_moments import LagMoments, changed_fraction
from resu_numba import njit
from resu_threads import for_blocks, n_threads
from stage_io import seconds
from stage_run import Run, measured

MEMORY, HORIZON, N_UNITS, GRID = 8, 4, 4, (12, 12)  # 12 x 12 cells of 7 x 7 pixels: what avg_pool2d can do too
OPTIONS: dict[str, Any] = {"memory": MEMORY, "horizon": HORIZON, "n_units": N_UNITS, "grid": GRID}
CELL = 10  # pixels, height and width of a pooling cell at 210 x 160
AGREE = 1e-4  # largest relative difference of results that count as equal
KINDS = {"moments": peers.GRAMS, "encode": peers.CODES}


@dataclass(frozen=True)
class Rivals:
    """The fastest peers on one game; size 84, or 0 for the whole screen; other options as in `Config`."""

    game: str
    size: int
    n_frames: int
    repeats: int
    chunk: int


def fastest(times: dict[str, float], names: Sequence[str]) -> tuple[str, float]:
    """The peer with the least time, and that time."""
    name = min((name for name in names if name in times), key=times.__getitem__)
    return name, times[name]


def least_ratio(rivals: Mapping[tuple[str, int], dict[str, Any]], what: str) -> tuple[float, str]:
    """How many times the fastest peer's rate ours is where that is least, and where and against whom."""
    found = []
    for (game, size), rival in rivals.items():
        name, peer = fastest(rival["peers"], KINDS[what])
        place = f"{TASKS[game].label}{'' if size else ' at 210 x 160'}"
        found.append((peer / rival["ours"][what], f"{place}, {name}"))
    return min(found)


def rows(n_frames: int, rivals: Mapping[tuple[str, int], dict[str, Any]]) -> list[dict[str, Any]]:
    """Our times for so many frames, and how many of them the fastest peer takes."""

    def row(what: str, time: float, more: str) -> dict[str, Any]:
        return {"what": what, "seconds": time, "frames/s": f"{n_frames / time:,.0f}", "a peer / ours": more}

    found = []
    for (game, size), rival in rivals.items():
        place = f"{TASKS[game].label}{'' if size else ' at 210 x 160'}"
        for what, names in KINDS.items():
            name, peer = fastest(rival["peers"], names)
            ours, moving = rival["ours"][what], f"{rival['changed']:.2%} of the pixels change"
            found.append(row(f"{place} ({moving}): {what}, against {name}", ours, f"{peer / ours:.3g}"))
        alone = rival["arithmetic"]
        found.append(
            row(f"{place}: the products of dense encoding alone", alone, f"{alone / rival['ours']['encode']:.2g}")
        )
    return found


@njit(nogil=True)
def _arithmetic(pixels: np.ndarray, taps: np.ndarray, response: np.ndarray, times: int) -> None:
    """As layer 1 does, on what fits into the nearest cache: pixels (n,) uint8, response (n,) int32."""
    for i in range(times):
        tap = taps[i % taps.size]
        for p in range(pixels.size):
            response[p] += tap * np.int32(pixels[p])


def arithmetic_seconds(n_products: int, repeats: int) -> float:
    """What the cores need for so many products of 32-bit integers and their sums, and nothing else."""
    n, rng = 4096, np.random.default_rng(0)
    pixels, taps = rng.integers(0, 256, n).astype(np.uint8), rng.integers(-99, 99, 64).astype(np.int32)
    times = max(n_products // n // n_threads(), 1)

    def compute() -> None:
        for_blocks(lambda i: _arithmetic(pixels, taps, np.zeros(n, np.int32), times), n_threads())

    _arithmetic(pixels, taps, np.zeros(n, np.int32), 1)
    return seconds(compute, repeats)


@measured()
def time_rivals(run: Run, r: Rivals) -> dict[str, Any]:
    """One game: ours and the fastest peers', of moments and of encoding.

    Returns   changed: share of pixels that change in a step; ours: {what: seconds}; peers: {name: seconds};
              arithmetic: seconds for the products of dense encoding alone
    Raises    ValueError if the results differ.
    """
    frames = atari_play.random_frames(r.game, r.size, r.n_frames, **TASKS[r.game].env)
    grid = GRID if r.size else (frames.shape[1] // CELL, frames.shape[2] // CELL)
    encoder, pixels = ReSUEncoder(**{**OPTIONS, "grid": grid}).fit([frames]), frames.reshape(len(frames), -1)
    encoder.encode(frames[:200])
    ours: dict[str, Callable[[], Any]] = {
        "moments": lambda: LagMoments(MEMORY, HORIZON).update(pixels),
        "encode": lambda: encoder.encode(frames),
    }
    mine = {name: seconds(compute, r.repeats) for name, compute in ours.items()}
    times, results = peers.dense(frames, encoder, r.repeats, r.chunk, peers.FAST)
    agree(results, ours["moments"]().gram, ours["encode"]())
    return {
        "changed": changed_fraction(pixels),
        "ours": mine,
        "peers": times,
        "arithmetic": arithmetic_seconds(frames.size * MEMORY * N_UNITS, r.repeats),
    }


def agree(results: dict[str, np.ndarray], gram: np.ndarray, features: np.ndarray) -> tuple[float, float]:
    """How far the peers' Gram matrices and features are from ours. Raises ValueError if that is more than rounding."""
    of_grams = {name: float(np.abs(results[name] / gram - 1).max()) for name in peers.GRAMS if name in results}
    of_codes = {
        name: float(np.abs(results[name] - features).max() / np.abs(features).max())
        for name in peers.CODES
        if name in results
    }
    strange = [f"{name} ({error:.1e})" for name, error in {**of_grams, **of_codes}.items() if not error <= AGREE]
    if strange:
        raise ValueError(f"other results than ours, so that timings mean nothing: {', '.join(strange)}")
    return max(of_grams.values()), max(of_codes.values())
