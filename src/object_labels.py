"""Places and speeds of the objects that are always there, in every game, from the console's memory.

Only objects that can be told apart and that are there in most steps: rocks, bullets and other cars are left out.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np

import asteroids_labels
import breakout_labels
import enduro_expert
import pong_labels
import si_labels
from atari_play import Buffer

JUMP = 24.0  # further than this in a step is another object, or the other edge of the field  [screen pixels]
SCREEN_HEIGHT = 210  # [pixels]
COLUMN_LOST = 12.0  # so is this, of the Space Invaders: the formation's first column was shot  [screen pixels]


class Objects(NamedTuple):
    """What there is to be read from T steps of a game.

    places   {name: (T,) float64}: where things are  [screen pixels; Enduro's bend: 1]
    speeds   {name: (T,) float64}: how far they came since the step before  [screen pixels per step; of our car in
             Enduro the console's own unit]; NaN where that is not known
    there    (T,) bool: all of them are finite
    """

    places: dict[str, np.ndarray]
    speeds: dict[str, np.ndarray]
    there: np.ndarray

    @property
    def truth(self) -> np.ndarray:
        """(T, Q) float64: places, then speeds."""
        return np.stack([*self.places.values(), *self.speeds.values()], axis=1)


def objects_of(game: str, buffer: Buffer) -> Objects:
    """Places and speeds in recorded games. Raises ValueError for a game without labels."""
    if game not in _FINDERS:
        raise ValueError(f"there are no labels for '{game}': choose one of {', '.join(_FINDERS)}")
    places, still, given = _FINDERS[game](buffer.ram)
    moving = [name for name in places if name not in still]
    stacked = np.stack([places[name] for name in moving], axis=1)
    steps = stacked - buffer.shifted(stacked, -1)
    jumps = np.abs(steps) > (COLUMN_LOST if game == "space_invaders" else JUMP)
    steps[jumps] = np.nan
    speeds = {f"{name}, speed": steps[:, i] for i, name in enumerate(moving)} | dict(given)
    there = np.isfinite(np.stack([*places.values(), *speeds.values()], axis=1)).all(axis=1)
    return Objects(dict(places), speeds, there)


Found = tuple[Mapping[str, np.ndarray], tuple[str, ...], Mapping[str, np.ndarray]]  # places, which of them have no
# speed of their own (they stand still nearly always), and speeds that the memory holds


def _pong(ram: np.ndarray) -> Found:
    seen = pong_labels.from_ram(ram)
    return {"ball x": seen.ball_x, "ball y": seen.ball_y, "paddle y": pong_labels.paddle_middle(seen)}, (), {}


def _breakout(ram: np.ndarray) -> Found:
    seen = breakout_labels.from_ram(ram)
    return {"ball x": seen.ball_x, "ball y": seen.ball_y, "paddle x": seen.paddle_x}, (), {}


def _space_invaders(ram: np.ndarray) -> Found:
    seen = si_labels.from_ram(ram)
    places = {"ship x": seen.ship_x, "formation x": seen.formation_x, "formation y": seen.formation_y}
    return places, ("formation y",), {}


def _asteroids(ram: np.ndarray) -> Found:
    seen = asteroids_labels.from_ram(ram)
    shown = seen.ship_y < SCREEN_HEIGHT  # at the start of a life the memory holds places below the screen
    return {"ship x": np.where(shown, seen.ship_x, np.nan), "ship y": np.where(shown, seen.ship_y, np.nan)}, (), {}


def _enduro(ram: np.ndarray) -> Found:
    scenes = [enduro_expert.scene_from_ram(row) for row in ram]
    places = {"car's offset": [s.offset for s in scenes], "bend": [s.bend for s in scenes]}
    speeds = {"car's speed": [s.speed for s in scenes], "others' speed": [s.traffic for s in scenes]}
    return _arrays(places), ("bend",), _arrays(speeds)


def _arrays(lists: Mapping[str, Sequence[float]]) -> dict[str, np.ndarray]:
    return {name: np.array(values, np.float64) for name, values in lists.items()}


_FINDERS = {
    "pong": _pong,
    "breakout": _breakout,
    "space_invaders": _space_invaders,
    "asteroids": _asteroids,
    "enduro": _enduro,
}
