"""Hand-written Space Invaders players: one that chases the nearest column, one that plans its way and its next shot.

Score under the protocol, 20 games each, root seed (77, 1): simple 387 points on average (180 to 645; 618 steps per
game), dodging 10,629 (3,480 to 38,370, half of the games below 7,128; 6,540 steps, 2,351 to 22,752). It is a tuning
seed: the constants were chosen on this one, (78, 1) and (12345, 1), the four actions for good on this very sample, on
which six gave 8,706 +- 1,116 (standard error; four: 2,187). The scatter is wide since nearly every game ends the same
way, at a random time. The player was hit once in 32,160 steps of the first six games and hit all 62 saucers, but sooner
or later a wave lands: one of the low ones from the fifth on, or the last alien left, which moves faster than a falling
bullet and is missed by every third shot.

Four actions, CLASS_NAMES, are enough: who fires stands still for that step. Moving and firing at once was the best plan
in 0.4 % of the steps. Not firing matters: in seven games cut at 4,500 steps (root seed (12345, 1), an earlier version
with six actions) FIRE held all the time brought 3,166 points on average, aimed shots 7,019, and without shooting at the
saucer 5,521.

What they know of the memory beyond si_labels was found by planting bullets and watching, by emulated frame:

- The ship moves 1 pixel in every second frame, an enemy's bullet falls by 2, ours climbs by 4. Ours starts 4 pixels
  right of the ship's edge; while FIRE is held the next one leaves as soon as the last one is gone.
- A bullet hits the ship where their labels' x differ by 0 to 6, an alien where they differ by 0 to 8 or 9.
- RAM 24, bit 1: the formation moves right; bit 0: the saucer moves right, 1 pixel in 4 frames. The formation turns
  where its first column gets to 22 or its last one to 129 and then drops by 10 pixels. It moves faster, in jumps of 1
  to 5 pixels, the fewer aliens are left (SPEEDS).
- RAM 43 to 69: the shields, 9 bytes each, one per 2 rows from row 157 on, bit 7 leftmost. A bullet of either side takes
  some bits away and is gone.
- RAM 42 is 4 while the ship explodes. An alien as low as the ship ends the game at once, whatever lives are left: every
  new wave starts 10 pixels lower than the one before, down to the fifth.

Positions are left edges in screen pixels, a step is 4 emulated frames (1/15 s).
"""

import abc
from collections.abc import Iterator
from typing import NamedTuple

import numpy as np

from si_labels import ALIEN_STRIDE_X, ALIEN_STRIDE_Y, UFO_TOP, aliens_from_ram, from_ram

CLASS_NAMES = ("NOOP", "FIRE", "RIGHT", "LEFT")

SHIP_STEP = 2  # the ship moves by so much  [pixels per step]
SHIP_LEFT, SHIP_RIGHT = 34, 116  # the ends of the ship's range  [pixels]
FALL, CLIMB = 4, 8  # speeds of the enemy's bullets and of ours  [pixels per step]
GUN_X, GUN_Y = 4, 174  # where our bullet appears: right of the ship's edge; its first y  [pixels]
DANGER_FROM, DANGER_TO = 174, 196  # an enemy's bullet can hit the ship while its y is in this range  [pixels]
TURN_LEFT, TURN_RIGHT = 22, 129  # the formation turns where its first or its last column gets there  [pixels]
SPEEDS = ((22, 0.125), (8, 0.375), (5, 0.75), (4, 0.94), (3, 1.7), (2, 2.2), (0, 5.0))  # aliens left, pixels per step
POINTS = np.array([30.0, 25.0, 20.0, 15.0, 10.0, 5.0])  # for an alien, upper row first
ALIEN_CENTRE, ALIEN_REACH = 4.0, 4.5  # our bullet hits where its x is within the reach of an alien's x plus this
SAUCER_CENTRE, SAUCER_REACH = 3.0, 4.0  # the same for the saucer
SHIELDS_X = (42, 74, 106)  # 8 wide each  [pixels]
SHIELD_TOP, SHIELD_STEPS = 160, 3  # below this y a bullet is past the shield [pixels]; ours gets there in [steps]


class Scene(NamedTuple):
    """What the memory says of one moment."""

    ship: int
    bullet: tuple[float, float] | None  # (x, y) of ours
    threats: tuple[tuple[float, float], ...]  # (x, y) of the enemy's bullets not yet below the ship
    aliens: np.ndarray  # (6, 6) chance that an alien is there, upper row first, first column at the formation's x
    formation: tuple[float, float]  # (x, y) of the first column and the upper row
    drift: float  # the formation's speed, signed  [pixels per step]
    saucer: tuple[float, int] | None  # (x, -1 or 1 pixel per step)
    shielded: np.ndarray  # (384,) bool: this x has some shield left above it; room for any byte


def scene_from_ram(ram: np.ndarray) -> Scene:
    """Everything that moves, and the shields.

    ram      (128,) uint8
    Raises   ValueError for another shape or type.
    """
    if ram.shape != (128,):
        raise ValueError(f"ram must be (128,) uint8, not {ram.shape} {ram.dtype}")
    seen = from_ram(ram)
    bullets = zip(seen.enemy_bullet_x.tolist(), seen.enemy_bullet_y.tolist(), strict=True)
    speed = next(speed for least, speed in SPEEDS if seen.alive >= least)
    shielded = np.zeros(384, bool)
    for i, x in enumerate(SHIELDS_X):
        shielded[x : x + 8] = np.unpackbits(np.bitwise_or.reduce(ram[43 + 9 * i : 52 + 9 * i]))
    return Scene(
        ship=min(max(int(seen.ship_x), SHIP_LEFT), SHIP_RIGHT),
        bullet=(float(seen.bullet_x), float(seen.bullet_y)) if seen.bullet_y <= GUN_Y + FALL else None,
        threats=tuple((x, y) for x, y in bullets if y < DANGER_TO),
        aliens=aliens_from_ram(ram).astype(float),
        formation=(float(seen.formation_x), float(seen.formation_y)),
        drift=speed if ram[24] & 2 else -speed,
        saucer=None if np.isnan(seen.ufo_x) else (float(seen.ufo_x), 1 if ram[24] & 1 else -1),
        shielded=shielded,
    )


class _Expert(abc.ABC):
    """Turns a subclass's wish into an action.

    Raises   KeyError in `start` if the game lacks one of CLASS_NAMES; ValueError in `act` for a memory that is not
             (128,) uint8.
    """

    def start(self, rng: np.random.Generator, action_names: tuple[str, ...]) -> None:
        """A new game; actions are indices into action_names. There is nothing to forget."""
        index = {name: i for i, name in enumerate(action_names)}
        self._index = {name: index[name] for name in CLASS_NAMES}

    def act(self, frame: np.ndarray, ram: np.ndarray) -> int:
        """The action for an observation: frame (84, 84) uint8, not looked at, and ram (128,) uint8."""
        move, fire = self._wish(scene_from_ram(ram))
        return self._index["FIRE" if fire else ("LEFT", "NOOP", "RIGHT")[move + 1]]

    @abc.abstractmethod
    def _wish(self, scene: Scene) -> tuple[int, bool]:
        """(-1 left, 0 stay or 1 right; whether to fire, which comes first)."""


class SimpleExpert(_Expert):
    """Goes below the nearest column of aliens that is not behind a shield and fires there; does not see bullets.

    dead_zone   stay while the gun is within this of the column's middle  [pixels]
    """

    def __init__(self, dead_zone: float = 3.0) -> None:
        self.dead_zone = dead_zone

    def _wish(self, scene: Scene) -> tuple[int, bool]:
        columns = np.flatnonzero(scene.aliens.any(0))
        aims = scene.formation[0] + ALIEN_STRIDE_X * columns + ALIEN_CENTRE
        errors = aims[~scene.shielded[aims.astype(int)]] - scene.ship - GUN_X
        error = errors[np.abs(errors).argmin()] if len(errors) else 0.0
        return int(error > self.dead_zone) - int(error < -self.dead_zone), abs(error) <= self.dead_zone


class DodgingExpert(_Expert):
    """Plans two seconds ahead: where to go, when to shoot next, and how to stay clear of the bullets that are falling.

    Everything it meets moves in a known way: for every place and time within the horizon it is known whether a bullet
    falls there and what a shot fired there would hit. A plan is worth the points of its next shot, less the crashes on
    its way, less `pace` for every step until that shot's bullet is gone and the gun free again; dynamic programming,
    backward from the horizon, finds the best. The answer depends on the present memory alone, not even on the
    player's own last action, so that a policy can be asked for advice in games that another one plays. FIRE is pressed
    only where the best plan shoots now: a bullet that misses blocks the gun for 20 steps.

    horizon   of the plan  [steps]
    pace      what a step is worth: about the points per step of good play  [points per step]
    crash     cost of a step in the way of a bullet  [points]
    saucer    for hitting the saucer  [points]
    urgency   bonus for an alien, per pixel that its lower edge is below row 110: landed aliens end the game  [points]
    blur      share of a planned move that does not happen: actions may stick  [1]
    """

    def __init__(
        self,
        horizon: int = 30,
        pace: float = 1.5,
        crash: float = 400.0,
        saucer: float = 200.0,
        urgency: float = 1.0,
        blur: float = 0.15,
    ) -> None:
        self.horizon, self.pace, self.crash, self.saucer = horizon, pace, crash, saucer
        self.urgency, self.blur = urgency, blur

    def _wish(self, scene: Scene) -> tuple[int, bool]:
        free, scene = _after_our_bullet(scene)
        free = min(free, self.horizon - 1)
        here = (scene.ship - SHIP_LEFT) // SHIP_STEP
        places = np.arange(scene.ship - SHIP_STEP * here, SHIP_RIGHT + 1, SHIP_STEP)
        gain = self._gain(scene, places, np.arange(free, self.horizon)[:, None])
        danger = self.crash * _danger(scene, places, self.horizon)
        value = np.zeros(
            (2, len(places) + 2)
        )  # of being there, with the ends repeated: nothing to shoot any more, just
        calm, armed = value[:, 1:-1]  # staying clear; with the shot still to come
        led = np.empty((3, 2, len(places)))  # value of what going left, staying and going right lead to
        for t in range(self.horizon - 1, -1, -1):
            value[:, 0], value[:, -1] = value[:, 1], value[:, -2]
            led[0], led[1], led[2] = value[:, :-2], value[:, 1:-1], value[:, 2:]
            led += self.blur * (led[1] - led)
            shoot = (gain[t - free] if t >= free else -np.inf) + led[:, 0]
            wait = led[:, 1] - self.pace
            np.subtract(led[:, 0].max(0), danger[t], out=calm)
            np.subtract(np.maximum(shoot, wait).max(0), danger[t], out=armed)
        choice = np.stack([wait[:, here], shoot[:, here]])
        choice[:, 1] += 1e-3  # if all is equal, stay
        fire, move = divmod(int(choice.argmax()), 3)
        return move - 1, bool(fire)

    def _gain(self, scene: Scene, places: np.ndarray, delay: np.ndarray) -> np.ndarray:
        """(T, X) points of a shot from places (X,) after delay (T, 1) steps, less the pace of its flight."""
        x = places + GUN_X
        left = np.ones((len(delay), len(x)))  # chance that the bullet has hit nothing yet
        gain = np.zeros(left.shape)
        bottom = scene.formation[1] + ALIEN_STRIDE_Y * np.arange(6) + 10
        points = POINTS + self.urgency * np.maximum(bottom - 110, 0)
        for row, _, chance, flight in _hits(scene, x, GUN_Y, delay):
            gain += left * chance * (points[row] - self.pace * flight)
            left *= 1 - chance
        flight = (GUN_Y - UFO_TOP - 4) / CLIMB
        if scene.saucer is not None and self.saucer:
            there = scene.saucer[0] + scene.saucer[1] * (delay + flight)
            chance = np.clip((SAUCER_REACH + 1 - np.abs(x - there - SAUCER_CENTRE)) / 2, 0, 1)
            gain += left * chance * ((there > 2) & (there < 148)) * self.saucer
        gain -= self.pace * left * flight
        gain[:, scene.shielded[x]] = -self.pace * SHIELD_STEPS
        return gain


EXPERTS = {"simple": SimpleExpert, "dodging": DodgingExpert}


def _hits(
    scene: Scene, x: np.ndarray, y: float, delay: np.ndarray
) -> Iterator[tuple[int, np.ndarray, np.ndarray, float]]:
    """What a bullet of ours at x (X,), y meets that starts after delay (T, 1) steps, from the lowest row of aliens up.

    Yields   row, column (T, X), chance (T, X) of a hit if it gets that far, flight until then [steps]
    The formation's jumps are larger the faster it is, and a sticky action may delay the shot: hence chances.
    """
    last = np.flatnonzero(scene.aliens.any(0)).max(initial=0)
    width = max(TURN_RIGHT - ALIEN_STRIDE_X * last - TURN_LEFT, 1)
    softness = 1 + 0.3 * abs(scene.drift)
    for row in range(5, -1, -1):
        above = y - scene.formation[1] - ALIEN_STRIDE_Y * row
        if not scene.aliens[row].any() or above < -4:
            continue
        flight = max((above - 6) / CLIMB, 0.0)
        path = (scene.formation[0] - TURN_LEFT + scene.drift * (delay + flight)) % (2 * width)  # unfolded
        column, within = np.divmod(x - TURN_LEFT - np.minimum(path, 2 * width - path), ALIEN_STRIDE_X)
        inside = (column >= 0) & (column < 6)
        column = np.where(inside, column, 0).astype(np.intp)
        near = (ALIEN_REACH + softness - np.abs(within - ALIEN_CENTRE)) / (2 * softness)
        yield row, column, np.clip(near, 0, 1) * scene.aliens[row][column] * inside, flight


def _after_our_bullet(scene: Scene) -> tuple[int, Scene]:
    """(steps until the gun is free, the scene with less of the aliens that the bullet in flight is about to hit)."""
    if scene.bullet is None:
        return 0, scene
    x, y = scene.bullet
    left, steps, aliens = 1.0, 0.0, scene.aliens.copy()
    for row, column, chance, flight in _hits(scene, np.array([x]), y, np.zeros((1, 1))):
        hit = left * float(chance[0, 0])
        aliens[row, column[0, 0]] -= hit
        steps += hit * flight
        left -= hit
    steps += left * max((y - UFO_TOP - 4) / CLIMB, 0)
    return max(int(np.ceil(steps)), 1), scene._replace(aliens=np.maximum(aliens, 0))


def _danger(scene: Scene, places: np.ndarray, horizon: int) -> np.ndarray:
    """(horizon, X) chance that the ship is hit in that step at that place; 4 and 5 pixels off may be too near."""
    danger = np.zeros((horizon, len(places)))
    for x, y in scene.threats:
        if scene.shielded[int(x)] and y < SHIELD_TOP:
            continue
        chance = np.interp(np.abs(x - places - 3), [3, 4, 5, 6], [1.0, 0.35, 0.05, 0.0])
        steps = slice(max(int((DANGER_FROM - y) // FALL), 0), int(np.ceil((DANGER_TO - y) / FALL)))
        danger[steps] = np.maximum(danger[steps], chance)
    return danger
