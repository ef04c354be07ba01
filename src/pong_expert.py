"""Hand-written Pong players for the right paddle: one that chases the ball, one that predicts it and wins.

Both use three actions, CLASS_NAMES; in ALE's naming RIGHT moves the paddle up and LEFT moves it down. One action lasts
4 emulated frames and moves the paddle by some 22 pixels, most of it in the two steps that follow: control is about
braking in time. A policy looks at the labels of the last few observations and at nothing else, not even at its own
last action. So an imitator that sees 8 frames lacks no information, and a policy can be asked for advice in games that
another one plays. Positions are left or top edges in screen pixels, speeds are pixels per step of 1/15 s.
"""

import abc
import math
from collections.abc import Callable, Mapping
from functools import partial
from itertools import pairwise
from typing import Literal

import numpy as np

import pong_labels

CLASS_NAMES = ("NOOP", "RIGHT", "LEFT")  # stay, up, down

SPEED_UNIT = 4  # one pixel per emulated frame  [pixels per step]
CONTACT_X = 139  # the ball's x when it meets our paddle  [pixels]
UPPER_WALL_Y, LOWER_WALL_Y = 31, 192  # the ball's y where the walls turn it back, lines of reflection  [pixels]
STRAIGHT_HIT = 6.5  # ball's y minus paddle's y in the middle of the range -2 to 15 in which the paddle meets the ball


class _Expert(abc.ABC):
    """Keeps the last three observations' objects and turns the wish of a subclass (up, stay, down) into an action.

    source   "ram": objects from the console's memory; "pixels": from the observations
    Raises   ValueError for another source; KeyError in `start` if the game lacks one of CLASS_NAMES.
    """

    def __init__(self, source: Literal["ram", "pixels"] = "ram") -> None:
        if source not in ("ram", "pixels"):
            raise ValueError(f"source must be 'ram' or 'pixels', not {source!r}")
        self.source = source

    def start(self, rng: np.random.Generator, action_names: tuple[str, ...]) -> None:
        """Forget the past; actions are indices into action_names."""
        index = {name: i for i, name in enumerate(action_names)}
        self._stay, self._up, self._down = (index[name] for name in CLASS_NAMES)
        self._frames: list[np.ndarray] = []
        self._past: list[tuple[float, float, float]] = []  # ball x, ball y, our y; oldest first

    def act(self, frame: np.ndarray, ram: np.ndarray) -> int:
        """The action for an observation: frame (84, 84) uint8, ram (128,) uint8."""
        if self.source == "ram":
            ball_x, ball_y, player_y, _ = pong_labels.from_ram(ram)
        else:
            self._frames = [*self._frames[-3:], frame]
            ball_x, ball_y, player_y, _ = (values[-1] for values in pong_labels.from_frames(np.stack(self._frames)))
        self._past = [*self._past[-2:], (float(ball_x), float(ball_y), float(player_y))]
        wish = self._wish(self._past)
        return self._up if wish < 0 else self._down if wish > 0 else self._stay

    @abc.abstractmethod
    def _wish(self, past: list[tuple[float, float, float]]) -> int:
        """-1 up, 0 stay, 1 down, from (ball x, ball y, our y) of up to three steps, oldest first."""


class ReactiveExpert(_Expert):
    """Moves toward the ball's present height; loses.

    dead_zone   stay while the ball's centre is within this of the paddle's  [pixels]
    """

    def __init__(self, source: Literal["ram", "pixels"] = "ram", dead_zone: float = 12.0) -> None:
        super().__init__(source)
        self.dead_zone = dead_zone

    def _wish(self, past: list[tuple[float, float, float]]) -> int:
        _, ball_y, player_y = past[-1]
        return _sign(ball_y - player_y - 6, self.dead_zone)


class WinningExpert(_Expert):
    """Waits where the ball will cross the paddle's column and strikes it with an edge, so that it flies off steeply.

    The enemy is too slow for steep balls, but only for those that have far to go: a ball met in the upper part of the
    field is struck down, one met in the lower part is struck up. The stroke's angle depends on where the ball meets
    the paddle alone. In the last steps the aim no longer matters, only whether the paddle meets the ball. A rally must
    not go on for ever: after 16,300 steps (2^16 frames) the console's clock runs out and it never serves again.

    off_centre      aimed distance of the ball from the paddle's middle; the outermost 3 of 9 win  [pixels]
    dead_zone       stay while the paddle is expected to come to rest within this of its aim  [pixels]
    highest_aim     aim no higher: the paddle would run into its stop and so always strike at the very same place; it
                    and the enemy could return the same stroke for ever  [pixels]
    last_steps      from so many steps before contact on ...  [steps]
    last_dead_zone  ... stay while the ball is expected to come within this of the paddle's middle  [pixels]
    divide_y        contact height that separates strokes down (above it) from strokes up  [pixels]
    home_y          where the paddle goes while no ball approaches  [pixels]
    home_dead_zone  stay while it is expected to come to rest within this of home. Small, so that it does not rest long
                    at the same place, for the same reason  [pixels]
    coast           how far the paddle moves on without a command, per pixel of its last and last but one
                    displacement. Two fast steps mean that it has had its push, hence the minus  [1]
    """

    def __init__(
        self,
        source: Literal["ram", "pixels"] = "ram",
        off_centre: float = 4.0,
        dead_zone: float = 7.5,
        highest_aim: float = 36.0,
        last_steps: float = 5.0,
        last_dead_zone: float = 8.7,
        divide_y: float = 112.0,
        home_y: float = 85.0,
        home_dead_zone: float = 5.0,
        coast: tuple[float, float] = (0.45, -0.41),
    ) -> None:
        super().__init__(source)
        self.off_centre, self.dead_zone, self.highest_aim = off_centre, dead_zone, highest_aim
        self.last_steps, self.last_dead_zone, self.divide_y = last_steps, last_dead_zone, divide_y
        self.home_y, self.home_dead_zone, self.coast = home_y, home_dead_zone, coast

    def _wish(self, past: list[tuple[float, float, float]]) -> int:
        heights = [player_y for _, _, player_y in past]
        moves = [later - earlier for earlier, later in pairwise(heights)]
        rest = heights[-1] + sum(share * move for share, move in zip(self.coast, reversed(moves), strict=False))
        meeting = _meeting([(x, y) for x, y, _ in past])
        if meeting is None:
            return _sign(self.home_y - rest, self.home_dead_zone)
        steps, contact_y = meeting
        if steps <= self.last_steps:
            return _sign(contact_y - STRAIGHT_HIT - rest, self.last_dead_zone)
        off_centre = self.off_centre if contact_y < self.divide_y else -self.off_centre
        aim = max(contact_y - STRAIGHT_HIT - off_centre, self.highest_aim)
        return _sign(aim - rest, self.dead_zone)


EXPERTS: Mapping[str, Callable[..., _Expert]] = {
    "reactive": ReactiveExpert,
    "balanced": partial(ReactiveExpert, dead_zone=4.0),  # its three actions are about equally frequent
    "winning": WinningExpert,
}


def _sign(error: float, dead_zone: float) -> int:
    """-1 up, 0 stay, 1 down; an absent object (NaN) leaves the paddle alone."""
    return int(error > dead_zone) - int(error < -dead_zone)


def _meeting(ball: list[tuple[float, float]]) -> tuple[float, float] | None:
    """When and where the ball will cross our paddle's column: (steps, y), or None if it does not approach.

    ball   (x, y) of up to three steps, oldest first
    The ball flies straight, by whole pixels per emulated frame, and the walls mirror its path. A velocity taken across
    a bounce would be too small: where the previous step's velocity leads through a wall, it is turned round instead.
    """
    speeds = [
        tuple(SPEED_UNIT * round((now - before) / SPEED_UNIT) for before, now in zip(earlier, later, strict=True))
        for earlier, later in pairwise(ball)
        if not math.isnan(earlier[0] + later[0])
    ]
    x, y = ball[-1]
    if not speeds or not x < CONTACT_X:
        return None
    speed_x, speed_y = speeds[-1]
    if speed_x <= 0:
        return None
    if len(speeds) == 2 and speeds[0][0] > 0:
        before_y = speeds[0][1]
        if abs(speed_y) < abs(before_y) and not UPPER_WALL_Y <= ball[-2][1] + before_y <= LOWER_WALL_Y:
            speed_y = -before_y
    steps = (CONTACT_X - x) / speed_x
    height = LOWER_WALL_Y - UPPER_WALL_Y
    beyond = (y + speed_y * steps - UPPER_WALL_Y) % (2 * height)  # unfolded path, folded back between the walls
    return steps, UPPER_WALL_Y + min(beyond, 2 * height - beyond)
