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
_PADDLE_HIGHEST, _PADDLE_LOWEST, _PADDLE_REACH = 24, 190, 12  # of our paddle's top edge; its longest move  [pixels]
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


def paddle_middle(objects: PongObjects) -> np.ndarray:
    """Middle of the visible part of our paddle, in its shape [screen pixels]: a bar hides what slides behind it."""
    top = np.maximum(objects.player_y, FIELD_TOP)
    bottom = np.minimum(objects.player_y + PADDLE_HEIGHT, FIELD_BOTTOM)
    return (top + bottom) / 2


def scores_from_ram(ram: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Points of (enemy, player), integers of shape (...), from memory (..., 128) uint8; ValueError as in `from_ram`.

    Meaningless from 2^16 emulated frames on (step 16,300): the console then ends any game and never serves again.
    """
    _check_ram(ram)
    return ram[..., 13].astype(int), ram[..., 14].astype(int)


def from_frames(frames: np.ndarray, offline: bool = False) -> PongObjects:
    """Objects from observations, in whole pixels.

    frames   (T, 84, 84) uint8, consecutive steps of a game. The past settles in which order a moving object took its
             two places; after a cut, and in a call with T = 1, it is placed in the middle of the two.
    offline  Let the future have a say about our paddle: of all orders in the whole call, take those in which the
             paddle's target moves least. The other labels are the same. For truth, not for players.
    Returns  PongObjects of shape (T,), each estimate causal unless `offline`: frame t is labelled from frames up to t.
    Raises   ValueError for another shape or dtype.
    Limits   A paddle moves in every second emulated frame: in half of all games between the last two, by up to 12
             pixels, and when it turns round there, the order of its two places cannot be seen. Nor can the last place
             of a paddle that slides behind a bar, or that the ball left the screen in the very last frame.
    Accuracy In the worse half of all games our paddle, where it is wholly in the field, is placed within 1 pixel in
             94.7 % of the frames of random play and 99.1 % of the reactive expert's; offline in 99.5 and 99.7 %. What
             is left are slides behind a bar and frames in which the ball hides an edge. In the other half: 99.7 % and
             more either way.
    """
    if frames.ndim != 3 or frames.shape[1:] != (_SIDE, _SIDE) or frames.dtype != np.uint8:
        raise ValueError(f"frames must be (T, 84, 84) uint8, not {frames.shape} {frames.dtype}")
    places, hidden = np.empty((len(frames), 7)), np.empty((len(frames), 2), bool)
    for start in range(0, len(frames), _CHUNK):
        chunk = slice(start, start + _CHUNK)
        light = np.subtract(frames[chunk, _ROWS], _EMPTY, dtype=np.float32)
        places[chunk, :2], hidden[chunk] = _paddle_edges(light, inner=74, outer=75)
        places[chunk, 2:4], _ = _paddle_edges(light, inner=9, outer=8)
        places[chunk, 4:] = _ball_middle(light)
    player, enemy, (middle_x, middle_y, area) = places[:, :2], places[:, 2:4], places[:, 4:].T
    between = offline and _moves_between(player)
    return PongObjects(
        _newest_ball(middle_x, area, reach=16),
        _newest_ball(middle_y, area, reach=20),
        _smoothest_paddle(player, hidden) if between else _newest_paddle(player),
        _newest_paddle(enemy),
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


def _paddle_edges(light: np.ndarray, inner: int, outer: int) -> tuple[np.ndarray, np.ndarray]:
    """Where a paddle's light begins and ends, both (T, 2), from light (T, 65, 84).

    inner, outer  an observation column wholly inside the paddle, and one that it covers in part. Where both are lit,
                  it is the paddle; where either is too bright, it is the ball.
    Returns       its upper and its lower end as top edges of a paddle, NaN if it is hidden, and whether the ball or a
                  bar is next to that end, so that the paddle may reach further
    """
    part = _PADDLE_LIGHT[outer == _PADDLE_COLUMNS]
    at_inner, at_outer = light[:, :, inner] / _PADDLE_GREY, light[:, :, outer] / part
    cover = np.minimum(at_inner, at_outer).clip(0, 1)
    ball = (at_inner > 1.09) | (at_outer > 1.15)
    near = ball.copy()  # blank these rows and, since the ball's edges may be dimmer, their neighbours
    near[:, 1:] |= ball[:, :-1]
    near[:, :-1] |= ball[:, 1:]
    cover[near] = 0
    seen = cover > 0.03
    first, last = seen.argmax(1), seen.shape[1] - 1 - seen[:, ::-1].argmax(1)
    frame = np.arange(len(light))
    upper = _ROW_EDGES[first + 1] - _CELL_HEIGHT * cover[frame, first]
    lower = _ROW_EDGES[last] + _CELL_HEIGHT * cover[frame, last] - PADDLE_HEIGHT
    above = near[frame, np.maximum(first - 1, 0)] | (upper < FIELD_TOP + 0.4)
    below = near[frame, np.minimum(last + 1, seen.shape[1] - 1)] | (lower > FIELD_BOTTOM - PADDLE_HEIGHT - 0.4)
    return np.where(seen.any(1), [upper, lower], np.nan).T, np.stack([above, below], axis=1)


def _newest_paddle(edges: np.ndarray) -> np.ndarray:
    """Which of a paddle's two places is the newest, (T,), from its ends (T, 2): the order that continues the motion.

    A paddle closes half of the distance to its target in every second emulated frame, so that without a command each
    move is half of the one before: the move to `old` follows the previous step's last move, the move to `new` follows
    the move to `old`. The first is the safer guide and counts twice. For places at most 2 pixels apart the middle is
    reported: it is 1 off, a wrong guess would be 2 off.
    """
    upper, lower = edges.T
    # An edge behind a bar says nothing: go by the other one.
    upper = np.where(upper < FIELD_TOP + 0.4, lower, upper)
    lower = np.where(lower > FIELD_BOTTOM - PADDLE_HEIGHT - 0.4, upper, lower)
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


def _moves_between(edges: np.ndarray) -> bool:
    """Whether this is a game in which the paddle moves between the two frames seen, from its ends (T, 2).

    If so, its light is too long for one paddle in most steps in which it moves; if not, only when the ball is near.
    """
    upper, lower = edges.T
    inside = (upper > FIELD_TOP + 0.4) & (lower < FIELD_BOTTOM - PADDLE_HEIGHT - 0.4)
    moved = inside[1:] & inside[:-1] & (np.abs(np.diff(upper)) > 2.5)
    return bool(np.mean((lower - upper)[1:][moved] > 2.5) > 0.3) if moved.any() else False


def _smoothest_paddle(edges: np.ndarray, hidden: np.ndarray) -> np.ndarray:
    """Newest place of our paddle, (T,), from all its ends and whether they may reach further, each (T, 2).

    Each move closes half of the distance to a target, so that the target is known from every move. The orders of all
    frames' two places are chosen together: those with the smallest sum of squared displacements of the target
    (Viterbi's algorithm). Where an end may be hidden, every place within one move is tried. As in `_newest_paddle` the
    middle is reported for places at most 2 pixels apart.
    """
    newest = np.full(len(edges), np.nan)
    old = new = cost = np.empty(0)  # the places of the previous frame; what the best way to each of them costs
    reports: list[np.ndarray] = []
    origins: list[np.ndarray] = []
    for t, ((upper, lower), (above, below)) in enumerate(zip(edges.tolist(), hidden.tolist(), strict=True)):
        absent = np.isnan(upper)
        if not absent:
            last_move, last_new = new - old, new
            old, new = _possible_places(upper, lower, above, below)
            doubtful = above or below or lower - upper > 2.5
            reports.append(new if doubtful else np.full(len(new), (upper + lower) / 2))
            if len(reports) == 1:
                origins, cost = [np.zeros(len(new), int)], np.zeros(len(new))
            else:
                unseen = (
                    old - last_new[:, None]
                )  # the move from the previous step's newest place to this step's old one
                jumps = (2 * unseen - last_move[:, None]) ** 2 + (2 * (new - old) - unseen) ** 2 + cost[:, None]
                origins.append(jumps.argmin(0))
                cost = jumps.min(0)
        if reports and (absent or t == len(edges) - 1):  # trace the best way back to where the paddle appeared
            best, end = cost.argmin(), t - absent
            for back in range(len(reports)):
                newest[end - back] = reports[-1 - back][best]
                best = origins[-1 - back][best]
            reports = []
    return np.round(newest)


def _possible_places(upper: float, lower: float, above: bool, below: bool) -> tuple[np.ndarray, np.ndarray]:
    """Every (old place, newest place) that agrees with the ends of a paddle's light; above, below: may reach further.

    Top edges in pixels, arrays of one length.
    """
    if above == below:  # one seen end is needed to measure the other from
        ends, near = np.array([lower]), upper
    elif below:
        ends, near = np.arange(max(upper, lower), min(max(upper, lower) + _PADDLE_REACH, _PADDLE_LOWEST) + 1, 2), upper
    else:
        ends, near = (
            np.arange(min(upper, lower), max(min(upper, lower) - _PADDLE_REACH, _PADDLE_HIGHEST) - 1, -2),
            lower,
        )
    seen = np.full(len(ends), near)
    return np.concatenate([seen, ends]), np.concatenate([ends, seen])
