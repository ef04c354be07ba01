"""Sums of products for a layer above the first in torch, densely, for GPUs: the integers of `MapSums`.

T frames of H x W pixels, P = H * W, K units of the topmost layer (M = 2K maps), L = memory + horizon.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from resu_layers import Layers
from resu_patch_sum_kernels import REACH, SIDE
from resu_patch_sums import MapSums, Run
from resu_torch_kernels import torch, usable
from resu_torch_layers import DEEP_BLOCK, DenseLayers

HALF = 15  # binary digits of a deviation's lower half: a product of halves, summed over 2^20 pixels, is below 2^53


class TorchSums(MapSums):
    """`MapSums` that counts every pixel of every frame on a device of torch.

    device   of torch: "cpu", "cuda", ...; the rest is as in `MapSums`
    """

    def __init__(
        self,
        layers: Layers,
        memory: int,
        horizon: int,
        rest: np.ndarray,
        bits: int,
        device: str = "cpu",
        future: str = "center",
    ) -> None:
        super().__init__(layers, memory, horizon, rest, bits, future)
        n_lags, n_pixels, n_maps = self._shape
        self._device = usable(device)
        self._dense = DenseLayers(layers).to(device)
        usual = torch.from_numpy(self.rest).to(device).to(torch.float64).reshape(*layers.first.mean.shape, -1)
        self._usual = torch.cat([usual.clamp(min=0), (-usual).clamp(min=0)], dim=-1)
        products = torch.zeros(n_lags, n_lags, n_maps, SIDE * SIDE, n_maps, dtype=torch.int64)
        self._products = products.to(device)
        self._levels = torch.zeros(n_lags, n_pixels, n_maps, dtype=torch.int64, device=device)
        self._power = torch.zeros(n_maps, dtype=torch.float64, device=device)

    @torch.no_grad()
    def count(self, episodes: Sequence[np.ndarray], runs: Sequence[Run]) -> TorchSums:
        """As `MapSums.count`."""
        for episode, start, stop in runs:
            seen, first = self.layers.section(episodes[episode], start, stop)
            frames = torch.from_numpy(seen).to(self._device)
            blocks = [
                self._deviations(frames, at, min(at + DEEP_BLOCK, len(frames)))
                for at in range(first, len(frames), DEEP_BLOCK)
            ]
            self._add(torch.cat(blocks))
            self.n_steps += stop - start - self._shape[0] + 1
        return self

    def _deviations(self, frames: torch.Tensor, start: int, stop: int) -> torch.Tensor:
        """(stop - start, H, W, M) float64, whole numbers."""
        found = self._dense.responses_of(frames, start, stop)[0]
        found = torch.floor((found + ((1 << self.bits) >> 1)) / 2**self.bits)
        return torch.cat([found.clamp(min=0), (-found).clamp(min=0)], dim=-1) - self._usual

    def _add(self, run: torch.Tensor) -> None:
        """Add the windows of a run: deviations (T, H, W, M)."""
        n_lags, n_windows = self._shape[0], len(run) - self._shape[0] + 1
        self._power += (run**2).sum(dim=(0, 1, 2))
        for a in range(n_lags):
            self._levels[a] += run[a : a + n_windows].sum(dim=0).reshape(self._levels.shape[1:]).to(torch.int64)
        upper = torch.floor(run / 2**HALF)
        halves = torch.cat([upper, run - upper * 2**HALF], dim=-1)  # (T, H, W, 2M)
        for start in range(0, len(run), DEEP_BLOCK):
            newer = np.arange(start, min(start + DEEP_BLOCK, len(run)))
            found = self._products_at(halves, start, start + len(newer))
            for k in range(n_lags):
                for a in range(n_lags - k):
                    counts = np.flatnonzero((newer >= a + k) & (newer < a + k + n_windows))
                    if len(counts):
                        self._products[a, k] += found[counts[0] : counts[-1] + 1, k].sum(dim=0)

    def _products_at(self, halves: torch.Tensor, start: int, stop: int) -> torch.Tensor:
        """Products of newer steps start .. stop - 1 with what was k steps before, (stop - start, L, M, 25, M) int64."""
        n_lags, n_pixels, n_maps = self._shape
        n = stop - start
        padded = torch.nn.functional.pad(halves[start:stop], (0, 0, REACH, REACH, REACH, REACH))
        around = padded.unfold(1, SIDE, 1).unfold(2, SIDE, 1).reshape(n, n_pixels, -1)  # [.., half and map, dy, dx]
        steps = torch.arange(start, stop, device=halves.device)[:, None] - torch.arange(n_lags, device=halves.device)
        older = halves[steps.clamp(min=0)].reshape(n, n_lags, n_pixels, -1)
        found = older.transpose(2, 3).reshape(n, -1, n_pixels) @ around
        parts = found.to(torch.int64).reshape(n, n_lags, 2, n_maps, 2, n_maps, SIDE * SIDE)
        high, low = parts[:, :, 0, :, 0], parts[:, :, 1, :, 1]
        across = parts[:, :, 0, :, 1] + parts[:, :, 1, :, 0]
        return ((high << 2 * HALF) + (across << HALF) + low).transpose(3, 4)

    @property
    def power(self) -> float:
        """As `MapSums.power`."""
        return float(self._power.max())

    def _integers(self) -> tuple[np.ndarray, np.ndarray]:
        return self._products.cpu().numpy(), self._levels.cpu().numpy()
