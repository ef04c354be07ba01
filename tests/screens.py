"""Synthetic screens for tests: still images in which a share of the pixels changes per step, as on Atari."""

import numpy as np


def screens(rng: np.random.Generator, n_frames: int, shape: int | tuple[int, ...], moving: float = 0.02) -> np.ndarray:
    """(n_frames, *shape) uint8."""
    shape = (shape,) if isinstance(shape, int) else shape
    x = np.empty((n_frames, *shape), np.uint8)
    x[0] = rng.integers(0, 256, shape)
    for t in range(1, n_frames):
        change = rng.random(shape) < moving
        x[t] = np.where(change, rng.integers(0, 256, shape), x[t - 1])
    return x
