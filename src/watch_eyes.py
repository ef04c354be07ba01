"""A code on the page: its maps, its filters and what they are called.

H x W pixels, K units, m taps; 1 step = 1/15 s of play.
"""

from __future__ import annotations

from collections import deque
from typing import Any

import numpy as np

import live_eyes
from filter_shapes import lobes, sign_changes
from resu_conv import ReSUEncoder

FADE = 0.99  # of the brightest response of a unit, per picture: maps are drawn relative to it


def filter_name(taps: np.ndarray) -> str:
    """What a temporal filter (m,) does, plainly: "low-pass", "derivative" or "other".

    A low-pass filter passes a constant at half its largest gain or more, and its taps above a quarter of the largest
    have one sign; a derivative passes less, and its taps above a tenth of the largest have one sign, then the other.
    """
    constant = lobes(taps).gain_at_zero
    if constant >= 0.5:
        return "other" if sign_changes(taps, 0.25) else "low-pass"
    return "derivative" if sign_changes(taps, 0.1) == 1 else "other"


class Eye(live_eyes.Eye):
    """A code at one game that shows its maps."""

    def __init__(self, encoder: ReSUEncoder, label: str) -> None:
        super().__init__(encoder)
        self.first = encoder  # as it came
        self.label = label
        self._brightest = np.zeros(encoder.n_units)

    def restored(self) -> None:
        """Go back to the encoder as it came."""
        if self.encoder is not self.first:
            self.become(self.first)

    def take_over(self, other: Eye) -> None:
        """The frames of another eye, as if this one had seen them."""
        self._past = deque(other._past, maxlen=live_eyes.PAST)
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
