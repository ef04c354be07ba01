"""Hand-written Asteroids players: one that turns and fires at random, one that flies about and aims.

What the second one knows of the game was measured frame by frame; places, headings and motions are read from the
console's memory (asteroids_labels). The console moves everything once in 2 emulated frames, a tick; a step has 2.

- Rocks never change their motion: 2 pixels up or down and 1/7 pixel to the side per tick. A large rock (20 points)
  breaks into two middle ones (50), a middle one into one small one (100), which go on up or down as it did. The first
  wave, four large rocks, is worth 1,280 points. A rock that meets the ship breaks as if it were hit.
- A missile moves by MISSILE_STEPS per tick, whatever the ship does, and lives for RANGE ticks or one more; there are
  two. FIRE must be let go of between two shots.
- Holding RIGHT or LEFT turns the ship by one heading of 16 per step.
- The ship flies on when UP is let go of, and slows down so little that a push carries it for seconds.
- What leaves the screen comes back at the other side; a missile's column is then up to 3 pixels off the plan.
- Every 5,000 points give a life.

Scores under the protocol, 20 games from root seed (77, 1), one of those on which the aiming player was tuned:
`AimingExpert` 23,464 on average (7,990 to 68,200; 95 % interval of the mean 18,326 to 30,224) in 2,431 steps per game,
`SweepingExpert` 1,725 (210 to 4,020; 1,416 to 2,072) in 1,220 steps, random play 698 (280 to 1,320; 573 to 833) in 776
steps. From (78, 1), which was looked at in tuning, too, the aiming player scored 20,554.

It need not die: rocks come near so slowly that a ship that stays put can shoot them in time. `AimingExpert(cruise=0)`
played three games from (77, 1) to the last of their 27,000 steps and scored 243,757 on average. Flying ahead brings
little more per step, 9.7 points instead of 9.0, but games that end. Hyperspace would keep the ship alive for longer and
is left out for the same reason.
"""

from typing import ClassVar

import numpy as np

import asteroids_labels
from asteroids_labels import HEIGHT, N_MISSILES, ROCK_SHAPES, WIDTH, AsteroidsObjects

CLASS_NAMES = ("NOOP", "FIRE", "UP", "RIGHT", "LEFT", "RIGHTFIRE", "LEFTFIRE")

TICKS = 2  # per step
FRAMES = 2  # emulated, per tick
MISSILE_STEPS = np.array(  # by heading, anticlockwise from straight up: (x, y) per tick  [pixels]
    [
        *[(0, -8), (-1, -6), (-3, -6), (-3, -2), (-4, 0), (-3, 2), (-3, 6), (-1, 6)],
        *[(0, 8), (2, 6), (4, 6), (4, 2), (5, 0), (4, -2), (4, -6), (2, -6)],
    ]
)
MUZZLE = np.array([-1.5, 1.0])  # where a missile's path begins, from the ship's middle; one step from here it appears
MISSILE_LIFE = np.tile([6, 7, 7, 11, 9, 11, 7, 7], 2)  # by heading; the highest missile_life
RANGE = 2 * (MISSILE_LIFE - 1)  # in which ticks after the shot a missile is there, at least: 1 to this one
SHIP_HALF = np.array([4.0, 6.0])  # half width and height, with a margin  [pixels]

_FIELD = np.array([WIDTH, HEIGHT])
_ROCK_HALVES = np.array(ROCK_SHAPES) / 2
_TURNS = np.arange(-8, 8)  # headings to the left; one takes a step
_LATER = 1000  # ticks: after all that is urgent
_FASTEST = 20  # a ship that changed its place by more than this in a step was put there  [pixels]


class SweepingExpert:
    """Each of CLASS_NAMES with equal probability, whatever is on the screen."""

    class_names: ClassVar = CLASS_NAMES

    def start(self, rng: np.random.Generator, action_names: tuple[str, ...]) -> None:
        """Keep the game's generator; actions are indices into action_names. KeyError if the game lacks a class."""
        self._rng, self._actions = rng, list(_numbers(self.class_names, action_names).values())

    def act(self, frame: np.ndarray, ram: np.ndarray) -> int:
        """A uniform draw."""
        return int(self._rng.choice(self._actions))


class AimingExpert:
    """Turns to the heading from which a missile hits a rock soonest, fires, and flies ahead while none is in reach.

    For each of the 16 headings the missile's and the rocks' paths are followed, beginning with the moment at which the
    ship will have turned there and one of the two missiles is free. Rocks about to be hit by a missile in flight are
    left out. The answer depends on the present memory and, for the ship's speed, on the ship's place in the four steps
    before; not on what the player did itself, so it can be asked for advice in games that another one plays.

    cruise    fly ahead only while slower than this; 0 stays put  [pixels per step]
    foresight rocks that will meet the ship within this time go before all others  [ticks]
    Raises    KeyError in `start` if the game lacks one of class_names.
    """

    class_names: ClassVar = CLASS_NAMES[:5]

    def __init__(self, cruise: float = 4.0, foresight: int = 20) -> None:
        self.cruise, self.foresight = cruise, foresight

    def start(self, rng: np.random.Generator, action_names: tuple[str, ...]) -> None:
        """Forget the past; actions are indices into action_names."""
        self._index = _numbers(self.class_names, action_names)
        self._places: list[np.ndarray] = []  # of the ship in the last steps, oldest first

    def act(self, frame: np.ndarray, ram: np.ndarray) -> int:
        """The action for an observation: frame (84, 84) uint8, not looked at, and ram (128,) uint8."""
        seen = asteroids_labels.from_ram(ram)
        self._places = [*self._places[-4:], np.array([seen.ship_x, seen.ship_y])]
        return self._index[self._choice(seen)]

    def _choice(self, seen: AsteroidsObjects) -> str:
        ship, drift = self._places[-1], _drift(self._places)
        rocks = _Rocks(seen)
        if np.isnan(ship).any() or not len(rocks.places):
            return "NOOP"
        rocks, ready = _after_flights(seen, rocks)
        begin = np.maximum(TICKS * np.abs(_TURNS), ready)  # of the step that fires, for each heading
        headings = (seen.direction + _TURNS) % 16
        ticks = np.arange(1.0, RANGE.max() + 1)
        lasting = np.where(ticks <= RANGE[headings, None], ticks, np.nan)  # a missile that is gone hits nothing
        muzzles = ship + MUZZLE + drift * (begin + 1)[:, None]
        paths = muzzles[:, None] + MISSILE_STEPS[headings][:, None] * lasting[..., None]
        flight, which = rocks.first_hit(paths, begin + 1)
        urgent = rocks.meets(ship, drift, self.foresight)[which]
        wait = np.where(flight < len(ticks), begin + flight + _LATER * ~urgent, np.inf)
        best = int(wait.argmin())
        if np.isfinite(wait[best]):
            turn = _TURNS[best]
            return "LEFT" if turn > 0 else "RIGHT" if turn < 0 else "NOOP" if begin[best] else "FIRE"
        return "UP" if TICKS * np.hypot(*drift) < self.cruise else "NOOP"


EXPERTS = {"sweeping": SweepingExpert, "aiming": AimingExpert}


class _Rocks:
    """R rocks: places (R, 2) of their middles now, moves (R, 2) per tick, halves (R, 2) of their extent  [pixels]."""

    def __init__(self, seen: AsteroidsObjects) -> None:
        there = seen.rock_size > 0
        self.places = np.stack([seen.rock_x, seen.rock_y], axis=-1)[there]
        self.moves = FRAMES * np.stack([seen.rock_dx, seen.rock_dy], axis=-1)[there]
        self.halves = _ROCK_HALVES[seen.rock_size[there]]

    def remove(self, which: int) -> None:
        """Drop a rock, at both edges if it is listed twice."""
        left = (np.abs(_shortest(self.places - self.places[which])) > 1).any(1)
        self.places, self.moves, self.halves = self.places[left], self.moves[left], self.halves[left]

    def first_hit(self, paths: np.ndarray, begin: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """When and what missiles hit.

        paths    (P, T, 2) their places in successive ticks
        begin    (P,) the first of these ticks, counted from now
        Returns  index (P,) of the tick, T for a miss; index (P,) of the rock, R for a miss
        """
        n_paths, n_ticks = paths.shape[:2]
        ticks = begin[:, None] + np.arange(n_ticks)
        gaps = _shortest(paths[:, :, None] - self.places - ticks[..., None, None] * self.moves)
        hits = (np.abs(gaps) <= self.halves).all(-1)  # (P, T, R)
        when = np.where(hits.any((1, 2)), hits.any(2).argmax(1), n_ticks)
        now = hits[np.arange(n_paths), np.minimum(when, n_ticks - 1)]
        return when, np.append(now, ~now.any(1, keepdims=True), axis=1).argmax(1)

    def meets(self, ship: np.ndarray, drift: np.ndarray, within: int) -> np.ndarray:
        """(R + 1,) bool: which rocks will touch the ship within so many ticks; the last entry, of no rock, is False."""
        ticks = np.arange(within)[:, None, None]
        gaps = _shortest(self.places - ship + ticks * (self.moves - drift))
        return np.append((np.abs(gaps) < self.halves + SHIP_HALF).all(-1).any(0), False)


def _after_flights(seen: AsteroidsObjects, rocks: _Rocks) -> tuple[_Rocks, int]:
    """The rocks that the missiles in flight will leave, and the ticks until the next shot can be fired."""
    free = []
    flying = np.isfinite(seen.missile_x)
    for i in range(N_MISSILES):
        n = np.arange(max(TICKS * seen.missile_life[i], 1))
        path = np.array([seen.missile_x[i], seen.missile_y[i]]) + n[:, None] * MISSILE_STEPS[seen.missile_direction[i]]
        flight, which = rocks.first_hit(path[None], np.zeros(1, int))
        if which[0] < len(rocks.places):
            rocks.remove(which[0])
        free.append(int(flight[0]) if flying[i] else 0)
    just_fired = (flying & (seen.missile_life >= MISSILE_LIFE[seen.missile_direction] - 1)).any()
    return rocks, max(min(free), TICKS * just_fired)


def _drift(places: list[np.ndarray]) -> np.ndarray:
    """(2,) the ship's mean motion per tick over its last places, one per step."""
    moved = _shortest(np.diff(np.array(places), axis=0))
    moved = moved[(np.abs(moved) < _FASTEST).all(1)]  # neither from nor to nowhere
    return moved.mean(0) / TICKS if len(moved) else np.zeros(2)


def _shortest(way: np.ndarray) -> np.ndarray:
    """A way (..., 2) from place to place, perhaps across the field's edges."""
    return (way + _FIELD / 2) % _FIELD - _FIELD / 2


def _numbers(class_names: tuple[str, ...], action_names: tuple[str, ...]) -> dict[str, int]:
    """The classes' places among the game's actions."""
    index = {name: i for i, name in enumerate(action_names)}
    return {name: index[name] for name in class_names}
