"""Enduro: labels from memory against colour screens."""

import cv2
import numpy as np
import pytest

import enduro_labels
from atari_env import AtariEnv

CAR = (192, 192, 192)


@pytest.fixture(scope="module")
def game():
    """(memory, screens, reward sums) of 700 steps in which the driver mostly keeps the foot down."""
    env = AtariEnv("enduro")
    env.reset(seed=50_105)
    rng = np.random.default_rng(50_105)
    ram, screens, points = [], [], [0.0]
    for _ in range(700):
        drive = rng.random() < 0.75
        action = env.action_names.index("FIRE") if drive else int(rng.integers(len(env.action_names)))
        _, reward, _, _, _ = env.step(action)
        ram.append(env.ram())
        screens.append(env.render())
        points.append(points[-1] + reward)
    return np.array(ram), np.array(screens), np.array(points[1:])


def drawn_cars(screens, near):
    """(T, 4) left, top, width, height of the one patch of the car's colour around `near` (T, 2); NaN if not one."""
    found = np.full((len(screens), 4), np.nan)
    for t, (screen, (x, y)) in enumerate(zip(screens, near, strict=True)):
        top = int(y) - 2
        patch = (screen[top : top + 15] == np.array(CAR, np.uint8)).all(2).astype(np.uint8)
        _, _, stats, _ = cv2.connectedComponentsWithStats(patch)
        hit = [s for s in stats[1:] if s[0] - 2 <= x + 8 <= s[0] + s[2] + 2 and s[4] > 20]
        if len(hit) == 1:
            found[t] = hit[0][0], hit[0][1] + top, hit[0][2], hit[0][3]
    return found


def test_the_car_is_where_its_bytes_say(game):
    ram, screens, _ = game
    labels = enduro_labels.from_ram(ram)
    drawn = drawn_cars(screens, np.stack([labels.car_x, labels.car_y], axis=1))
    one = (drawn[:, 2] == 16) & (drawn[:, 3] == 11)
    assert one.mean() > 0.9 and np.ptp(labels.car_x) > 15 and np.ptp(labels.car_y) >= 5
    assert np.abs(drawn[one, 0] - labels.car_x[one]).max() <= 1 and (drawn[one, 0] == labels.car_x[one]).mean() > 0.8
    assert (drawn[one, 1] == labels.car_y[one]).mean() > 0.99
    shifted = np.roll(labels.car_x, 5)[one]
    assert (np.abs(drawn[one, 0] - shifted) <= 1).mean() < 0.9  # negative control


def test_cars_day_and_end(game):
    ram, _, points = game
    labels = enduro_labels.from_ram(ram)
    assert (labels.cars_to_pass[30:] == 200 - points[30:]).mean() > 0.97
    assert len(set(labels.cars_to_pass)) > 1 and set(labels.day) == {1} and not labels.game_over.any()
    other = ram[:2].copy()
    other[1, 45], other[1, 47], other[1, 44], other[1, 43] = 2, 255, 0x03, 0x41
    labels = enduro_labels.from_ram(other)
    assert labels.day.tolist() == [1, 2] and labels.game_over.tolist() == [False, True]
    assert labels.cars_to_pass[1] == 341


def test_any_leading_shape_and_bad_input(game):
    ram = game[0][:6]
    whole, single = enduro_labels.from_ram(ram.reshape(2, 3, 128)), enduro_labels.from_ram(ram[4])
    for name in whole._fields:
        np.testing.assert_array_equal(getattr(whole, name)[1, 1], getattr(single, name))
    for wrong in (np.zeros(127, np.uint8), np.zeros((3, 128))):
        with pytest.raises(ValueError, match=r"ram must be \(\.\.\., 128\) uint8, not"):
            enduro_labels.from_ram(wrong)
