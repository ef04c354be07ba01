"""Layer 1's moments in torch, for GPUs: exact, hence the same bits on every device.

Sums of integers are taken in float64, where everything below 2^53 is exact.
"""

from __future__ import annotations

import numpy as np

try:
    import torch
except ImportError as error:
    raise ImportError("resu_torch needs PyTorch: pip install 'resu-features[torch]'") from error

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
