"""Objects of Asteroids, in pixels of the 210 x 160 screen, from the console's memory.

Ship and rocks are drawn on alternate emulated frames, so that either may be missing from a single screen; the maximum
over two frames shows both.
"""

from typing import NamedTuple

import numpy as np

_HIDDEN = 224  # as y: no ship; in a list of rocks: its end
_ROCK_LISTS = (slice(3, 10), slice(12, 20))  # bytes with the rocks' y, each list ends at _HIDDEN


class AsteroidsObjects(NamedTuple):
    """What there is, arrays of one shape (...).

    ship_x, ship_y  middle of our ship, float64  [screen pixels]; NaN while it is hidden (dead, or in hyperspace)
    direction       heading of the ship, 0 .. 15, in steps of 22.5 degrees
    rocks           number of rocks
    lives, score    [lives], [points]
    """

    ship_x: np.ndarray
    ship_y: np.ndarray
    direction: np.ndarray
    rocks: np.ndarray
    lives: np.ndarray
    score: np.ndarray


def from_ram(ram: np.ndarray) -> AsteroidsObjects:
    """Objects from the console's memory.

    ram      (..., 128) uint8. Bytes: 73 and 74 ship, 60 heading (low nibble) and lives (high nibble), 61 and 62 score,
             3 to 9 and 12 to 19 rocks.
    Returns  AsteroidsObjects of shape (...). The ship's place is within 2 pixels of the middle of what is drawn, which
             changes its outline with the heading.
    Raises   ValueError for another shape or dtype.
    """
    if ram.shape[-1:] != (128,) or ram.dtype != np.uint8:
        raise ValueError(f"ram must be (..., 128) uint8, not {ram.shape} {ram.dtype}")
    hidden = ram[..., 74] == _HIDDEN
    digits = (ram[..., 61:63] >> 4) * 10 + (ram[..., 61:63] & 15)
    rocks = sum(np.logical_and.accumulate(ram[..., which] != _HIDDEN, axis=-1).sum(-1) for which in _ROCK_LISTS)
    return AsteroidsObjects(
        ship_x=np.where(hidden, np.nan, _decoded_x(ram[..., 73]) + 2.5),
        ship_y=np.where(hidden, np.nan, 2.0 * ram[..., 74] + 23),
        direction=(ram[..., 60] & 15).astype(int),
        rocks=rocks,
        lives=(ram[..., 60] >> 4).astype(int),
        score=digits.astype(int) @ np.array([1000, 10]),
    )


def _decoded_x(code: np.ndarray) -> np.ndarray:
    """Column from the console's own code: a loop count in the low nibble, fine steps to the left in the high one."""
    code = code.astype(int)
    loops, fine = code & 15, code >> 4
    return np.where(loops % 2 == 0, 97, 10) + 15 * (loops // 2 - 1) + 8 * (fine >> 3) - (fine & 7)
