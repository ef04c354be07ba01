"""Disturbances of what a game shows: grey levels that are mapped, alternated, drifted or roughened, frame by frame.

x grey value 0 to 255 [grey levels], s strength [1], t number of the frame since the disturbance began [agent steps].
Each is a function of (name, strength, seed, t) and the frame alone. Results are rounded to the nearest integer (halves
to the even one), then clipped to 0 .. 255; strength 0 changes nothing.

    contrast       x -> (1 - s/2) x                       towards black; s in 0 .. 1
    offset         x -> (1 - .4 s) x + 80 s               paler and brighter; s in 0 .. 1
    inversion      x -> 255 - x                           s is 0 or 1
    noise          x -> x + n, n uniform on integers from -25 s to 25 s, anew in each pixel and frame; s in 0 .. 2
    palette drift  x -> 255 (lo + (hi - lo) m(x / 255))   m(u) = u + s sum_k w_k sin(pi k u) / (pi k), k = 1, 2, 3
    flicker        x -> (1 - s/2) x in every second frame, from the second one on; s in 0 .. 1

Of the drift, w_k, lo and hi are slow waves in t (periods of 200 to 800 steps, drawn from the seed) that begin at 0, 0
and 1, with sum_k |w_k| <= .9, lo <= .3 s and hi >= 1 - .3 s: m rises everywhere, darker stays darker. s in 0 .. 1
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

MOST = {"contrast": 1.0, "offset": 1.0, "inversion": 1.0, "noise": 2.0, "palette drift": 1.0, "flicker": 1.0}
NAMES = tuple(MOST)  # of all shifts; MOST has the largest strength of each
PHOTOMETRIC = ("contrast", "offset", "inversion")  # x -> a x + b, the same in all frames
_WAVES = 5  # of a drift: w_1, w_2, w_3, lo, hi


@dataclass(frozen=True)
class Shift:
    """One disturbance.

    name       one of NAMES      strength   0 to MOST[name]  [1]      seed   of noise and drift, at least 0
    Raises     ValueError for an unknown name, a strength out of range or a negative seed.

    >>> frame = np.array([[0, 100, 255]], np.uint8)
    >>> Shift("inversion").apply(frame)
    array([[255, 155,   0]], dtype=uint8)
    >>> Shift("offset", 0.5).apply(frame)
    array([[ 40, 120, 244]], dtype=uint8)
    """

    name: str
    strength: float = 1.0
    seed: int = 0

    def __post_init__(self) -> None:
        if self.name not in MOST:
            raise ValueError(f"there is no disturbance '{self.name}': choose one of {', '.join(NAMES)}")
        if not 0 <= self.strength <= MOST[self.name]:
            raise ValueError(
                f"the strength of {self.name} must be a number from 0 to {MOST[self.name]:g}, not {self.strength}"
            )
        if self.name == "inversion" and self.strength not in (0, 1):
            raise ValueError(f"an inversion is there or not: its strength must be 0 or 1, not {self.strength}")
        if self.seed < 0:
            raise ValueError(f"the seed must be at least 0, not {self.seed}")

    def apply(self, frames: np.ndarray, t: int = 0) -> np.ndarray:
        """A frame (H, W), number t, or frames (T, H, W), numbers t to t + T - 1: the same shape, uint8, a fresh array.

        Raises   ValueError if the frames are of another shape or dtype, or t is negative.
        """
        if frames.dtype != np.uint8 or frames.ndim not in (2, 3):
            raise ValueError(f"frames must be uint8 (H, W) or (T, H, W), not {frames.dtype} of shape {frames.shape}")
        if t < 0:
            raise ValueError(f"the number of a frame must be at least 0, not {t}")
        if frames.ndim == 2:
            return self._one(frames, t)
        return np.stack([self._one(frame, t + i) for i, frame in enumerate(frames)]) if len(frames) else frames.copy()

    def table(self, t: int = 0) -> np.ndarray:
        """(256,) uint8: what becomes of each grey value in frame t; noise apart, which has no table.

        Raises   ValueError for noise.
        """
        x, s = np.arange(256.0), self.strength
        if self.name == "noise":
            raise ValueError("noise is another in every pixel: it has no table")
        if self.name == "contrast":
            x = (1 - s / 2) * x
        elif self.name == "offset":
            x = (1 - 0.4 * s) * x + 80 * s
        elif self.name == "inversion":
            x = 255 - x if s else x
        elif self.name == "flicker":
            x = (1 - s / 2 * (t % 2)) * x
        else:
            x = _drifted(x, s, self.seed, t)
        return _grey(x)

    def _one(self, frame: np.ndarray, t: int) -> np.ndarray:
        if self.name != "noise":
            return self.table(t)[frame]
        reach = round(25 * self.strength)
        added = np.random.default_rng((self.seed, t)).integers(-reach, reach, frame.shape, np.int16, endpoint=True)
        return _grey(frame + added)


def _drifted(x: np.ndarray, s: float, seed: int, t: int) -> np.ndarray:
    rng = np.random.default_rng(seed)
    periods, phases = rng.uniform(200, 800, _WAVES), rng.uniform(0, 2 * np.pi, _WAVES)
    # In -1 .. 1 and 0 at the beginning; the last two, below, in 0 .. 1.
    waves = (np.sin(2 * np.pi * t / periods + phases) - np.sin(phases)) / 2
    k, u = np.arange(1, 4), x / 255
    bent = u + s * (np.sin(np.pi * np.outer(u, k)) / (np.pi * k)) @ (0.3 * waves[:3])
    low, high = 0.3 * s * np.abs(waves[3:])
    return 255 * (low + (1 - high - low) * bent)


def _grey(x: np.ndarray) -> np.ndarray:
    return np.clip(np.rint(x), 0, 255).astype(np.uint8)
