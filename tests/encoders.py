"""Encoders to test with, and the slow reference of layer 1."""

import numpy as np

from resu_conv import ReSUEncoder
from screens import screens

UPPER = dict(n_windows2=60, memory2=3, horizon2=2, n_units2=4)


def slow_encode(encoder: ReSUEncoder, frames: np.ndarray) -> np.ndarray:
    """Definition in float64, pixel by pixel and cell by cell."""
    height, width = encoder.mean_.shape
    rows, columns = encoder.grid
    row_of, column_of = (np.searchsorted(np.arange(n + 1) * s // n, np.arange(s), side="right") - 1
                         for n, s in ((rows, height), (columns, width)))  # fmt: skip
    out = np.zeros((len(frames), 2 * encoder.n_units, rows, columns))
    count = np.zeros((rows, columns))
    np.add.at(count, (row_of[:, None], column_of), 1)
    for t in range(len(frames)):
        past = np.stack([frames[max(t - j, 0)] - encoder.mean_ for j in range(encoder.memory)])
        z = np.einsum("kj,jyx->kyx", encoder.filters_, past)
        for i, half in enumerate(np.concatenate([np.maximum(z, 0), np.maximum(-z, 0)])):
            np.add.at(out[t, i], (row_of[:, None], column_of), half)
    return (out / count).reshape(len(frames), -1)


def fitted(shape=(12, 10), grid=(3, 4), moving=0.05, seed=0, n_frames=120, **options) -> tuple[ReSUEncoder, np.ndarray]:
    frames = screens(np.random.default_rng(seed), n_frames, shape, moving)
    return ReSUEncoder(grid=grid, **options).fit([frames]), frames
