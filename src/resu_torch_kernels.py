"""The dense loops in torch, for GPUs and for other people's networks: exact, hence the same bits on every device.

Sums of integers are taken in float64, where everything below 2^53 is exact.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Self

import numpy as np

try:
    import torch
    from torch import nn
except ImportError as error:
    raise ImportError("resu_torch needs PyTorch: pip install 'resu-features[torch]'") from error

from resu_layer1_kernels import Bank

BLOCK = 512  # frames per step of a pass over an episode


def usable(device: str) -> str:
    """The name of a device, if torch can compute on it here.

    Raises   ValueError if torch does not know it, or the machine (or this build of torch) has none.
    """
    try:
        torch.zeros(1, dtype=torch.float64, device=device).cpu()
    except (RuntimeError, AssertionError, NotImplementedError, TypeError) as error:
        reason = str(error).splitlines()[0]
        raise ValueError(f"torch cannot compute on the device {device!r} here ({reason}): try 'torch:cpu'") from error
    return device


def lag_products(x: np.ndarray, n_lags: int, device: str) -> tuple[np.ndarray, np.ndarray]:
    """<x_t, x_{t+k}> as (T, L) int64, 0 beyond the end, and the sum over time as (P,) int64: x (T, P) uint8.

    device   of torch: "cpu", "cuda", ...
    """
    products, device = np.zeros((len(x), n_lags), np.int64), usable(device)
    sums = torch.zeros(x.shape[1], dtype=torch.int64, device=device)
    for start in range(0, len(x), BLOCK):
        part = torch.from_numpy(np.array(x[start : start + BLOCK + n_lags - 1])).to(device).to(torch.float64)
        n = min(BLOCK, len(x) - start)
        sums += part[:n].sum(dim=0).to(torch.int64)
        found = torch.zeros(n, n_lags, dtype=torch.float64, device=device)
        for k in range(min(n_lags, len(part))):
            m = min(n, len(part) - k)
            found[:m, k] = torch.einsum("tp,tp->t", part[:m], part[k : k + m])
        products[start : start + n] = found.cpu().numpy().astype(np.int64)
    return products, sums.cpu().numpy()


class DenseLayer(nn.Module):
    """Layer 1 with rectification and pooling, without parameters: windows of frames -> features.

    bank      of a fitted encoder: `ReSUEncoder.integer_form`
    forward   (B, m, H, W) uint8 or float of grey values 0 to 255, newest frame first -> (B, 2K C) float32
    """

    taps: torch.Tensor
    bias: torch.Tensor
    rows: torch.Tensor
    columns: torch.Tensor
    gain: torch.Tensor

    def __init__(self, bank: Bank) -> None:
        super().__init__()
        edges = bank.row_edges, bank.column_edges
        shape, grid = [int(e[-1]) for e in edges], [len(e) - 1 for e in edges]
        self.register_buffer("taps", torch.from_numpy(bank.taps.astype(np.float64)))  # (m, K)
        self.register_buffer("bias", torch.from_numpy(bank.bias.astype(np.float64)).reshape(-1, *shape))
        self.register_buffer("rows", _membership(bank.row_edges))  # (rows, H)
        self.register_buffer("columns", _membership(bank.column_edges))  # (columns, W)
        self.register_buffer("gain", torch.from_numpy(np.array(bank.gain.T)).reshape(-1, *grid))  # (2K, rows, columns)

    @property
    def memory(self) -> int:
        """m, the frames in a window."""
        return self.taps.shape[0]

    def _apply(self, fn: Callable[[torch.Tensor], torch.Tensor], recurse: bool = True) -> Self:
        """What `.to`, `.half()`, `.cuda()` of a network around it do here: the device changes, the numbers do not."""
        for name, buffer in self._buffers.items():
            if buffer is not None:
                self._buffers[name] = buffer.to(fn(buffer).device)
        return self

    def forward(self, windows: torch.Tensor) -> torch.Tensor:
        """See the class."""
        response = torch.einsum("bmhw,mk->bkhw", windows.to(torch.float64), self.taps) + self.bias
        maps = torch.cat([response.clamp(min=0), (-response).clamp(min=0)], dim=1)
        sums = self.rows @ maps @ self.columns.T
        return (sums * self.gain).flatten(1).to(torch.float32)

    @torch.no_grad()
    def encode(self, frames: torch.Tensor) -> torch.Tensor:
        """One episode (T, H, W) uint8 -> (T, 2K C) float32; before the first m - 1 frames the first one is repeated."""
        out = []
        for start in range(0, len(frames), BLOCK):
            steps = torch.arange(start, min(start + BLOCK, len(frames)), device=frames.device)
            past = steps[:, None] - torch.arange(self.memory, device=frames.device)
            out.append(self(frames[past.clamp(min=0)]))
        return torch.cat(out)


def _membership(edges: np.ndarray) -> torch.Tensor:
    """(n, size) float64: 1 where an index lies between two edges."""
    index = np.arange(edges[-1])
    return torch.from_numpy(((index >= edges[:-1, None]) & (index < edges[1:, None])).astype(np.float64))
