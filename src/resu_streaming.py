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
import resu_moments


class StreamingReSU:
    """Layer-1 moments and the encoder fitted to them.

    alpha     factor on all earlier sums before each chunk, in (0, 1]
    options   of `ReSUEncoder` (memory, horizon, n_units, grid, center, ridge), one layer
    Attributes: moments (LagMoments), frame_shape (H, W) or None before the first chunk, n_chunks.
    """

    def __init__(self, alpha: float = 1.0, **options: Any) -> None:
        if not 0 < alpha <= 1:
            raise ValueError(f"alpha must lie in (0, 1], not {alpha!r}")
        if options.get("n_layers", 1) != 1:
            raise ValueError("streaming covers the first layer: n_layers must be 1")
        self.alpha = float(alpha)
        self._options = options
        template = resu_conv.ReSUEncoder(**options)  # checks the options
        self.moments = resu_moments.LagMoments(template.memory, template.horizon, template.center)
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

        starts   indices in the chunk at which further episodes begin; its parts count as one chunk of the clock
        Raises   ValueError if the frames are of another size or dtype, or starts do not rise within the chunk.
        """
        frames = resu_conv.as_episode(frames)
        if self.frame_shape not in (None, frames.shape[1:]):
            raise ValueError(f"frames are {frames.shape[1:]} pixels, but this stream holds {self.frame_shape}")
        height, width = frames.shape[1:]
        self.frame_shape = (height, width)
        cuts = [int(start) for start in starts if start > 0]
        if not all(a < b for a, b in pairwise([0, *cuts, len(frames)])) or any(start < 0 for start in starts):
            raise ValueError(f"starts must rise within 0 .. {len(frames) - 1}, not {list(starts)}")
        self.moments.decay(self.alpha)
        begins_anew = new_episode or 0 in starts
        for begin, end in pairwise([0, *cuts, len(frames)]):
            part = frames[begin:end]
            self.moments.update(part.reshape(len(part), -1), new_episode=begin > 0 or begins_anew)
        self.n_chunks += 1
        return self

    def refit(self) -> resu_conv.ReSUEncoder:
        """A new encoder fitted to the present moments; earlier encoders stay as they are.

        Raises   ValueError if there are fewer windows than memory + horizon, or no variance.
        """
        if self.frame_shape is None:
            raise ValueError("no frames yet: call update first")
        encoder = resu_conv.ReSUEncoder(**self._options)
        return encoder.fit_moments(self.moments.copy(), self.frame_shape)
