"""A ReSU encoder that keeps learning: moments updated chunk by chunk, refitted by one small SVD.

What a chunk does to the moments M (sums over n windows, divided by n) that were there before it:

    clock "sums"       its windows are added; before, all earlier sums and their count are multiplied by alpha, so a
                       window that is c chunks old weighs alpha^c. alpha = 1 forgets nothing: after any number of
                       chunks the encoder is bitwise the one fitted on all frames at once.
    clock "average"    M becomes alpha M + (1 - alpha) M', M' the moments of its windows alone: every chunk weighs the
                       same, whatever it and the start hold.

The first chunk of a stream that begins with nothing, or with `start="replace"`, determines the moments fully: nothing
is ever averaged with zero.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from typing import Any, Literal, Self

import numpy as np

import resu_conv
from resu_checks import as_choice, as_count, as_decay
from resu_moments import LagMoments


class StreamingReSU:
    """Layer-1 moments and the encoder fitted to them. A call that raises an error leaves everything as it was.

    Parameters
    alpha       weight of what was there before a chunk, in (0, 1]; 1 forgets nothing (clock "sums" alone)
    clock       "sums" or "average", as above
    start       what becomes of the moments of `from_encoder` at the first chunk: "add" to them, or "replace" them
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

    def __init__(
        self,
        alpha: float = 1.0,
        clock: Literal["sums", "average"] = "sums",
        start: Literal["add", "replace"] = "add",
        **options: Any,
    ) -> None:
        self.alpha = as_decay(alpha)
        self.clock, self.start = as_choice("clock", clock, ("sums", "average")), start
        as_choice("start", start, ("add", "replace"))
        if self.clock == "average" and self.alpha == 1:
            raise ValueError("with clock='average', alpha must be below 1: with 1 a chunk would count for nothing")
        if options.get("n_layers", 1) != 1:
            raise ValueError("streaming covers the first layer: n_layers must be 1")
        template = resu_conv.ReSUEncoder(**options)  # checks the options
        as_count("n_units", options.get("n_units", 1))  # it takes fractions
        self._options = options
        self.moments = LagMoments(template.memory, template.horizon, template.center)
        self.frame_shape: tuple[int, int] | None = None
        self.n_chunks = 0

    @classmethod
    def from_encoder(cls, encoder: resu_conv.ReSUEncoder, alpha: float = 1.0, **stream: Any) -> StreamingReSU:
        """Go on from an encoder that was fitted here (its moments are copied); stream: clock and start.

        Raises   ValueError if the encoder has no moments (a loaded file) or two layers.
        """
        if not hasattr(encoder, "moments_"):
            raise ValueError("this encoder has no moments: fit it on episodes (a saved file keeps only the filters)")
        found = cls(alpha, **stream, **encoder.options)
        found.moments = encoder.moments_.copy()
        height, width = encoder.mean_.shape
        found.frame_shape = (height, width)
        return found

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
        parts = [
            (frames[begin:end].reshape(end - begin, -1), begin in begins or (begin == 0 and new_episode))
            for begin, end in pairwise([*sorted({0, *begins}), len(frames)])
        ]
        moments = self._before()
        for x, anew in parts:
            moments.update(x, new_episode=anew)
        if self.clock == "average":
            moments = self._averaged(moments)
        self.moments, self.frame_shape, self.n_chunks = moments, (height, width), self.n_chunks + 1
        return self

    def _replaces(self) -> bool:
        """Whether the next chunk takes the place of what is there."""
        return self.start == "replace" and not self.n_chunks

    def _before(self) -> LagMoments:
        """To what a chunk is added: what was there, as it weighs beside it; or no windows, only the open episode."""
        if self._replaces():
            return LagMoments(self.moments.memory, self.moments.horizon, self.moments.center)
        before = self.moments.copy()
        return before.decay(self.alpha) if self.clock == "sums" else before.subtract(self.moments)

    def _averaged(self, chunk: LagMoments) -> LagMoments:
        """A chunk's moments beside those before, alpha to 1 - alpha; a chunk without windows weighs nothing."""
        before, windows = self.moments.copy(), self.moments.n_windows
        if self._replaces() or not windows:
            return chunk
        share = self.alpha / (1 - self.alpha) * chunk.n_windows / windows
        return chunk.merge(before.weigh(share) if share else before)

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
