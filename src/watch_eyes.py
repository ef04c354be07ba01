"""A code at work: the past that it needs, its maps, and how it follows what it sees.

H x W pixels, K units, m taps; 1 step = 1/15 s of play.
"""

from __future__ import annotations

from collections import deque
from typing import Any

import numpy as np

from filter_shapes import lobes, sign_changes
from resu_conv import ReSUEncoder
from resu_photometry import MeanPicture, photometric
from resu_streaming import StreamingReSU

FADE = 0.99  # of the brightest response of a unit, per picture: maps are drawn relative to it
_PAST = 32  # frames that any code may need: the longest memory of a fit on the spot


def filter_name(taps: np.ndarray) -> str:
    """What a temporal filter (m,) does, plainly: "low-pass", "derivative" or "other".

    A low-pass filter passes a constant at half its largest gain or more, and its taps above a quarter of the largest
    have one sign; a derivative passes less, and its taps above a tenth of the largest have one sign, then the other.
    """
    constant = lobes(taps).gain_at_zero
    if constant >= 0.5:
        return "other" if sign_changes(taps, 0.25) else "low-pass"
    return "derivative" if sign_changes(taps, 0.1) == 1 else "other"


class Eye:
    """A code at one game: the frames that it needs, its features and its maps. Its encoder may be replaced."""

    def __init__(self, encoder: ReSUEncoder, label: str) -> None:
        self.first = self.encoder = encoder  # as it came, and as it is now
        self.label = label
        self._past: deque[np.ndarray] = deque(maxlen=_PAST)
        self._brightest = np.zeros(encoder.n_units)
        self._online = encoder.online(1)
        self.features = np.zeros(encoder.n_features, np.float32)

    def look(self, frame: np.ndarray, fresh: bool) -> None:
        """The next frame (H, W), the first of an episode if fresh."""
        if fresh or not self._past:
            self._past.clear()
            self.features = self._online.reset(frame[None])[0]
        else:
            self.features = self._online.step(frame[None])[0]
        self._past.append(frame)

    def become(self, encoder: ReSUEncoder) -> None:
        """Go on with another encoder: from the next frame on as if it had seen the frames before."""
        self.encoder, self._online = encoder, encoder.online(1)
        for i, frame in enumerate(self._past):
            self.features = (self._online.step if i else self._online.reset)(frame[None])[0]

    def restored(self) -> None:
        """Go back to the encoder as it came."""
        if self.encoder is not self.first:
            self.become(self.first)

    def take_over(self, other: Eye) -> None:
        """The frames of another eye, as if this one had seen them."""
        self._past = deque(other._past, maxlen=_PAST)
        self.become(self.encoder)

    def maps(self) -> np.ndarray:
        """(2K, H, W) uint8: the rectified responses to the newest frame, ON maps first, their root in 255 levels.

        Full brightness is the largest response of a unit lately; the root lets weak responses be seen.
        """
        past = np.stack(list(self._past)[-self.encoder.memory :])
        maps = np.moveaxis(self.encoder.layers_.maps(past, len(past) - 1, len(past))[0], -1, 0)
        k = len(maps) // 2
        largest = maps.max(axis=(1, 2))
        self._brightest = np.maximum(FADE * self._brightest, np.maximum(largest[:k], largest[k:]))
        scale = np.tile(np.where(self._brightest > 0, self._brightest, 1.0), 2).astype(np.float32)
        return (255 * np.sqrt(maps / scale[:, None, None])).astype(np.uint8)

    def twin(self) -> Eye:
        """Another one in the same state."""
        other = Eye(self.encoder, self.label)
        other.first, other._brightest = self.first, self._brightest.copy()
        other.take_over(self)
        return other

    def about(self) -> dict[str, Any]:
        """What the page says of it: filters relative to their largest tap, names, correlations of the fit."""
        filters = self.encoder.filters_
        return {
            "label": self.label,
            "filters": (filters / np.abs(filters).max(axis=1, keepdims=True)).round(3).tolist(),
            "names": [f"filter {i} ({filter_name(taps)})" for i, taps in enumerate(filters, 1)],
            "correlations": [None if np.isnan(r) else round(float(r), 3) for r in self.first.correlations_],
        }


class Adaptation:
    """How a code follows what it sees, anew after every `clock` frames; without labels, while it plays.

    photometric   gain and offset of the mean picture of the last `clock` frames, against the reference
    full          all filters and means, on all frames since this began: `StreamingReSU`, nothing forgotten

    reference     mean picture (H, W) of before; the encoder's own mean if None
    """

    def __init__(self, mode: str, clock: int, encoder: ReSUEncoder, reference: np.ndarray | None = None) -> None:
        self.mode, self.clock, self._first, self._reference = mode, clock, encoder, reference
        self.said = f"adapts in {clock} steps"
        self._mean = MeanPicture()
        self._stream = StreamingReSU(**encoder.options)
        self._chunk: list[np.ndarray] = []
        self._starts: list[int] = []
        self._n = 0

    def look(self, frame: np.ndarray, fresh: bool) -> ReSUEncoder | None:
        """The next frame; now and then an encoder to go on with."""
        self._n += 1
        if self.mode == "photometric":
            self._mean.add(frame)
        else:
            if fresh:
                self._starts.append(len(self._chunk))
            self._chunk.append(frame)
        if self._n % self.clock:
            return None
        try:
            return self._photometric() if self.mode == "photometric" else self._full()
        except ValueError as error:
            self.said = str(error)
            return None

    def _photometric(self) -> ReSUEncoder:
        mean, self._mean = self._mean.mean, MeanPicture()
        found = photometric(self._first, mean, self._reference)
        self.said = f"gain {found.gain:.2f}, offset {found.offset:.0f}, {100 * found.residual:.0f} % unexplained"
        return found.encoder

    def _full(self) -> ReSUEncoder:
        chunk, starts, self._chunk, self._starts = np.stack(self._chunk), self._starts, [], []
        self._stream.update(chunk, starts=starts)
        found = self._stream.refit()
        self.said = f"fitted anew on {self._n:,} frames"
        return found
