"""Objects of Asteroids, in pixels of the 210 x 160 screen, from the console's memory.

Ship and rocks are drawn on alternate emulated frames, so that either may be missing from a single screen; the maximum
over two frames shows both.
"""

from typing import NamedTuple

import numpy as np

HEIGHT, WIDTH = 178, 160  # of the field, which is closed at its edges; its uppermost row is 18  [pixels]
N_ROCKS, N_MISSILES = 15, 2  # most that the memory holds
ROCK_SHAPES = ((0, 0), (4, 8), (8, 14), (16, 28))  # width and height by rock_size  [pixels]

_HIDDEN = 224  # as y: no ship, no missile; in a list of rocks: its end
_ROCK_LISTS = (slice(3, 10), slice(12, 20))  # bytes with the rocks' y, each list ends at _HIDDEN
_ROCK_Y, _ROCK_X, _ROCK_KIND = (np.r_[3:10, 12:20] + first for first in (0, 18, 36))
_RISES = np.arange(N_ROCKS) < 7  # the first list's rocks move up, the second one's down
_MIDDLES = np.array([(np.nan, np.nan), (0.5, 26), (2.5, 29), (7.5, 38)])  # of a rock, from its code's place


class AsteroidsObjects(NamedTuple):
    """What there is, arrays of one shape (...).

    ship_x, ship_y  middle of our ship, float64  [screen pixels]; NaN while it is hidden (dead, or in hyperspace)
    direction       heading of the ship, 0 .. 15, in steps of 22.5 degrees
    rocks           number of rocks
    lives, score    [lives], [points]

    Per rock, arrays (..., 15), in no lasting order; NaN or 0 where there is none. A rock that crosses the upper or
    lower edge is there twice, once at either edge.
    rock_x, rock_y    middle  [screen pixels]
    rock_dx, rock_dy  its motion, 1/14 to the right or left and 1 up or down  [pixels per emulated frame]
    rock_size         0 none, 1 small, 2 middle, 3 large
    Per missile, arrays (..., 2):
    missile_x, missile_y  [screen pixels]; NaN while it is not in flight
    missile_direction     as the ship's when it was fired
    missile_life          counts down once in 4 emulated frames, from 5 to 11 to 0; 0 also while it is not in flight
    """

    ship_x: np.ndarray
    ship_y: np.ndarray
    direction: np.ndarray
    rocks: np.ndarray
    lives: np.ndarray
    score: np.ndarray
    rock_x: np.ndarray
    rock_y: np.ndarray
    rock_dx: np.ndarray
    rock_dy: np.ndarray
    rock_size: np.ndarray
    missile_x: np.ndarray
    missile_y: np.ndarray
    missile_direction: np.ndarray
    missile_life: np.ndarray


def from_ram(ram: np.ndarray) -> AsteroidsObjects:
    """Objects from the console's memory.

    ram      (..., 128) uint8. Bytes: 73 and 74 ship, 60 heading (low nibble) and lives (high nibble), 61 and 62 score,
             3 to 9 and 12 to 19 y of the rocks, 21 to 27 and 30 to 37 their x, 39 to 45 and 48 to 55 their kind (bits 4
             and 5 size, bit 3 leftward, bit 6 hit just now); 83, 84 x of the missiles, 86, 87 their y, 89, 90 their
             heading (low nibble) and life (high nibble).
    Returns  AsteroidsObjects of shape (...). The ship's place is within 2 pixels of the middle of what is drawn, which
             changes its outline with the heading; a rock's place is within a pixel of its middle.
    Raises   ValueError for another shape or dtype.
    """
    if ram.shape[-1:] != (128,) or ram.dtype != np.uint8:
        raise ValueError(f"ram must be (..., 128) uint8, not {ram.shape} {ram.dtype}")
    hidden = ram[..., 74] == _HIDDEN
    digits = (ram[..., 61:63] >> 4) * 10 + (ram[..., 61:63] & 15)
    there = np.concatenate(
        [np.logical_and.accumulate(ram[..., which] != _HIDDEN, axis=-1) for which in _ROCK_LISTS], axis=-1
    )
    kind = ram[..., _ROCK_KIND]
    size = np.where(there, np.array([3, 3, 2, 1])[kind >> 4 & 3], 0)
    middle_x, middle_y = np.moveaxis(_MIDDLES[size], -1, 0)
    rock_y = ram[..., _ROCK_Y].astype(int)
    no_missile = ram[..., 86:88] == _HIDDEN
    return AsteroidsObjects(
        ship_x=np.where(hidden, np.nan, _decoded_x(ram[..., 73]) + 2.5),
        ship_y=np.where(hidden, np.nan, 2.0 * ram[..., 74] + 23),
        direction=(ram[..., 60] & 15).astype(int),
        rocks=there.sum(-1),
        lives=(ram[..., 60] >> 4).astype(int),
        score=digits.astype(int) @ np.array([1000, 10]),
        rock_x=(_decoded_x(ram[..., _ROCK_X]) + middle_x) % WIDTH,
        rock_y=2.0 * np.where(rock_y > _HIDDEN, rock_y - 256, rock_y) + middle_y,
        rock_dx=np.where(there, np.where(kind & 8, -1, 1) / 14, np.nan),
        rock_dy=np.where(there, np.where(_RISES, -1.0, 1.0), np.nan),
        rock_size=size,
        missile_x=np.where(no_missile, np.nan, _decoded_x(ram[..., 83:85]) + 1.0) % WIDTH,
        missile_y=np.where(no_missile, np.nan, 2.0 * ram[..., 86:88] + 18),
        missile_direction=(ram[..., 89:91] & 15).astype(int),
        missile_life=np.where(no_missile, 0, ram[..., 89:91] >> 4).astype(int),
    )


def _decoded_x(code: np.ndarray) -> np.ndarray:
    """Column from the console's own code: a loop count in the low nibble, fine steps to the left in the high one."""
    code = code.astype(int)
    loops, fine = code & 15, code >> 4
    return np.where(loops % 2 == 0, 97, 10) + 15 * (loops // 2 - 1) + 8 * (fine >> 3) - (fine & 7)
