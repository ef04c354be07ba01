"""Objects of Space Invaders, in pixels of the 210 x 160 screen, from the console's memory.

The memory is the one after the last emulated frame of a step. Not everything is drawn at once: the screen shows the
formation where this memory has it, but our ship and the saucer where the memory of the emulated frame before had them.
Both move by at most 1 pixel per emulated frame, and our ship not in two running: under random play its label is 1 pixel
ahead of the last screen in 39 % of the steps, of the older screen in an observation in 46 %, and further only when a
new ship appears. The memory does not hold the older place, hence no correction. Bullets, and the ship at the start of a
life, flicker: a label is where the object is, drawn or not.
"""

from typing import NamedTuple

import numpy as np

SHIP_TOP, UFO_TOP = 185, 12  # first row of our ship and of the saucer  [pixels]
ALIEN_STRIDE_X, ALIEN_STRIDE_Y = 16, 18  # from one column and row of the formation to the next  [pixels]

_NO_BULLET, _NO_UFO = 246, 180  # bytes of absent objects


class SpaceInvadersObjects(NamedTuple):
    """Left or top edges in screen pixels, float64, NaN where absent; counts are integers. All of one shape (...).

    ship_x            our ship (7 x 10, its first row is SHIP_TOP)
    formation_x, _y   the formation's first column with an alien left, and its upper row, alien left or not
    alive             aliens left
    bullet_x, _y      our bullet
    enemy_bullet_x, enemy_bullet_y   both enemy bullets, (..., 2)
    ufo_x             the saucer at the top (7 wide, its first row is UFO_TOP)
    lives, score      [lives], [points]
    """

    ship_x: np.ndarray
    formation_x: np.ndarray
    formation_y: np.ndarray
    alive: np.ndarray
    bullet_x: np.ndarray
    bullet_y: np.ndarray
    enemy_bullet_x: np.ndarray
    enemy_bullet_y: np.ndarray
    ufo_x: np.ndarray
    lives: np.ndarray
    score: np.ndarray


def from_ram(ram: np.ndarray) -> SpaceInvadersObjects:
    """Objects from the console's memory.

    ram      (..., 128) uint8. Bytes: 28 ship, 26 and 16 formation, 17 aliens, 87 and 85 our bullet, 83, 84 and 81, 82
             the enemy's, 30 saucer, 73 lives, 102 and 104 score.
    Returns  SpaceInvadersObjects of shape (...). Formation exact; ship and saucer exact one emulated frame later;
             bullets: x exact, y the row to which the console's counter points, within 3 pixels of the drawn top.
    Raises   ValueError for another shape or dtype.
    """
    _check_ram(ram)
    bullets = ram[..., [87, 83, 84, 85, 81, 82]].astype(float)
    absent = bullets[..., 3:] == _NO_BULLET
    x = np.where(absent, np.nan, bullets[..., :3] - 2)
    y = np.where(absent, np.nan, 2 * bullets[..., 3:] + 4)
    digits = (ram[..., [102, 104]] >> 4) * 10 + (ram[..., [102, 104]] & 15)
    return SpaceInvadersObjects(
        ship_x=ram[..., 28] - 1.0,
        formation_x=ram[..., 26] - 1.0,
        formation_y=31 + 2.0 * ram[..., 16],
        alive=ram[..., 17].astype(int),
        bullet_x=x[..., 0],
        bullet_y=y[..., 0],
        enemy_bullet_x=x[..., 1:],
        enemy_bullet_y=y[..., 1:],
        ufo_x=np.where(ram[..., 30] == _NO_UFO, np.nan, ram[..., 30] - 1.0),
        lives=ram[..., 73].astype(int),
        score=digits.astype(int) @ np.array([100, 1]),
    )


def aliens_from_ram(ram: np.ndarray) -> np.ndarray:
    """Which aliens are left, (..., 6, 6) bool, upper row first, from bytes 18 to 23 of (..., 128) uint8.

    The first column is always the one at formation_x: the console shifts the columns once the first is empty.
    Raises ValueError for another shape or dtype.
    """
    _check_ram(ram)
    return (ram[..., 23:17:-1, None] >> np.arange(6) & 1).astype(bool)


def _check_ram(ram: np.ndarray) -> None:
    if ram.shape[-1:] != (128,) or ram.dtype != np.uint8:
        raise ValueError(f"ram must be (..., 128) uint8, not {ram.shape} {ram.dtype}")
