"""Second moments of feature-map patches: the sufficient statistics of the second ReSU layer."""

from __future__ import annotations

from typing import Self

import numpy as np

NEIGHBOURHOOD = 3  # side of a patch [pixels]


class PatchMoments:
    """Second moments of past patches and future centres of feature maps, centred by each position's own mean.

    past    3 x 3 neighbourhood of M maps over `memory` steps, newest first: d_p = memory * 9 * M
    future  the centre's M maps over the next `horizon` steps:               d_f = horizon * M
    n_windows counts samples (windows times positions).
    """

    def __init__(self, memory: int, horizon: int, n_maps: int) -> None:
        self.memory, self.horizon, self.n_maps = memory, horizon, n_maps
        self.d_past = memory * NEIGHBOURHOOD**2 * n_maps
        self.d_future = horizon * n_maps
        self.n_windows = 0
        self._steps = 0
        self._gram = np.zeros((self.d_past + self.d_future,) * 2)
        self._sums: np.ndarray | None = None

    def update(self, padded: np.ndarray) -> Self:
        """Count one window: padded (memory + horizon, H + 2, W + 2, M) float32, consecutive steps, oldest first."""
        _, height, width = (size - 2 for size in padded.shape[:3])
        parts = [
            padded[self.memory - 1 - j, dy : dy + height, dx : dx + width]
            for j in range(self.memory)
            for dy in range(NEIGHBOURHOOD)
            for dx in range(NEIGHBOURHOOD)
        ]
        parts += [padded[self.memory + j, 1:-1, 1:-1] for j in range(self.horizon)]
        sample = np.concatenate(parts, axis=-1).reshape(height * width, -1)
        self._gram += sample.T @ sample
        self._sums = sample.astype(np.float64) if self._sums is None else self._sums + sample
        self._steps += 1
        self.n_windows += height * width
        return self

    def _moment(self) -> np.ndarray:
        assert self._sums is not None
        return (self._gram - self._sums.T @ self._sums / self._steps) / self.n_windows

    @property
    def mean(self) -> np.ndarray:
        """(H * W, M) float64: mean of each map at each position, over the centre of the newest past step."""
        assert self._sums is not None
        centre = (NEIGHBOURHOOD**2 // 2) * self.n_maps
        return self._sums[:, centre : centre + self.n_maps] / self._steps

    @property
    def C_pp(self) -> np.ndarray:  # noqa: N802
        """(d_p, d_p) float64."""
        return self._moment()[: self.d_past, : self.d_past]

    @property
    def C_fp(self) -> np.ndarray:  # noqa: N802
        """(d_f, d_p) float64."""
        return self._moment()[self.d_past :, : self.d_past]

    @property
    def C_ff(self) -> np.ndarray:  # noqa: N802
        """(d_f, d_f) float64."""
        return self._moment()[self.d_past :, self.d_past :]
