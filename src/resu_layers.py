"""Fitted layers: all that encoding needs, built once and never changed.

T frames of H x W pixels, P = H * W, m taps, K units of layer 1 (2K ON/OFF maps), S steps and K2 units of a layer above,
C = rows * columns pooling cells.

Layer 1 works on integers from end to end: its taps are rounded to multiples of a power of two (relative error below
2^-20), so that a response and every sum of responses is an exact integer. Dense and event-driven, offline and online
encoding therefore give the same bits, whatever the blocks and threads. The layers above see 3 x 3 patches of maps over
some steps; their responses are kept as multiples of 2^-16 for the same reason (resu_patch_layers.py).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property, lru_cache
from typing import Any, Self

import numpy as np

import resu_core
import resu_layer1_kernels
import resu_moments
import resu_patch_kernels
import resu_patch_layers
from resu_layer1_kernels import Bank
from resu_moments import BLOCK
from resu_patch_kernels import Above
from resu_patch_layers import PatchLayer
from resu_patch_moments import NEIGHBOURHOOD
from resu_threads import for_spans

DENSE_FRACTION = 0.05  # above this share of changed pixels dense encoding is the faster (bench_core.py)
RESPONSE_BITS = 30  # sum_j |tap_j| * 255 stays below 2^30: responses fit in 32 bits
UPPER_BITS = 29  # of the responses of the layers above: LARGEST * FRACTION < 2^29
UPPER_BLOCK = 512  # frames per block of the layers above; results do not depend on it
MAP_BLOCK = 32  # frames per block of the maps of layer 1; nor do they on this


def as_episode(frames: Any, where: str = "frames") -> np.ndarray:
    """frames as (T, H, W) uint8.

    Raises   ValueError naming `where` if the shape or dtype is another, or there are no frames.
    """
    frames = np.asarray(frames)
    if frames.ndim != 3 or frames.dtype != np.uint8:
        raise ValueError(f"{where} must be a uint8 array (T, H, W), not {frames.dtype} of shape {frames.shape}")
    if 0 in frames.shape:
        raise ValueError(f"{where} is empty: shape {frames.shape}")
    return frames


def expect(name: str, array: np.ndarray, shape: tuple[int, ...]) -> None:
    """Raise ValueError naming `name` unless the array is finite float64 of this shape."""
    if array.shape != shape or array.dtype != np.float64 or not np.isfinite(array).all():
        raise ValueError(f"{name} is {array.dtype} {array.shape} where finite float64 {shape} is expected")


def cell_edges(grid: tuple[int, int], shape: tuple[int, int]) -> tuple[np.ndarray, np.ndarray]:
    """Where the rows and the columns of pooling cells begin, and the last ones end: floor(i H / n) for n over H pixels.

    grid   (rows, columns)     shape   (H, W)      Raises  ValueError if there are more of them than pixels.
    """
    if grid[0] > shape[0] or grid[1] > shape[1]:
        raise ValueError(f"a grid of {grid} cells does not fit frames of {shape[0]} x {shape[1]} pixels")
    rows, columns = (np.arange(n + 1) * size // n for n, size in zip(grid, shape, strict=True))
    return rows, columns


@lru_cache(maxsize=16)
def _cells(grid: tuple[int, int], shape: tuple[int, int]) -> tuple[np.ndarray, ...]:
    """`cell_edges`, the cell of each pixel (H * W,) int32, and how many pixels each has (C,) int64; read-only."""
    row_edges, column_edges = cell_edges(grid, shape)
    rows, columns = (np.repeat(np.arange(len(e) - 1), np.diff(e)) for e in (row_edges, column_edges))
    cell_of = (rows[:, None] * grid[1] + columns).astype(np.int32).ravel()
    found = row_edges, column_edges, cell_of, np.bincount(cell_of)
    for array in found:
        array.setflags(write=False)
    return found


@dataclass(frozen=True)
class FirstLayer:
    """A fitted layer 1 and the numbers in which it is computed; made by `build`.

    filters (K, m) float64, newest tap first    correlations (K,) float64, NaN for filters that were not fitted
    mean    (H, W) float64 [grey values]        bank  as the kernels take it
    """

    filters: np.ndarray
    correlations: np.ndarray
    mean: np.ndarray
    bank: Bank

    @classmethod
    def build(
        cls,
        filters: np.ndarray,
        correlations: np.ndarray,
        mean: np.ndarray,
        grid: tuple[int, int],
        further: np.ndarray | float = 0.0,
    ) -> Self:
        """Round to integers and lay out the cells.

        grid      (rows, columns) of the pooling cells; the edges of n cells over H pixels are floor(i H / n)
        further   (K,) or a number: the largest that a further input adds to a response
        Raises    ValueError if the grid has more rows or columns than the frames, a filter is zero, or a mean is no
                  grey value.
        """
        height, width = mean.shape
        if not (mean.min() > -0.5 and mean.max() < 255.5):  # decayed sums may round to a little more than 255
            raise ValueError(f"means must be grey values in 0 .. 255, not in {mean.min():g} .. {mean.max():g}")
        reach = 255.0 * np.abs(filters).sum(axis=1) + further
        if (reach == 0).any():
            raise ValueError("a filter has no tap that differs from zero")
        scale = 2.0 ** np.floor(RESPONSE_BITS - np.log2(reach))
        taps = np.rint(filters * scale[:, None])
        bias = -np.rint(taps.sum(axis=1)[:, None] * mean.ravel())
        row_edges, column_edges, cell_of, area = _cells(grid, (height, width))
        gain = np.tile(1 / scale, 2) / area[:, None]
        taps, bias = np.ascontiguousarray(taps.T, np.int32), np.ascontiguousarray(bias, np.int32)
        return cls(filters, correlations, mean, Bank(taps, bias, cell_of, row_edges, column_edges, gain, 1 / scale))

    @property
    def n_features(self) -> int:
        """2K C."""
        return self.bank.gain.size

    def check_frames(self, frames: Any) -> np.ndarray:
        """frames as C-contiguous (T, H, W) uint8. Raises ValueError if they are of another size or dtype."""
        frames = as_episode(frames)
        if frames.shape[1:] != self.mean.shape:
            raise ValueError(f"frames are {frames.shape[1:]} pixels, but this encoder was fitted on {self.mean.shape}")
        return np.ascontiguousarray(frames)

    def encode(self, frames: np.ndarray, method: str = "auto") -> np.ndarray:
        """Checked frames (T, H, W) of one episode -> (T, 2K C) float32. method "auto", "dense" or "events"."""
        pixels = frames.reshape(len(frames), -1)
        if method == "dense" or (method == "auto" and resu_moments.changed_fraction(pixels) > DENSE_FRACTION):
            return self.encode_shifted(frames, np.zeros((len(frames), len(self.filters)), np.int32))
        out = np.empty((len(frames), self.n_features), np.float32)

        def encode(start: int, stop: int) -> None:
            events = resu_layer1_kernels.new_events(self.bank)
            resu_layer1_kernels.encode_events(pixels, start, stop, self.bank, events, out)

        for_spans(encode, len(frames), BLOCK)
        return out

    def encode_shifted(self, frames: np.ndarray, shifts: np.ndarray) -> np.ndarray:
        """The dense way, with (T, K) int32 added to the responses before they are rectified."""
        pixels, out = frames.reshape(len(frames), -1), np.empty((len(frames), self.n_features), np.float32)

        def encode(start: int, stop: int) -> None:
            resu_layer1_kernels.encode_dense(pixels, start, stop, self.bank, shifts, out)

        for_spans(encode, len(frames), BLOCK)
        return out


@dataclass(frozen=True)
class Layers:
    """Layer 1 and the layers above it, lowest first.

    Raises   ValueError if a layer does not fit the frame size, the maps below it, or the other layers.
    """

    first: FirstLayer
    upper: tuple[PatchLayer, ...] = ()

    def __post_init__(self) -> None:
        n_maps = 2 * len(self.first.filters)
        for i, layer in enumerate(self.upper, start=2):
            size = layer.mean.shape[:2]
            if size != self.first.mean.shape:
                raise ValueError(
                    f"layer {i} was fitted on frames of {size} pixels, but layer 1 on {self.first.mean.shape}: "
                    "fit all layers on frames of one size"
                )
            n_units, n_steps = self.upper[0].filters.shape[:2]
            expect(f"filters of layer {i}", layer.filters, (n_units, n_steps, NEIGHBOURHOOD, NEIGHBOURHOOD, n_maps))
            expect(f"mean of layer {i}", layer.mean, (*size, n_maps))
            n_maps = 2 * n_units

    @cached_property
    def above(self) -> tuple[Above, ...]:
        """The layers above as the kernels take them."""
        area, found = np.bincount(self.first.bank.cell_of), []
        lower, reach = self.first.bank.unit, RESPONSE_BITS
        for layer in self.upper:
            found.append(resu_patch_layers.above(layer, np.tile(lower, 2), reach, area))
            lower, reach = np.full(len(layer.filters), 1.0 / resu_patch_kernels.FRACTION), UPPER_BITS
        return tuple(found)

    def n_features_of(self, layer: int) -> int:
        """The length of the feature vector of layer 1, 2, ..."""
        return self.first.n_features if layer == 1 else self.above[layer - 2].gain.size

    @property
    def n_features(self) -> int:
        """The length of the feature vector of the topmost layer."""
        return self.n_features_of(1 + len(self.upper))

    def encode(self, frames: np.ndarray, layers: Sequence[int]) -> list[np.ndarray]:
        """Features of some layers of one episode in one pass: checked frames -> [(T, D_layer) float32 for each]."""
        if not self.upper:
            return [self.first.encode(frames)] * len(layers)
        pooled, _ = self._run(frames, 0, layers, with_maps=False)
        return [pooled[layer - 1] for layer in layers]

    def _run(
        self, frames: np.ndarray, start: int, pool: Sequence[int], with_maps: bool
    ) -> tuple[list[np.ndarray], np.ndarray]:
        """All layers for the frames from `start` on: pooled features of each layer named in `pool` (others have no
        column), and the topmost layer's responses (T - start, P, K2) int32 (or no row)."""
        bank, pixels, n = self.first.bank, frames.reshape(len(frames), -1), len(frames) - start
        pooled = [
            np.empty((n, self.n_features_of(layer) if layer in pool else 0), np.float32)
            for layer in range(1, len(self.upper) + 2)
        ]
        n_units = self.above[-1].factor.size
        maps = np.empty((n if with_maps else 0, pixels.shape[1], n_units), np.int32)

        def encode(begin: int, end: int) -> None:
            events, patches = resu_layer1_kernels.new_events(bank), resu_patch_kernels.new_patches(self.above)
            span = self.lead(start + begin), start + begin, start + end
            parts = tuple(features[begin:end] for features in pooled)
            resu_patch_kernels.encode_layers(pixels, span, bank, events, self.above, patches, parts, maps[begin:end])

        for_spans(encode, n, UPPER_BLOCK)
        return pooled, maps

    @property
    def unit(self) -> np.ndarray:
        """(K,) float64: value of one integer step of the topmost layer's responses."""
        if self.upper:
            return np.full(len(self.upper[-1].filters), 1.0 / resu_patch_kernels.FRACTION)
        return self.first.bank.unit

    def lead(self, start: int) -> int:
        """The step at which the layers must begin for the topmost one to be right from step `start` on."""
        return max(start - sum(layer.filters.shape[1] - 1 for layer in self.upper), 0)

    def section(self, frames: np.ndarray, start: int, stop: int) -> tuple[np.ndarray, int]:
        """The part of an episode that the topmost layer sees in steps start .. stop - 1, and where `start` is in it."""
        begin = max(self.lead(start) - len(self.first.bank.taps) + 1, 0)
        return np.ascontiguousarray(frames[begin:stop]), start - begin

    def responses(self, frames: np.ndarray, start: int, stop: int) -> np.ndarray:
        """(stop - start, P, K) int32: the topmost layer's, in steps of `unit`, of one episode from its start on."""
        bank = self.first.bank
        frames, skip = self.section(frames, start, stop)
        if self.upper:
            return self._run(frames, skip, (), with_maps=True)[1]
        pixels = frames.reshape(len(frames), -1)
        found = np.empty((stop - start, pixels.shape[1], len(bank.unit)), np.int32)
        for_spans(
            lambda a, b: resu_layer1_kernels.first_layer_responses(pixels, skip + a, skip + b, bank, found[a:b]),
            len(found),
            MAP_BLOCK,
        )
        return found

    def maps(self, frames: np.ndarray, start: int, stop: int) -> np.ndarray:
        """ON/OFF maps of the topmost layer, steps start .. stop - 1 of one episode (T, H, W) uint8 from its start on.

        Returns  (stop - start, H, W, 2 K2) float32, of layer 1 alone (..., 2K)
        """
        responses = self.responses(frames, start, stop)
        value = np.empty(responses.shape, np.float32)
        np.multiply(responses, self.unit, out=value, casting="same_kind")  # in float64, then rounded
        return resu_core.rectify(value).reshape(stop - start, *self.first.mean.shape, -1)
