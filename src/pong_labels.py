"""Objects of Pong, in pixels of the 210 x 160 screen: from the console's memory (the truth) or from 84 x 84 frames.

The playing field spans rows 34 to 193; the white bars above and below hide what lies behind them. The ball is 2 wide
and 4 high, a paddle 4 wide and 16 high. The enemy's paddle is on the left (columns 16 to 19), ours on the right
(columns 140 to 143). T frames, 1 step = 4 emulated frames = 1/15 s; pixels are screen pixels throughout.

An 84 x 84 pixel is the area mean of 2.5 x 1.905 screen pixels, so that edges and centroids can be read far below its
size. The maximum over the last two emulated frames is what costs: a moving object appears at both places, in no order.
"""

from typing import NamedTuple

import numpy as np

FIELD_TOP, FIELD_BOTTOM = 34, 194  # first row of the field, first row below it  [pixels]
BALL_WIDTH, BALL_HEIGHT, PADDLE_HEIGHT = 2, 4, 16  # [pixels]

_RAM_BYTES = np.array([49, 54, 51, 50])  # ball x, ball y, player y, enemy y
_RAM_OFFSETS = np.array([-49.0, -14.0, -14.0, -15.0])

_SIDE = 84
_CELL_HEIGHT, _CELL_WIDTH = 210 / _SIDE, 160 / _SIDE  # one observation pixel  [screen pixels]
_ROWS = slice(13, 78)  # observation rows that see the field; the first and last see a bar as well
_ROW_EDGES = np.arange(13, 79) * _CELL_HEIGHT
_ROW_CENTRES = (np.maximum(_ROW_EDGES[:-1], FIELD_TOP) + np.minimum(_ROW_EDGES[1:], FIELD_BOTTOM)) / 2
_COLUMN_CENTRES = (np.arange(_SIDE) + 0.5) * _CELL_WIDTH
_BALL_GREY, _PADDLE_GREY = 149, 60  # above the field's grey value of 87
_EMPTY = np.full((_ROWS.stop - _ROWS.start, 1), 87, np.int16)  # the empty field, bars included
_EMPTY[0], _EMPTY[-1] = 176, 147
# What each paddle adds to the observation columns it covers, wholly or in part  [grey values]
_PADDLE_COLUMNS = np.array([8, 9, 10, 73, 74, 75])
_PADDLE_LIGHT = np.array([36, 60, 30, 30, 60, 36], np.float32)
_NOISE = 4  # light below this is rounding and paddle edges  [grey values]
_LEAST_AREA = 1.5  # no ball covers less  [screen pixels]
_CHUNK = 1024  # frames worked on at a time


class PongObjects(NamedTuple):
    """Left or top edge of each object, float64 arrays of one shape  [screen pixels]; NaN where it is absent.

    ball_x, ball_y  the ball (2 x 4)
    player_y        our paddle, on the right (4 x 16)
    enemy_y         the enemy's paddle, on the left (4 x 16); absent while wholly behind the upper bar
    """

    ball_x: np.ndarray
    ball_y: np.ndarray
    player_y: np.ndarray
    enemy_y: np.ndarray


def from_ram(ram: np.ndarray) -> PongObjects:
    """Objects from the console's memory.

    ram      (..., 128) uint8
    Returns  PongObjects of shape (...). Positions are exact except the ball's y, which the console draws at this row
             or (one frame in ten) the row above. An object partly behind a bar keeps its own position.
    Raises   ValueError for another shape or dtype.
    """
    _check_ram(ram)
    found = ram[..., _RAM_BYTES] + _RAM_OFFSETS
    found[..., 2] += ram[..., 51] & 1  # our paddle is drawn on even rows only
    found[..., :2][ram[..., 54] == 0] = np.nan
    found[..., 3:][ram[..., 50] <= FIELD_TOP - 1] = np.nan
    return PongObjects(found[..., 0], found[..., 1], found[..., 2], found[..., 3])


def scores_from_ram(ram: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Points of (enemy, player), integers of shape (...), from memory (..., 128) uint8; ValueError as in `from_ram`.

    Meaningless from 2^16 emulated frames on (step 16,300): the console then ends any game and never serves again.
    """
    _check_ram(ram)
    return ram[..., 13].astype(int), ram[..., 14].astype(int)


def from_frames(frames: np.ndarray) -> PongObjects:
    """Objects from observations, in whole pixels.

    frames   (T, 84, 84) uint8, consecutive steps of a game. The past settles in which order a moving object took its
             two places; after a cut, and in a call with T = 1, it is placed in the middle of the two.
    Returns  PongObjects of shape (T,), each estimate causal: frame t is labelled from frames up to t.
    Raises   ValueError for another shape or dtype.
    Limits   A paddle moves in every second emulated frame: in half of all games between the last two, by up to 12
             pixels, and when it turns round there, the order of its two places cannot be seen. Nor can the last place
             of a paddle that slides behind a bar, or that the ball left the screen in the very last frame.
    """
    if frames.ndim != 3 or frames.shape[1:] != (_SIDE, _SIDE) or frames.dtype != np.uint8:
        raise ValueError(f"frames must be (T, 84, 84) uint8, not {frames.shape} {frames.dtype}")
    places = np.empty((len(frames), 7))
    for start in range(0, len(frames), _CHUNK):
        chunk = slice(start, start + _CHUNK)
        light = np.subtract(frames[chunk, _ROWS], _EMPTY, dtype=np.float32)
        places[chunk, :2] = _paddle_places(light, inner=74, outer=75)
        places[chunk, 2:4] = _paddle_places(light, inner=9, outer=8)
        places[chunk, 4:] = _ball_middle(light)
    player_upper, player_lower, enemy_upper, enemy_lower, middle_x, middle_y, area = places.T
    return PongObjects(
        _newest_ball(middle_x, area, reach=16),
        _newest_ball(middle_y, area, reach=20),
        _newest_paddle(player_upper, player_lower),
        _newest_paddle(enemy_upper, enemy_lower),
    )


def _check_ram(ram: np.ndarray) -> None:
    if ram.shape[-1:] != (128,) or ram.dtype != np.uint8:
        raise ValueError(f"ram must be (..., 128) uint8, not {ram.shape} {ram.dtype}")


def _ball_middle(light: np.ndarray) -> np.ndarray:
    """Centroid of the ball's two places as a left and a top edge, and the area they cover: (T, 3), from light.

    light  (T, 65, 84) grey values above the empty field, float32; overwritten
    """
    excess = light[:, :, _PADDLE_COLUMNS] - _PADDLE_LIGHT
    light[:, :, _PADDLE_COLUMNS] = excess * (_BALL_GREY / (_BALL_GREY - _PADDLE_LIGHT))
    light[light < _NOISE] = 0
    by_row, by_column = light.sum(2), light.sum(1)
    total = by_row.sum(1)
    area = total * (_CELL_HEIGHT * _CELL_WIDTH / _BALL_GREY)
    total[area < _LEAST_AREA] = np.nan
    left, top = by_column @ _COLUMN_CENTRES / total - BALL_WIDTH / 2, by_row @ _ROW_CENTRES / total - BALL_HEIGHT / 2
    return np.stack([left, top, area], axis=1)


def _newest_ball(middle: np.ndarray, area: np.ndarray, reach: float) -> np.ndarray:
    """Newest of the ball's two places along one axis, (T,), from their middle and the area covered, each (T,).

    In straight flight the two places lie 1/4 of the last step's displacement apart, so the newest lies 1/8 of it ahead
    of the middle. A ball that covers no more than its own area has not moved; one that has come further than `reach`
    pixels is a new one.
    """
    step = np.diff(middle, prepend=np.nan)
    flying = (np.abs(step) <= reach) & (area > BALL_WIDTH * BALL_HEIGHT + 0.5)
    return np.round(middle + np.where(flying, step / 8, 0))


def _paddle_places(light: np.ndarray, inner: int, outer: int) -> np.ndarray:
    """Top edges of the upper and the lower of a paddle's two places, (T, 2), from light (T, 65, 84); NaN if hidden.

    inner, outer  an observation column wholly inside the paddle, and one that it covers in part. Where both are lit,
                  it is the paddle; where either is too bright, it is the ball.
    """
    part = _PADDLE_LIGHT[outer == _PADDLE_COLUMNS]
    at_inner, at_outer = light[:, :, inner] / _PADDLE_GREY, light[:, :, outer] / part
    cover = np.minimum(at_inner, at_outer).clip(0, 1)
    ball = (at_inner > 1.09) | (at_outer > 1.15)
    if ball.any():  # blank these rows and, since the ball's edges may be dimmer, their neighbours
        near = ball.copy()
        near[:, 1:] |= ball[:, :-1]
        near[:, :-1] |= ball[:, 1:]
        cover[near] = 0
    seen = cover > 0.03
    first, last = seen.argmax(1), seen.shape[1] - 1 - seen[:, ::-1].argmax(1)
    frame = np.arange(len(light))
    upper = _ROW_EDGES[first + 1] - _CELL_HEIGHT * cover[frame, first]
    lower = _ROW_EDGES[last] + _CELL_HEIGHT * cover[frame, last] - PADDLE_HEIGHT
    # An edge behind a bar says nothing: go by the other one.
    upper = np.where(upper < FIELD_TOP + 0.4, lower, upper)
    lower = np.where(lower > FIELD_BOTTOM - PADDLE_HEIGHT - 0.4, upper, lower)
    return np.where(seen.any(1), [upper, lower], np.nan).T


def _newest_paddle(upper: np.ndarray, lower: np.ndarray) -> np.ndarray:
    """Which of a paddle's two places is the newest, (T,): the order that continues the motion more smoothly.

    A paddle closes half of the distance to its target in every second emulated frame, so that without a command each
    move is half of the one before: the move to `old` follows the previous step's last move, the move to `new` follows
    the move to `old`. The first is the safer guide and counts twice. For places at most 2 pixels apart the middle is
    reported: it is 1 off, a wrong guess would be 2 off.
    """
    newest = (upper + lower) / 2
    place = move = 0.0
    for t, (high, low) in enumerate(zip(upper.tolist(), lower.tolist(), strict=True)):
        if t and low - high > 2.5:
            costs = [
                2 * abs(old - place - move / 2) + abs(new - old - (old - place) / 2)
                for old, new in ((high, low), (low, high))
            ]
            newest[t], move = (low, low - high) if costs[0] < costs[1] else (high, high - low)
        else:
            move = (newest[t] - place) / 2 if t else 0.0
        place = newest[t]
    return np.round(newest)
