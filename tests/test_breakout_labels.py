"""Breakout: labels from RAM and from pixels against colour screens and each other."""

import numpy as np
import pytest

import breakout_labels
from atari_env import AtariEnv

COLOUR = (200, 72, 72)  # of the ball, the paddle and the upper row of bricks


class Random:
    def act(self, rng, names, ram):
        return int(rng.integers(len(names)))


class Follower:
    """Serves, and runs to where the ball will come down."""

    def __init__(self):
        self.last = None

    def act(self, rng, names, ram):
        ball_x, ball_y, paddle_x = breakout_labels.from_ram(ram)
        last, self.last = self.last, (float(ball_x), float(ball_y), float(paddle_x))
        if np.isnan(ball_y):
            return names.index("FIRE")
        target = 76.0
        if last is not None and ball_y > last[1]:
            landing = (ball_x + (ball_x - last[0]) * (186 - ball_y) / (ball_y - last[1]) - 8) % 284
            target = 8 + min(landing, 284 - landing) + rng.integers(-4, 5)
        coming = paddle_x + 8 + (0.9 * (paddle_x - last[2]) if last is not None else 0)
        return names.index("RIGHT") if target > coming + 6 else names.index("LEFT") if target < coming - 6 else 0


def play(policy, n_steps, seed, screen_every=0, opened=False):
    """(frames, ram, screens, lives, points) of up to n_steps of one game.

    opened  take the left half of the bricks away at step 20
    """
    env = AtariEnv("breakout")
    frame, info = env.reset(seed=seed)
    rng, total = np.random.default_rng(seed), 0.0
    frames, rams, screens, lives, points = [], [], [], [], []
    for t in range(n_steps):
        if opened and t == 20:
            for byte in range(18, 36):
                env._ale.setRAM(byte, 0)
        ram = env.ram()
        frames.append(frame)
        rams.append(ram)
        lives.append(info["lives"])
        points.append(total)
        if screen_every and t % screen_every == 0:
            screens.append(env.render())
        frame, reward, terminated, _, info = env.step(policy.act(rng, env.action_names, ram))
        total += reward
        if terminated:
            break
    return np.array(frames), np.array(rams), np.array(screens), np.array(lives), np.array(points)


@pytest.fixture(scope="module")
def games():
    return {
        "random": play(Random(), 250, 50_001, screen_every=1),
        "good": play(Follower(), 800, 50_003, screen_every=3),
        "open": play(Follower(), 800, 54_002, screen_every=3, opened=True),
    }


def in_the_open(ball):
    """Below the bricks, above the paddle's rows, between the walls."""
    x, y = ball.ball_x, ball.ball_y
    return (x >= 8) & (x <= 150) & (y >= 93) & (y <= 185)


def test_ram_formulas_against_colour_blobs(games):
    for every, (_, ram, screens, _, _) in zip((1, 3, 3), games.values(), strict=True):
        objects = breakout_labels.from_ram(ram[::every])
        lit = (screens == np.array(COLOUR, np.uint8)).all(3)
        field = lit[:, 93:189, 8:152]
        inside = in_the_open(objects)
        assert inside.sum() > 50
        assert (93 + field.any(2).argmax(1) == objects.ball_y)[inside].all()
        assert (8 + field.any(1).argmax(1) == objects.ball_x)[inside].all()
        assert (field.sum((1, 2))[inside] == 8).mean() > 0.95
        assert not field[np.isnan(objects.ball_y)].any()
        alone = ~(objects.ball_y > 180)
        paddle = lit[:, 191, 8:152]
        assert (8 + paddle.argmax(1) == objects.paddle_x)[alone].mean() > 0.99
        assert (8 + paddle.argmax(1)[1:] == objects.paddle_x[:-1])[alone[1:]].mean() < 0.9  # negative control


def test_bricks_lives_and_score(games):
    for every, (name, (_, ram, screens, lives, points)) in zip((1, 3, 3), games.items(), strict=True):
        bricks = breakout_labels.bricks_from_ram(ram)
        assert bricks.shape == (len(ram), 6, 18)
        cells = (screens[:, 57:93, 8:152] > 0).any(3).reshape(-1, 6, 6, 18, 8).mean((2, 4)) > 0.9
        np.testing.assert_array_equal(bricks[::every], cells)
        assert name == "random" or bricks[-1].sum() < bricks[0].sum() == 108
        assert (breakout_labels.lives_from_ram(ram) == lives).all()
        assert (breakout_labels.score_from_ram(ram) == points).all()
    for name in ("good", "open"):
        assert games[name][4][-1] > 5 and len(set(games[name][3])) > 1


def shares(frames, ram, offline):
    seen, true = breakout_labels.from_frames(frames, offline), breakout_labels.from_ram(ram)
    found = {}
    for name in true._fields:
        where = in_the_open(true) if name.startswith("ball") else true.paddle_x <= 130
        found[name] = np.mean(np.abs(getattr(seen, name) - getattr(true, name))[where] <= 1)
    return found


def test_pixels_against_ram(games):
    for name, (frames, ram, *_) in games.items():
        causal, offline = shares(frames, ram, False), shares(frames, ram, True)
        assert min(causal["ball_x"], causal["ball_y"]) >= (0.98 if name == "open" else 0.99), (name, causal)
        assert min(offline["ball_x"], offline["ball_y"]) >= 0.995, (name, offline)
        assert causal["paddle_x"] >= 0.9 and offline["paddle_x"] >= (0.98 if name == "open" else 0.99), (name, offline)
        assert name == "random" or offline["paddle_x"] > causal["paddle_x"]


def test_the_ball_is_followed_above_the_bricks_and_the_narrow_paddle_too(games):
    frames, ram, *_ = games["open"]
    true, seen = breakout_labels.from_ram(ram), breakout_labels.from_frames(frames, offline=True)
    above = (true.ball_y >= 32) & (true.ball_y <= 53) & (true.ball_x >= 8) & (true.ball_x <= 150)
    assert above.sum() > 30
    assert np.mean(np.abs(seen.ball_x - true.ball_x)[above] <= 1) > 0.99
    assert np.mean(np.abs(seen.ball_y - true.ball_y)[above] <= 1) > 0.95
    narrow = above & (true.paddle_x <= 130)
    assert np.mean(np.abs(seen.paddle_x - true.paddle_x)[narrow] <= 1) > 0.97


def test_shifted_frames_fail(games):
    frames, ram, *_ = games["good"]
    for offline in (False, True):
        late = shares(frames[:-1], ram[1:], offline)
        assert max(late["ball_x"], late["ball_y"], late["paddle_x"]) < 0.6
        aside = shares(np.roll(frames, 1, axis=2), ram, offline)
        assert aside["ball_x"] < 0.1


def test_absent_ball_is_nan(games):
    frames, ram, *_ = games["random"]
    true, seen = breakout_labels.from_ram(ram), breakout_labels.from_frames(frames)
    absent = ram[:, 101] == 0
    assert absent.sum() > 10 and np.isnan(true.ball_x[absent]).all() and np.isfinite(true.ball_x[~absent]).all()
    assert np.isnan(seen.ball_x[true.ball_y > 200]).all() and (true.ball_y > 200).any()
    assert (np.isnan(seen.ball_y) == ~(true.ball_y <= 191)).mean() > 0.96
    for offline in (False, True):
        speck = np.zeros((1, 84, 84), np.uint8)
        speck[0, 50, 40] = 20
        assert np.isnan(breakout_labels.from_frames(speck, offline).ball_x).all()
        blank = breakout_labels.from_frames(np.zeros((2, 84, 84), np.uint8), offline)
        assert np.isnan(blank).all()
        assert all(len(label) == 0 for label in breakout_labels.from_frames(frames[:0], offline))


def test_labels_do_not_depend_on_how_they_are_asked_for(games, monkeypatch):
    frames, ram, *_ = games["good"]
    single = [breakout_labels.from_ram(vector) for vector in ram[:50]]
    np.testing.assert_array_equal(np.array(single).T, np.array(breakout_labels.from_ram(ram[:50])))
    together = breakout_labels.from_frames(frames[:200])
    causal = breakout_labels.from_frames(frames[:120])
    monkeypatch.setattr(breakout_labels, "_CHUNK", 7)
    np.testing.assert_array_equal(breakout_labels.from_frames(frames[:200]), together)
    np.testing.assert_array_equal(np.array(causal), np.array(together)[:, :120])


def test_wrong_input_is_refused():
    functions = ("from_ram", "lives_from_ram", "score_from_ram", "bricks_from_ram")
    for ram in (np.zeros(127, np.uint8), np.zeros((3, 128), np.float32)):
        for name in functions:
            with pytest.raises(ValueError, match=r"ram must be \(\.\.\., 128\) uint8, not"):
                getattr(breakout_labels, name)(ram)
    for frames in (np.zeros((84, 84), np.uint8), np.zeros((2, 84, 84)), np.zeros((2, 210, 160), np.uint8)):
        with pytest.raises(ValueError, match=r"frames must be \(T, 84, 84\) uint8, not"):
            breakout_labels.from_frames(frames)
