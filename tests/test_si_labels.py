"""Space Invaders: labels from memory against colour screens, frame by frame."""

import numpy as np
import pytest

import si_labels
from atari_env import AtariEnv

SHIP, ALIEN, UFO, BULLET = (50, 132, 50), (134, 134, 29), (151, 25, 122), (142, 142, 142)


def left_edges(screens, rows, colour, columns=slice(0, 160)):
    """Left edge of everything of a colour in these rows, (T,), NaN where there is nothing."""
    seen = (screens[:, rows, columns] == np.array(colour, np.uint8)).all(3).any(1)
    return np.where(seen.any(1), seen.argmax(1), np.nan)


@pytest.fixture(scope="module")
def game():
    """(memory, screens) of 1200 emulated frames of random play, keys held for 4."""
    env = AtariEnv("space_invaders", frame_skip=1)
    env.reset(seed=50_100)
    rng = np.random.default_rng(0)
    ram, screens = [], []
    for t in range(1200):
        if t % 4 == 0:
            action = int(rng.integers(len(env.action_names)))
        _, _, terminated, _, _ = env.step(action)
        assert not terminated, "the game ended early"
        ram.append(env.ram())
        screens.append(env.render())
    return np.array(ram), np.array(screens)


def test_the_ship_is_drawn_one_emulated_frame_late(game):
    ram, screens = game
    label = si_labels.from_ram(ram).ship_x
    top = si_labels.SHIP_TOP
    drawn = left_edges(screens, slice(top, top + 10), SHIP)
    seen = np.isfinite(drawn)
    assert seen.mean() > 0.8
    late = (drawn[1:] - label[:-1])[seen[1:]]
    assert (late == 0).mean() > 0.995
    now = (drawn - label)[seen]
    assert np.abs(now).max() <= 1 and 0.05 < (now != 0).mean() < 0.4
    older = (drawn[:-1] - label[1:])[seen[:-1]]  # the older of the two screens in an observation
    assert (np.abs(older) <= 1).mean() > 0.99 and (older == 0).mean() < 0.9
    assert np.mean((drawn[3:] - label[:-3])[seen[3:]] == 0) < 0.9  # negative control


def test_the_formation_is_drawn_at_once(game):
    ram, screens = game
    labels = si_labels.from_ram(ram)
    rows = slice(20, 157)
    aliens = (screens[:, rows] == np.array(ALIEN, np.uint8)).all(3)
    assert (left_edges(screens, rows, ALIEN) == labels.formation_x).mean() > 0.995
    assert (20 + aliens.any(2).argmax(1) == labels.formation_y).mean() > 0.995
    assert np.mean(left_edges(screens, rows, ALIEN)[3:] == labels.formation_x[:-3]) < 0.97  # negative control


def test_each_alien_is_where_the_bitmap_says(game):
    ram, screens = game
    labels, alive = si_labels.from_ram(ram), si_labels.aliens_from_ram(ram)
    assert alive.shape == (1200, 6, 6) and (alive.sum((1, 2)) == labels.alive).all() and labels.alive[-1] < 36
    right = []
    for t in range(0, 1200, 5):
        top, left = int(labels.formation_y[t]), int(labels.formation_x[t])
        block = (screens[t, top : top + 108, left : left + 96] == np.array(ALIEN, np.uint8)).all(2)
        lit = np.zeros((108, 96), bool)
        lit[:, : block.shape[1]] = block
        cells = lit.reshape(6, si_labels.ALIEN_STRIDE_Y, 6, si_labels.ALIEN_STRIDE_X)
        right.append((cells.sum((1, 3)) > 15) == alive[t])
    assert np.mean(right) > 0.99
    assert not all((wrong[:, ::-1]).all() for wrong in right)


@pytest.mark.parametrize(("taken", "columns", "rows"), [("first column", 1, 0), ("upper row", 0, 1)])
def test_the_formation_without_an_edge(taken, columns, rows):
    """Shoot the first column: the console renames the next one. Shoot the upper row: the label stays where it was."""
    env = AtariEnv("space_invaders")
    env.reset(seed=50_101)
    for _ in range(40):
        env.step(0)
    before = si_labels.from_ram(env.ram())
    for byte in range(18, 24):
        kept = 0b111110 if columns else 0 if byte == 23 else 0b111111
        env._ale.setRAM(byte, int(env.ram()[byte]) & kept)
    env.step(0)
    after, alive = si_labels.from_ram(env.ram()), si_labels.aliens_from_ram(env.ram())
    drawn = (env.render()[20:157] == np.array(ALIEN, np.uint8)).all(2)
    assert abs(after.formation_x - before.formation_x - 16 * columns) <= 1 and after.formation_y == before.formation_y
    assert drawn.any(0).argmax() == after.formation_x and 20 + drawn.any(1).argmax() == after.formation_y + 18 * rows
    assert alive.any(0).tolist() == [True] * (6 - columns) + [False] * columns
    assert alive.any(1).tolist() == [False] * rows + [True] * (6 - rows)


def test_bullets_are_on_the_screen(game):
    """They flicker: look for each in two successive screens; where there is no bullet, the same place is dark."""
    ram, screens = game
    labels = si_labels.from_ram(ram)
    bright = (screens == np.array(BULLET, np.uint8)).all(3)
    either = bright[1:] | bright[:-1]
    all_x = np.concatenate([labels.bullet_x[:, None], labels.enemy_bullet_x], axis=1)[:-1]
    all_y = np.concatenate([labels.bullet_y[:, None], labels.enemy_bullet_y], axis=1)[:-1]
    assert (np.isnan(all_x) == np.isnan(all_y)).all()
    for shift, least, most in ((0, 0.9, 1), (12, 0, 0.1)):
        hits = []
        for t, k in zip(*np.nonzero((all_y > 30) & (all_y < 180)), strict=True):
            x, y = int(all_x[t, k]) + shift, int(all_y[t, k])
            hits.append(either[t, y - 3 : y + 8, max(x, 0) : x + 2].any())
        assert len(hits) > 500 and least <= np.mean(hits) <= most, np.mean(hits)
    for k in range(3):
        absent = np.isnan(all_x[:, k])
        assert 0.1 < absent.mean() < 0.9


def test_the_saucer_is_drawn_one_emulated_frame_late(game):
    ram, screens = game
    label = si_labels.from_ram(ram).ufo_x
    top = si_labels.UFO_TOP
    drawn = left_edges(screens, slice(top, top + 7), UFO)
    seen = np.isfinite(drawn[1:])
    assert 100 < seen.sum() < 1000 and (seen == np.isfinite(label[:-1])).mean() > 0.99
    assert (drawn[1:] == label[:-1])[seen].mean() > 0.99
    assert 0.1 < (drawn == label)[1:][seen].mean() < 0.9  # negative control: half of the frames it moves


def test_lives_and_score():
    env = AtariEnv("space_invaders")
    _, info = env.reset(seed=50_100)
    rng, total, lives = np.random.default_rng(50_100), 0.0, set()
    while info["lives"] > 1:
        labels = si_labels.from_ram(env.ram())
        assert labels.lives == info["lives"] and labels.score == total
        lives.add(info["lives"])
        _, reward, terminated, _, info = env.step(int(rng.integers(len(env.action_names))))
        total += reward
        assert not terminated
    assert lives == {2, 3} and total > 0
    ram = np.zeros(128, np.uint8)
    ram[[102, 104]] = 0x12, 0x35
    assert si_labels.from_ram(ram).score == 1235


def test_any_leading_shape_and_bad_input(game):
    ram = game[0][:6]
    whole = si_labels.from_ram(ram.reshape(2, 3, 128))
    single = si_labels.from_ram(ram[4])
    for name in whole._fields:
        np.testing.assert_array_equal(getattr(whole, name)[1, 1], getattr(single, name))
    for wrong in (np.zeros(127, np.uint8), np.zeros((3, 128))):
        for function in (si_labels.from_ram, si_labels.aliens_from_ram):
            with pytest.raises(ValueError, match=r"ram must be \(\.\.\., 128\) uint8, not"):
                function(wrong)
