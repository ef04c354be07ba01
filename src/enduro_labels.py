"""Objects of Enduro, in pixels of the 210 x 160 screen, from the console's memory."""

from typing import NamedTuple

import numpy as np


class EnduroObjects(NamedTuple):
    """What there is, arrays of one shape (...).

    car_x, car_y   left and top edge of our car (16 x 11), float64  [screen pixels]; it is always there
    cars_to_pass   cars left to overtake on this day
    day            counted from 1
    game_over      bool
    """

    car_x: np.ndarray
    car_y: np.ndarray
    cars_to_pass: np.ndarray
    day: np.ndarray
    game_over: np.ndarray


def from_ram(ram: np.ndarray) -> EnduroObjects:
    """Objects from the console's memory.

    ram      (..., 128) uint8. Bytes: 46 and 52 car (the first signed, to the left), 44 and 43 cars to pass (decimal
             digits), 45 day, 47 end of the game (255).
    Returns  EnduroObjects of shape (...). The car's top is exact. Its left edge is that of the memory's own frame; the
             screen may show it one pixel off while the car moves sideways.
    Raises   ValueError for another shape or dtype.
    """
    if ram.shape[-1:] != (128,) or ram.dtype != np.uint8:
        raise ValueError(f"ram must be (..., 128) uint8, not {ram.shape} {ram.dtype}")
    shift = ram[..., 46].astype(np.int8).astype(int)
    digits = (ram[..., [44, 43]] >> 4) * 10 + (ram[..., [44, 43]] & 15)
    return EnduroObjects(
        car_x=77.0 - shift // 2 - (shift + 1) // 16,  # the console's coarse steps are 15 pixels, not 16 halves
        car_y=89.0 + ram[..., 52],
        cars_to_pass=digits.astype(int) @ np.array([100, 1]),
        day=ram[..., 45].astype(int),
        game_over=ram[..., 47] == 255,
    )
