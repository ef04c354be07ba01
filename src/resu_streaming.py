"""A ReSU encoder that keeps learning: moments updated chunk by chunk, refitted by one small SVD.

Two clocks. alpha = 1 adds: nothing is forgotten, and after any number of chunks the encoder is bitwise the one fitted
on all frames at once. alpha < 1 forgets: before each chunk all earlier sums and their count are multiplied by alpha,
so a window that is c chunks old weighs alpha^c. The weights are normalised by the decayed count, so the first chunk
fully determines the moments: nothing is ever averaged with zero.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from typing import Any, Self

import numpy as np

import resu_conv
from resu_checks import as_count, as_decay
from resu_moments import LagMoments


class StreamingReSU:
    """Layer-1 moments and the encoder fitted to them. A call that raises an error leaves everything as it was.

    Parameters
    alpha       factor on all earlier sums before each chunk, in (0, 1]; 1 forgets nothing
    options     of `ReSUEncoder`: memory, horizon, n_units, grid, center, ridge; n_layers must be 1

    Attributes
    moments      `LagMoments` of all chunks so far, pixels [grey values] as series; replaced, not altered, by `update`
    frame_shape  (H, W) [pixels], or None before the first chunk
    n_chunks     chunks taken in by `update`

    Raises      ValueError if an option is out of range.

    >>> frames = np.random.default_rng(0).integers(0, 3, (200, 12, 10), np.uint8).cumsum(axis=0, dtype=np.uint8)
    >>> stream = StreamingReSU(alpha=0.9, memory=4, horizon=2, n_units=2, grid=(3, 2))
    >>> encoder = stream.update(frames[:120], new_episode=True).update(frames[120:]).refit()
    >>> stream.n_chunks, encoder.encode(frames).shape
    (2, (200, 24))
    """

    def __init__(self, alpha: float = 1.0, **options: Any) -> None:
        self.alpha = as_decay(alpha)
        if options.get("n_layers", 1) != 1:
            raise ValueError("streaming covers the first layer: n_layers must be 1")
        template = resu_conv.ReSUEncoder(**options)  # checks the options
        as_count("n_units", options.get("n_units", 1))  # it takes fractions
        self._options = options
        self.moments = LagMoments(template.memory, template.horizon, template.center)
        self.frame_shape: tuple[int, int] | None = None
        self.n_chunks = 0

    @classmethod
    def from_encoder(cls, encoder: resu_conv.ReSUEncoder, alpha: float = 1.0) -> StreamingReSU:
        """Go on from an encoder that was fitted here (its moments are copied).

        Raises   ValueError if the encoder has no moments (a loaded file) or two layers.
        """
        if not hasattr(encoder, "moments_"):
            raise ValueError("this encoder has no moments: fit it on episodes (a saved file keeps only the filters)")
        stream = cls(alpha, **encoder.options)
        stream.moments = encoder.moments_.copy()
        height, width = encoder.mean_.shape
        stream.frame_shape = (height, width)
        return stream

    def update(self, frames: np.ndarray, new_episode: bool = False, starts: Sequence[int] | np.ndarray = ()) -> Self:
        """Take in one chunk (T, H, W) uint8 of any length, continuing the last episode unless `new_episode`.

        starts   indices in the chunk at which episodes begin, 0 for its first frame (as `new_episode`): integers that
                 rise strictly within 0 .. T - 1; the parts count as one chunk of the clock
        Raises   ValueError if the frames are of another size or dtype, or starts are anything else; OverflowError if
                 the sums would pass 2^63.
        """
        frames = resu_conv.as_episode(frames)
        height, width = frames.shape[1:]
        if self.frame_shape not in (None, (height, width)):
            raise ValueError(f"frames are {frames.shape[1:]} pixels, but this stream holds {self.frame_shape}")
        begins = _as_starts(starts, len(frames))
        moments = self.moments.copy().decay(self.alpha)
        for begin, end in pairwise([*sorted({0, *begins}), len(frames)]):
            anew = begin in begins or (begin == 0 and new_episode)
            moments.update(frames[begin:end].reshape(end - begin, -1), new_episode=anew)
        self.moments, self.frame_shape, self.n_chunks = moments, (height, width), self.n_chunks + 1
        return self

    def refit(self) -> resu_conv.ReSUEncoder:
        """A new encoder fitted to the present moments; earlier encoders stay as they are.

        Raises   ValueError if there are fewer windows than memory + horizon, or no variance.
        """
        if self.frame_shape is None:
            raise ValueError("no frames yet: call update first")
        encoder = resu_conv.ReSUEncoder(**self._options)
        return encoder.fit_moments(self.moments.copy(), self.frame_shape)


def _as_starts(starts: Sequence[int] | np.ndarray, n_frames: int) -> list[int]:
    """starts as integers. Raises ValueError unless they rise strictly within 0 .. n_frames - 1."""
    found: list[Any] = list(starts) if np.ndim(starts) == 1 else [starts]
    whole = all(isinstance(start, (int, np.integer)) and not isinstance(start, bool) for start in found)
    if np.ndim(starts) != 1 or not whole or not all(a < b for a, b in pairwise([-1, *found, n_frames])):
        raise ValueError(f"starts must rise strictly within 0 .. {n_frames - 1} and be integers, not {found}")
    return [int(start) for start in found]
