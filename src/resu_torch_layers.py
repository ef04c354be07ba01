"""All layers in torch, densely, for GPUs and for other people's networks: the same bits on every device.

Everything is a whole number below 2^53, where float64 is exact: no order of additions matters.

T frames of H x W pixels, m taps, S steps and K units of a layer, M maps below it; R frames are all that the topmost
layer sees at a time.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Self

import numpy as np

from resu_layers import Layers
from resu_online import flags_of
from resu_patch_kernels import FRACTION, LARGEST, Above
from resu_torch_kernels import BLOCK, torch, usable

DEEP_BLOCK = 64  # frames per step with layers above the first, which take 24 S M bytes per pixel and frame


def encode(layers: Layers, frames: np.ndarray, device: str) -> np.ndarray:
    """Features of the topmost layer of one episode (T, H, W) uint8: (T, D) float32."""
    module = DenseLayers(layers).to(usable(device))
    return module.encode(torch.from_numpy(frames).to(device)).cpu().numpy()


class DenseLayers(torch.nn.Module):
    """All layers with rectification and pooling, without parameters: windows of frames -> features of the topmost one.

    layers    of a fitted encoder
    memory    R, the frames in a window: m, and S - 1 more for each layer above the first
    forward   (B, R, H, W) uint8 or float of grey values 0 to 255, newest frame first -> (B, D) float32
    """

    taps: torch.Tensor
    bias: torch.Tensor
    rows: torch.Tensor
    columns: torch.Tensor
    gain: torch.Tensor

    def __init__(self, layers: Layers) -> None:
        super().__init__()
        bank, gain = layers.first.bank, layers.above[-1].gain if layers.above else layers.first.bank.gain
        shape, grid = layers.first.mean.shape, (len(bank.row_edges) - 1, len(bank.column_edges) - 1)
        self.register_buffer("taps", torch.from_numpy(bank.taps.astype(np.float64)))  # (m, K), newest first
        self.register_buffer("bias", torch.from_numpy(bank.bias.T.astype(np.float64)).reshape(*shape, -1))  # (H, W, K)
        self.register_buffer("rows", _membership(bank.row_edges))  # (rows, H)
        self.register_buffer("columns", _membership(bank.column_edges))  # (columns, W)
        self.register_buffer("gain", torch.from_numpy(np.array(gain.T)).reshape(-1, *grid))  # (2K, rows, columns)
        self.memory = len(bank.taps) + sum(len(above.weights) - 1 for above in layers.above)
        self.above = torch.nn.ModuleList(_DenseAbove(above, shape) for above in layers.above)

    def _apply(self, fn: Callable[[torch.Tensor], torch.Tensor], recurse: bool = True) -> Self:
        """What `.to`, `.half()`, `.cuda()` of a network around it do here: the device changes, the numbers do not."""
        for module in self.modules():
            for name, buffer in module._buffers.items():
                if buffer is not None:
                    module._buffers[name] = buffer.to(fn(buffer).device)
        return self

    def forward(self, windows: torch.Tensor) -> torch.Tensor:
        """See the class."""
        return self.pool(self.responses(windows.flip(1)))[:, 0]

    def responses(self, frames: torch.Tensor) -> torch.Tensor:
        """The topmost layer's: (B, R + n - 1, H, W), oldest frame first -> (B, n, H, W, K) float64, whole numbers."""
        n_taps = self.taps.shape[0]
        found = frames.to(torch.float64).unfold(1, n_taps, 1) @ self.taps.flip(0) + self.bias
        for layer in self.above:
            found = layer(found)
        return found

    def pool(self, responses: torch.Tensor) -> torch.Tensor:
        """(B, n, H, W, K) -> features (B, n, D) float32."""
        maps = torch.cat([responses.clamp(min=0), (-responses).clamp(min=0)], dim=-1)
        sums = self.rows @ maps.permute(0, 1, 4, 2, 3) @ self.columns.T
        return (sums * self.gain).flatten(2).to(torch.float32)

    @torch.no_grad()
    def encode(self, frames: torch.Tensor) -> torch.Tensor:
        """One episode (T, H, W) uint8 -> (T, D) float32; before the first R - 1 frames the first one is repeated."""
        size, out = DEEP_BLOCK if len(self.above) else BLOCK, []
        if frames.device.type != "cpu":
            size = BLOCK  # so that the device is busy; on the cores smaller blocks stay in their caches
        for start in range(0, len(frames), size):
            out.append(self.pool(self.responses_of(frames, start, min(start + size, len(frames))))[0])
        return torch.cat(out)

    def responses_of(self, frames: torch.Tensor, start: int, stop: int) -> torch.Tensor:
        """The topmost layer's in steps start .. stop - 1 of an episode (T, H, W): (1, stop - start, H, W, K)."""
        steps = torch.arange(start - self.memory + 1, stop, device=frames.device)
        return self.responses(frames[steps.clamp(min=0)][None])


class _DenseAbove(torch.nn.Module):
    """A layer above the first: responses below (B, S + n - 1, H, W, K'), whole numbers -> its own (B, n, H, W, K)."""

    weights: torch.Tensor
    mean: torch.Tensor
    factor: torch.Tensor

    def __init__(self, above: Above, shape: tuple[int, int]) -> None:
        super().__init__()
        n_steps, n_maps, n_units = len(above.weights), above.mean.shape[1], len(above.factor)
        given = above.weights[0].reshape(n_maps, 3, 3, n_steps, n_units)  # [map, row, column, step, unit]
        seen = given[:, ::-1, ::-1, ::-1].transpose(
            3, 1, 0, 2, 4
        )  # by a unit, of the patch around it, oldest step first
        self.register_buffer("weights", torch.from_numpy(seen.reshape(n_steps, 3, n_maps, 3 * n_units)))
        self.register_buffer("mean", torch.from_numpy(above.mean.astype(np.float64)).reshape(*shape, n_maps))
        self.register_buffer("factor", torch.from_numpy(np.array(above.factor)))
        self.bits = above.bits

    def forward(self, lower: torch.Tensor) -> torch.Tensor:
        """See the class. Steps, rows and maps go into one product; the columns of a patch are added afterwards."""
        maps = torch.cat([lower.clamp(min=0), (-lower).clamp(min=0)], dim=-1)
        centred = torch.floor(maps / 2**self.bits + (0.5 if self.bits else 0.0)) - self.mean
        n_steps, width = self.weights.shape[0], centred.shape[3]
        padded = torch.nn.functional.pad(centred, (0, 0, 1, 1, 1, 1))
        stacked = padded.unfold(1, n_steps, 1).unfold(2, 3, 1).permute(0, 1, 2, 3, 5, 6, 4).flatten(4)
        columns = (stacked @ self.weights.flatten(0, 2)).unflatten(-1, (3, -1))
        left, middle, right = (columns[:, :, :, dx : dx + width, dx] for dx in range(3))
        most = LARGEST * FRACTION
        return ((left + middle + right) * self.factor).clamp(-most, most).round()


class TorchOnline:
    """`OnlineEncoder` on a device of torch: the same calls and the same numbers; made by `ReSUEncoder.online`.

    Every step evaluates the windows of all environments anew, for which their last R frames are kept on the device.
    """

    def __init__(self, layers: Layers, n: int, device: str) -> None:
        self._first, self._n, self._device = layers.first, n, usable(device)
        self._layers = DenseLayers(layers).to(self._device)
        self._past: torch.Tensor | None = None  # (n, R, H, W) uint8, newest first
        self._features = np.empty((n, layers.n_features), np.float32)

    def reset(self, frames: np.ndarray) -> np.ndarray:
        """As `OnlineEncoder.reset`."""
        frames = self._first.check_frames(frames)
        restarted, where = flags_of(self._n, frames, None, None, default=(True, True))
        past = torch.zeros(self._n, self._layers.memory, *frames.shape[1:], dtype=torch.uint8, device=self._device)
        return self._advance(past, frames, restarted, where)

    def step(
        self, frames: np.ndarray, restarted: np.ndarray | None = None, where: np.ndarray | None = None
    ) -> np.ndarray:
        """As `OnlineEncoder.step`."""
        if self._past is None:
            raise ValueError("call reset(frames) with the first frames before step")
        frames = self._first.check_frames(frames)
        restarted, where = flags_of(self._n, frames, restarted, where, default=(False, True))
        return self._advance(self._past, frames, restarted, where)

    @torch.no_grad()
    def _advance(self, past: torch.Tensor, frames: np.ndarray, restarted: np.ndarray, where: np.ndarray) -> np.ndarray:
        moving = np.flatnonzero(where)
        if not len(moving):
            return self._features.copy()
        at = torch.from_numpy(moving).to(self._device)
        newest = torch.from_numpy(frames[moving]).to(self._device)[:, None]
        begun = torch.from_numpy(restarted[moving]).to(self._device)[:, None, None, None]
        windows = torch.cat([newest, torch.where(begun, newest, past[at, :-1])], dim=1)
        features = self._layers(windows).cpu().numpy()
        past[at] = windows
        self._past, self._features[moving] = past, features
        return self._features.copy()


def _membership(edges: np.ndarray) -> torch.Tensor:
    """(n, size) float64: 1 where an index lies between two edges."""
    index = np.arange(edges[-1])
    return torch.from_numpy(((index >= edges[:-1, None]) & (index < edges[1:, None])).astype(np.float64))
