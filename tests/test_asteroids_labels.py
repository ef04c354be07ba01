"""Asteroids: labels from memory against colour screens, frame by frame."""

import cv2
import numpy as np
import pytest

import asteroids_labels
from atari_env import AtariEnv

SHIP = (240, 128, 128)


@pytest.fixture(scope="module")
def game():
    """(memory, screens) of 1600 emulated frames of random play, keys held for 4."""
    env = AtariEnv("asteroids", frame_skip=1)
    env.reset(seed=50_101)
    rng = np.random.default_rng(1)
    ram, screens = [], []
    for t in range(1600):
        if t % 4 == 0:
            action = int(rng.integers(len(env.action_names)))
        _, _, terminated, _, _ = env.step(action)
        assert not terminated, "the game ended early"
        ram.append(env.ram())
        screens.append(env.render())
    return np.array(ram), np.array(screens)


def ship_middles(screens):
    """Middle of the ship's colour, (T, 2) x and y, NaN where it is not drawn or drawn in pieces."""
    found = np.full((len(screens), 2), np.nan)
    for t, screen in enumerate(screens):
        rows, columns = np.nonzero((screen[18:] == np.array(SHIP, np.uint8)).all(2))
        if len(rows) > 8 and np.ptp(rows) < 14 and np.ptp(columns) < 10:
            found[t] = (columns.min() + columns.max()) / 2, (rows.min() + rows.max()) / 2 + 18
    return found


def test_the_ship_is_where_its_code_says(game):
    ram, screens = game
    labels, drawn = asteroids_labels.from_ram(ram), ship_middles(screens)
    place = np.stack([labels.ship_x, labels.ship_y], axis=1)
    both = np.isfinite(drawn[:, 0]) & np.isfinite(place[:, 0])
    assert both.sum() > 150 and np.ptp(place[both], axis=0).max() > 20
    error = np.abs(drawn - place)[both].max(1)
    assert (error <= 2.5).mean() > 0.97 and np.median(error) <= 1.5
    assert (np.abs(drawn - place[:, ::-1])[both].max(1) <= 2.5).mean() < 0.2  # negative control
    far = np.abs(drawn - np.roll(place, 60, axis=0))[both & np.roll(both, 60)].max(1)
    assert (far <= 2.5).mean() < 0.9


def test_a_hidden_ship_is_nan_and_not_drawn(game):
    ram, screens = game
    labels, drawn = asteroids_labels.from_ram(ram), ship_middles(screens)
    hidden = np.isnan(labels.ship_x)
    assert (hidden == np.isnan(labels.ship_y)).all() and 0.05 < hidden.mean() < 0.95
    assert np.isnan(drawn[hidden]).all()
    assert (
        np.isfinite(drawn[~hidden, 0]).mean() > 0.3
    )  # on every other frame, at times in pieces or among the pieces of a wreck


def test_the_code_of_the_columns():
    """A fine step to the left is a pixel, the sign bit 8 pixels to the right, a loop 15 pixels."""
    codes = np.array([0x06, 0x16, 0x76, 0x86, 0xF6, 0x08, 0x05, 0x07])
    ram = np.zeros((len(codes), 128), np.uint8)
    ram[:, 73] = codes
    np.testing.assert_array_equal(asteroids_labels.from_ram(ram).ship_x - 129.5, [0, -1, -7, 8, 1, 15, -102, -87])


def test_rocks_are_counted(game):
    """Against the bright patches of two successive screens, which touch, split at an edge or hide behind a shot."""
    ram, screens = game
    rocks = asteroids_labels.from_ram(ram).rocks
    errors, shuffled = [], []
    for t in range(20, 1600, 10):
        lit = np.zeros((192, 160), np.uint8)
        for screen in screens[t - 1 : t + 1, 18:]:
            lit |= ((screen > 0).any(2) & ~(screen == np.array(SHIP, np.uint8)).all(2)).astype(np.uint8)
        _, _, stats, _ = cv2.connectedComponentsWithStats(lit)
        inside = stats[1:][stats[1:, cv2.CC_STAT_AREA] >= 12]
        seam = (inside[:, 0] == 0).any() or (inside[:, 1] == 0).any()
        if not seam:
            errors.append(rocks[t] - len(inside))
            shuffled.append(rocks[(t + 800) % 1600] - len(inside))
    errors = np.array(errors)
    assert len(errors) > 15 and (np.abs(errors) <= 1).mean() > 0.9 and np.median(errors) == 0
    assert (np.array(shuffled) == 0).mean() < (errors == 0).mean()
    assert rocks.max() > 5


def lit_patches(screen):
    """(x, y, width, height) of the bright patches of a screen that are not the ship, away from its edges."""
    lit = ((screen[18:196] > 0).any(2) & ~(screen[18:196] == np.array(SHIP, np.uint8)).all(2)).astype(np.uint8)
    _, _, stats, _ = cv2.connectedComponentsWithStats(lit)
    inside = (
        (stats[:, 0] > 0) & (stats[:, 0] + stats[:, 2] < 160) & (stats[:, 1] > 0) & (stats[:, 1] + stats[:, 3] < 178)
    )
    return [(x, y + 18, w, h) for x, y, w, h, area in stats[inside][1:] if area >= 12]


def test_rocks_are_where_and_as_large_as_their_codes_say(game):
    """Every patch of a rock's shape is one that the memory tells of, and the middle of every rock is lit."""
    ram, screens = game
    seen = asteroids_labels.from_ram(ram)
    shapes = asteroids_labels.ROCK_SHAPES
    errors, strangers, missed = {1: [], 2: [], 3: []}, [], []
    for t in range(10, 1600, 5):
        both = np.maximum(screens[t], screens[t - 1]).any(2)
        there = np.flatnonzero(seen.rock_size[t])
        middles = np.stack([seen.rock_x[t], seen.rock_y[t]], axis=1)[there]
        for x, y, width, height in lit_patches(screens[t]):
            if (width, height) in shapes and len(there):
                away = np.abs(middles - (x + (width - 1) / 2, y + (height - 1) / 2)).max(1)
                nearest = there[away.argmin()]
                errors[shapes.index((width, height))].append(away.min())
                strangers.append(shapes[seen.rock_size[t, nearest]] != (width, height))
        missed += [not both[int(y), int(x)] for x, y in middles if 22 < y < 192]
    assert min(len(values) for values in errors.values()) > 20
    for values in errors.values():
        assert np.mean(np.array(values) <= 1) > 0.95 and np.median(values) <= 0.5
    assert np.mean(strangers) < 0.03 and len(missed) > 300 and np.mean(missed) < 0.05


def test_rocks_move_as_their_codes_say(game):
    """A rock is found, 28 emulated frames later, 28 pixels up or down and 2 to the side of its place."""
    seen = asteroids_labels.from_ram(game[0])
    place = np.stack([seen.rock_x, seen.rock_y], axis=-1)
    speed = np.stack([seen.rock_dx, seen.rock_dy], axis=-1)
    found, turned = [], []
    for t in range(0, 1570, 10):
        later = place[t + 28][seen.rock_size[t + 28] > 0]
        for middle, move in zip(place[t], speed[t], strict=True):
            if 20 < middle[0] < 140 and 60 < middle[1] < 150:
                for sign, into in ((1, found), (-1, turned)):
                    into.append(np.abs(later - middle - 28 * sign * move).max(1).min() <= 1 if len(later) else False)
    assert len(found) > 100 and np.mean(found) > 0.85 and np.mean(turned) < 0.3  # some break in between


def test_missiles_are_where_their_codes_say(game):
    ram, screens = game
    seen = asteroids_labels.from_ram(ram)
    flying = np.isfinite(seen.missile_x)
    assert flying.any(0).all() and not seen.missile_life[~flying].any() and (seen.missile_life[flying] > 0).mean() > 0.9
    lit, beside = [], []
    for t, which in zip(*np.nonzero(flying), strict=True):
        x, y = int(seen.missile_x[t, which]), int(seen.missile_y[t, which])
        if t and 25 < y < 185 and 3 < x < 156:
            both = np.maximum(screens[t], screens[t - 1]).any(2)
            lit.append(both[y, x])
            beside.append(both[y, x - 2] or both[y - 2, x] or both[y, x + 2] or both[y + 2, x])
    assert len(lit) > 200 and np.mean(lit) > 0.9 and np.mean(beside) < 0.4


def test_an_ended_list_hides_what_follows():
    ram = np.full((3, 128), 224, np.uint8)
    ram[0, 3:5] = 0, 255
    ram[0, 12] = 7
    ram[1, 4] = 9  # behind the end of the first list
    seen = asteroids_labels.from_ram(ram)
    assert seen.rocks.tolist() == [3, 0, 0]
    for name in ("rock_x", "rock_y", "rock_dx", "rock_dy"):
        assert (np.isfinite(getattr(seen, name)) == (seen.rock_size > 0)).all()
    assert np.flatnonzero(seen.rock_size[0]).tolist() == [0, 1, 7] and not seen.rock_size[1:].any()


def test_lives_and_score():
    env = AtariEnv("asteroids")
    _, info = env.reset(seed=50_100)
    rng, total, lives = np.random.default_rng(50_100), 0.0, set()
    for _ in range(500):
        labels = asteroids_labels.from_ram(env.ram())
        assert labels.lives == info["lives"] and labels.score == total
        lives.add(info["lives"])
        _, reward, terminated, _, info = env.step(int(rng.integers(len(env.action_names))))
        total += reward
        if terminated:
            break
    assert len(lives) > 2 and total > 0
    ram = np.zeros(128, np.uint8)
    ram[[60, 61, 62]] = 0x3D, 0x12, 0x34
    labels = asteroids_labels.from_ram(ram)
    assert (labels.score, labels.lives, labels.direction) == (12340, 3, 13)


def test_direction_turns_by_single_steps(game):
    labels = asteroids_labels.from_ram(game[0])
    turn = np.diff(labels.direction)
    assert set(np.unique(labels.direction)) <= set(range(16)) and len(set(labels.direction)) > 3
    assert (np.isin(turn % 16, (0, 1, 15))).mean() > 0.99


def test_any_leading_shape_and_bad_input(game):
    ram = game[0][:6]
    whole, single = asteroids_labels.from_ram(ram.reshape(2, 3, 128)), asteroids_labels.from_ram(ram[4])
    for name in whole._fields:
        np.testing.assert_array_equal(getattr(whole, name)[1, 1], getattr(single, name))
    for wrong in (np.zeros(127, np.uint8), np.zeros((3, 128))):
        with pytest.raises(ValueError, match=r"ram must be \(\.\.\., 128\) uint8, not"):
            asteroids_labels.from_ram(wrong)
