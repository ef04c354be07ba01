"""The last 30 seconds on the page as a GIF like those in media/: the games side by side, the live agent's maps."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from typing import Any

import numpy as np

import films
from watch_agents import Moment

LONGEST = 62  # of a line below the picture of one game  [characters]


def film_of(histories: Sequence[Sequence[Moment]], title: str, fps: float) -> bytes:
    """The bytes of the file.

    histories   of one agent, or of a frozen and a live one, of equal length; the maps are those of the last
    fps         pictures per second
    Raises      ValueError if no step has a code, so that there are no maps to be shown.
    """
    last = histories[-1][-1]
    if last.encoder is None:
        raise ValueError("there are no maps yet: wait until a code is there")
    alike = itertools.takewhile(lambda moment: _size(moment) == _size(last), reversed(histories[-1]))
    live = list(alike)[::-1]
    names = ("frozen: ", "live: ") if len(histories) == 2 else ("",)
    span = range(-len(live), 0)
    screens = np.stack([np.concatenate([history[i].shown() for history in histories], axis=1) for i in span])
    lines = [
        [
            title[:LONGEST],
            "    ".join(f"{name}{history[i].line}" for name, history in zip(names, histories, strict=True)),
        ]
        for i in span
    ]
    return films.gif(screens, maps_of(live), lines, fps)


def _size(moment: Moment) -> tuple[Any, ...]:
    return moment.frame.shape, moment.screen.shape, moment.encoder.n_units if moment.encoder else 0


def maps_of(moments: Sequence[Moment]) -> np.ndarray:
    """(T, 2K, H, W) float32: the maps of each moment by the encoder that it was seen with, ON maps first."""
    frames, found, begin, start = np.stack([m.frame for m in moments]), [], 0, 0
    for i, moment in enumerate(moments):
        if moment.fresh:
            begin = i
        last = i + 1 == len(moments)
        if last or moments[i + 1].fresh or moments[i + 1].encoder is not moment.encoder:
            assert moment.encoder is not None
            maps = moment.encoder.layers_.maps(frames[begin : i + 1], start - begin, i + 1 - begin)
            found.append(np.moveaxis(maps, -1, 1))
            start = i + 1
    return np.concatenate(found)
