"""Hand-written Breakout players: one that chases the ball, one that waits where it will come down.

Both use three actions, CLASS_NAMES; FIRE, which serves, is the environment's business (`AtariEnv`'s press_fire). A
policy looks at the last few observations and at nothing else, not even at its own last action. So an imitator that sees
8 frames lacks no information, and a policy can be asked for advice in games that another one plays.

What is known of the control, measured in the emulator:

- An emulated frame of RIGHT or LEFT moves the paddle's target by 5.75 pixels, and the paddle closes half of its
  distance to the target in every frame. One action of 4 frames so leads 23 pixels on, more than the paddle is wide, and
  only 12 of them before the next observation. An action sticks with probability 1/4 per frame, which makes the
  length of a move uncertain by some 5 pixels. Control is about choosing moves early enough to choose again.
- Behind the right stop the target goes on for another 9 frames, unseen, and must come all the way back.
- The ball flies 0.5 to 2 pixels per frame across, and 1, 1.5, 2 or (after a brick in one of the upper rows) 3 3/8
  pixels down. It turns round in the first frame in which it is seen in a side wall, and on the paddle, if any of the
  two overlaps, in the first one with y >= 186.
- Byte 108 of the memory is half of the paddle's width.

Score under the protocol with press_fire, root seed (77, 1), which is also the one that the predictive player was tuned
on: from the memory 514 points on average over 20 games (333 to 848; 3,645 steps per game, 6,241 at most; 3 of 100 balls
that come down are lost), from pixels 387 over 4 games (310 to 480; 2,387 steps). The chasing player: 52 over 20 games
(16 to 105; 1,205 steps), from pixels 55 over 4 (22 to 98; 1,118 steps). No game went in circles: sticky actions
vary where the paddle meets the ball. But it is not aimed at the bricks, and the last few of a wall take their time: up
to 1,373 steps without a point. Half of the 20 games ended within 40 points of the first wall's 432.

Positions are left or top edges in screen pixels; a step is 4 emulated frames (1/15 s).
"""

import abc
import math
from functools import lru_cache
from itertools import pairwise
from typing import Literal, NamedTuple

import numpy as np

import breakout_labels

CLASS_NAMES = ("NOOP", "RIGHT", "LEFT")

CONTACT_Y = 186  # the ball's y when it meets the paddle  [pixels]
LEFT_TURN, RIGHT_TURN = 6.5, 151.5  # the ball's x where the side walls turn it back, lines of reflection  [pixels]
FASTEST = 13.5  # of the ball, downward; its whole pixels alternate between 13 and 14  [pixels per step]
FULL_SCORE = 864  # two walls; there is no third

STEP_FRAMES = 4
PUSH = 5.75  # by which an action moves the paddle's target  [pixels per frame]
STICKY = 0.25  # probability that an action lasts for another frame
LAG = 10.8  # how far the paddle is behind its target after a step of motion  [pixels]
# How far the paddle will move on, per pixel of its last displacements, newest first: least squares over 6 games
COAST = (0.74, -0.44, 0.28, -0.12)
LEFTMOST, RIGHTMOST = 8.0, 137.0  # aims of the paddle; farther right it would run into its stop  [pixels]

# The plan: a ball that is met is worth 1. The costs are small against it, but decide where little else does.
HORIZON = 48  # [frames]
FARTHEST = 160  # [pixels]
MOVE_COST = 1e-3  # per step of moving
DELAY_COST = 1e-4  # per step and pixel off the aim: do not put off what uncertainties of another kind may spoil
MISS_COST = 1e-3  # per pixel off the aim at contact

_MOVES = (0, 1, -1)  # stay, right, left; each is also its own index


class Scene(NamedTuple):
    """One observation's objects."""

    ball_x: float  # NaN where there is no ball
    ball_y: float
    paddle_x: float
    paddle_width: int


class _Expert(abc.ABC):
    """Keeps the last five observations' objects and turns the wish of a subclass (left, stay, right) into an action.

    source   "ram": objects from the console's memory, exact. "pixels": each from the last four observations, in place
             of a whole game's. What is lost: the order of a moving paddle's two places is known less often, the
             paddle's width is not known and taken as the narrow one, and the ball among the bricks is seen badly.
    Raises   ValueError for another source; KeyError in `start` if the game lacks one of CLASS_NAMES.
    """

    def __init__(self, source: Literal["ram", "pixels"] = "ram") -> None:
        if source not in ("ram", "pixels"):
            raise ValueError(f"source must be 'ram' or 'pixels', not {source!r}")
        self.source = source

    def start(self, rng: np.random.Generator, action_names: tuple[str, ...]) -> None:
        """Forget the past; actions are indices into action_names."""
        index = {name: i for i, name in enumerate(action_names)}
        self._index = [index[name] for name in CLASS_NAMES]  # in the order of _MOVES
        self._frames: list[np.ndarray] = []
        self._past: list[Scene] = []  # oldest first

    def act(self, frame: np.ndarray, ram: np.ndarray) -> int:
        """The action for an observation: frame (84, 84) uint8, ram (128,) uint8."""
        if self.source == "ram":
            ball_x, ball_y, paddle_x = (float(value) for value in breakout_labels.from_ram(ram))
            now = Scene(ball_x, ball_y, paddle_x, 2 * int(ram[108]))
            if breakout_labels.score_from_ram(ram) >= FULL_SCORE:
                return self._index[0]  # nothing left to win: let the game end
        else:
            self._frames = [*self._frames[-3:], frame]
            seen = breakout_labels.from_frames(np.stack(self._frames))
            ball_x, ball_y, paddle_x = (float(values[-1]) for values in seen)
            now = Scene(ball_x, ball_y, paddle_x, 12)
        self._past = [*self._past[-4:], now]
        return self._index[self._wish(self._past)]

    @abc.abstractmethod
    def _wish(self, past: list[Scene]) -> int:
        """-1 left, 0 stay, 1 right, from up to five observations, oldest first."""


class TrackingExpert(_Expert):
    """Moves toward the ball's present x; too late for a fast ball, and often too far.

    dead_zone   stay while the ball's middle is within this of the paddle's  [pixels]
    """

    def __init__(self, source: Literal["ram", "pixels"] = "ram", dead_zone: float = 8.0) -> None:
        super().__init__(source)
        self.dead_zone = dead_zone

    def _wish(self, past: list[Scene]) -> int:
        now = past[-1]
        error = now.ball_x - _straight(now.paddle_width) - now.paddle_x
        return int(error > self.dead_zone) - int(error < -self.dead_zone)


class PredictiveExpert(_Expert):
    """Waits where the ball will cross the paddle's row; while it does not come down, somewhat nearer to the middle.

    What it does to get there is the best there is under sticky actions: dynamic programming over the frames that remain
    until contact, the last action and the error at which the paddle would come to rest. A path through the bricks is
    not predicted: the ball turns round on the way, and it takes at least 25 frames from them down to the paddle.

    home    while the ball rises: the share of its distance from the field's middle by which to stay inside of it  [1]
    """

    def __init__(self, source: Literal["ram", "pixels"] = "ram", home: float = 0.5) -> None:
        super().__init__(source)
        self.home = home

    def _wish(self, past: list[Scene]) -> int:
        now = past[-1]
        if math.isnan(now.ball_x + now.paddle_x):
            return 0
        meeting = _meeting([(scene.ball_x, scene.ball_y) for scene in past[-3:]])
        if meeting is None:
            middle = (breakout_labels.FIELD_LEFT + breakout_labels.FIELD_RIGHT) / 2
            meeting = HORIZON, now.ball_x + self.home * (middle - now.ball_x)
        frames, ball_x = meeting
        last, rest = _resting([scene.paddle_x for scene in past])
        aim = min(max(ball_x - _straight(now.paddle_width), LEFTMOST), RIGHTMOST)
        error = min(max(round(aim - rest), -FARTHEST), FARTHEST)
        return int(_plan(_straight(now.paddle_width) + 1)[min(frames, HORIZON), last, error + FARTHEST])


EXPERTS = {"tracking": TrackingExpert, "predictive": PredictiveExpert}


def _straight(paddle_width: int) -> int:
    """Ball's x minus paddle's x in the middle of the range, -1 to paddle_width - 1, in which they meet  [pixels]."""
    return paddle_width // 2 - 1


def _meeting(ball: list[tuple[float, float]]) -> tuple[int, float] | None:
    """When and where the ball will cross the paddle's row: (emulated frames, x), or None if it does not come down.

    ball   (x, y) of up to three steps, oldest first; NaN where there was none
    The ball flies straight and the side walls mirror its path. A velocity taken across a bounce would be too small:
    where the previous step's velocity leads through a wall, it is turned round instead.
    """
    speeds = [(later[0] - earlier[0], later[1] - earlier[1]) for earlier, later in pairwise(ball)]
    if not speeds or not speeds[-1][1] > 0:
        return None
    speed_x, speed_y = speeds[-1]
    before_x = speeds[0][0]
    if abs(speed_x) < abs(before_x) and not LEFT_TURN <= ball[-2][0] + before_x <= RIGHT_TURN:
        speed_x = -before_x
    if abs(speed_y - FASTEST) < 1:
        speed_y = FASTEST
    x, y = ball[-1]
    frames = max(math.ceil((CONTACT_Y - y) * STEP_FRAMES / speed_y), 0)
    width = RIGHT_TURN - LEFT_TURN
    beyond = (x + speed_x * frames / STEP_FRAMES - LEFT_TURN) % (2 * width)  # unfolded path, folded back below
    return frames, LEFT_TURN + min(beyond, 2 * width - beyond)


def _resting(paddle: list[float]) -> tuple[int, float]:
    """(last action -1, 0 or 1; x at which the paddle would come to rest), from its x in up to five steps, oldest first.

    After a step of motion it is LAG pixels behind its target, otherwise next to none.
    """
    moves = [later - earlier for earlier, later in pairwise(paddle)]
    coming = sum(share * move for share, move in zip(COAST, reversed(moves), strict=False))
    last = 0 if math.isnan(coming) else min(max(round(coming / LAG), -1), 1)
    return last, paddle[-1] + LAG * last


@lru_cache
def _plan(reach: int) -> np.ndarray:
    """The best move, (HORIZON + 1 frames until contact, 3 last actions as in _MOVES, 2 FARTHEST + 1 errors), int8.

    reach   the paddle meets the ball if its place is no farther off than this  [pixels]
    The error is the aim minus where the paddle would come to rest, from -FARTHEST on  [pixels].
    """
    error = np.arange(-FARTHEST, FARTHEST + 1.0)
    delays = [(1 - STICKY) * STICKY**delay for delay in range(STEP_FRAMES)]
    delays.append(1 - sum(delays))
    worth = np.empty((HORIZON + 1, len(_MOVES), len(error)))
    best = np.empty(worth.shape, np.int8)

    def afterwards(frames: int, last: int, move: int, delay: int) -> np.ndarray:
        """Worth after a step in which the last action goes on for `delay` frames."""
        if frames >= STEP_FRAMES:
            gone = PUSH * (last * delay + move * (STEP_FRAMES - delay))
            return np.interp(error - gone, error, worth[frames - STEP_FRAMES, move if delay < STEP_FRAMES else last])
        target, place = 0.0, -LAG * last
        for frame in range(frames):
            place += (target - place) / 2
            target += PUSH * (last if frame < delay else move)
        off = np.abs(error - place)
        return 1 / (1 + np.exp(2 * (off - reach - 0.5))) - MISS_COST * off

    for frames in range(HORIZON + 1):
        for last in _MOVES:
            each = [sum(p * afterwards(frames, last, move, j) for j, p in enumerate(delays)) for move in _MOVES]
            total = np.array(each) - MOVE_COST * np.abs(_MOVES)[:, None] - DELAY_COST * np.abs(error)
            best[frames, last] = np.array(_MOVES)[total.argmax(0)]
            worth[frames, last] = total.max(0)
    return best
