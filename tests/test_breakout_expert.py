"""Breakout: the ball's predicted path, the paddle's coasting and the plan against slow simulations and the emulator."""

import math
import pickle
from itertools import pairwise

import numpy as np
import pytest

import breakout_expert
import breakout_labels
from atari_env import AtariEnv
from atari_play import RandomPolicy
from breakout_expert import CLASS_NAMES, EXPERTS, FARTHEST, PredictiveExpert, TrackingExpert

ACTION_NAMES = ("NOOP", "FIRE", "RIGHT", "LEFT")
FRAME = np.zeros((84, 84), np.uint8)
N_STEPS = 700


def play(policy, seed):
    """(frames, memories, actions, score, balls lost) of up to N_STEPS of one game."""
    env = AtariEnv("breakout", press_fire=True, max_steps=N_STEPS)
    frame, _ = env.reset(seed=seed)
    policy.start(np.random.default_rng(seed), env.action_names)
    frames, rams, actions, score, over = [], [], [], 0.0, False
    while not over:
        frames.append(frame)
        rams.append(env.ram())
        actions.append(policy.act(frame, rams[-1]))
        frame, reward, terminated, truncated, _ = env.step(actions[-1])
        score += reward
        over = terminated or truncated
    return frames, np.array(rams), actions, score, 5 - int(breakout_labels.lives_from_ram(env.ram()))


@pytest.fixture(scope="module")
def games():
    policies = {"predictive": PredictiveExpert(), "tracking": TrackingExpert(), "random": RandomPolicy()}
    return {name: play(policy, 50_001) for name, policy in policies.items()}


def memory(ball=None, paddle_x=72, narrow=False, score=0):
    """A console's memory with these objects."""
    ram = np.zeros(128, np.uint8)
    if ball is not None:
        ram[[99, 101]] = ball[0] + 49, ball[1] - 9
    ram[72], ram[108] = paddle_x + 47, 6 if narrow else 8
    ram[76], ram[77] = score // 100, score % 100 // 10 * 16 + score % 10
    return ram


def answers(expert, rams, names=ACTION_NAMES):
    expert.start(np.random.default_rng(0), names)
    return [names[expert.act(FRAME, ram)] for ram in rams]


# --- the ball ---


def fly(x, y, speed_x, speed_y):
    """Whole-pixel places of a ball, frame by frame, down to the paddle's row; a wall that it overlaps turns it."""
    places = [(math.floor(x), math.floor(y))]
    while places[-1][1] < 186:
        x, y = x + speed_x, y + speed_y
        if math.floor(x) < 8:
            speed_x = abs(speed_x)
        elif math.floor(x) + 2 > 152:
            speed_x = -abs(speed_x)
        places.append((math.floor(x), math.floor(y)))
    return places


def test_predicted_path_against_a_slow_flight():
    """Three observations, possibly across a bounce, foretell the time within a frame and the place within 2 pixels.

    But for some slow balls: that one of half a pixel per frame was turned round cannot always be told.
    """
    rng = np.random.default_rng(0)
    errors, bounced = [], 0
    for _ in range(3000):
        speed_x, speed_y = rng.choice([0.5, 1, 1.5, 2]) * rng.choice([-1, 1]), rng.choice([1, 1.5, 2, 3.375])
        places = fly(rng.uniform(8, 151), rng.uniform(93, 140), speed_x, speed_y)
        frames, x = breakout_expert._meeting(places[:9:4])
        assert abs(frames - (len(places) - 9)) <= 1
        errors.append(abs(x - places[-1][0]))
        bounced += len({np.sign(after[0] - before[0]) for before, after in pairwise(places)} - {0}) > 1
    assert bounced > 500 and np.mean(np.array(errors) <= 2) > 0.99 and np.median(errors) <= 1


def test_the_fastest_ball_has_one_speed():
    """It moves by 13 or 14 pixels per step; the next places are the same."""
    assert breakout_expert._meeting([(50, 97), (58, 110)]) == breakout_expert._meeting([(50, 96), (58, 110)])


def test_a_ball_that_does_not_come_down_has_no_meeting():
    nan = (math.nan, math.nan)
    for ball in ([(50, 100)], [(50, 100), (54, 96)], [nan, nan], [(50, 100), nan], [nan, (50, 100)]):
        assert breakout_expert._meeting(ball) is None
    assert breakout_expert._meeting([nan, (50, 100), (54, 108)]) == (39, 93.0)


def test_predicted_path_in_the_game(games):
    """Once below the bricks, all of a ball's predictions agree with where it is when it meets the paddle."""
    errors = []
    rams = games["predictive"][1]
    seen = breakout_labels.from_ram(rams)
    ball = list(zip(seen.ball_x.tolist(), seen.ball_y.tolist(), strict=True))
    for t in range(2, len(ball) - 1):
        if ball[t - 2][1] > 95 and ball[t - 2][1] < ball[t - 1][1] < ball[t][1] < 180:
            later = t + 1
            while ball[later][1] > ball[later - 1][1] and ball[later][1] < 180:
                later += 1
            if ball[later][1] >= 186:
                first, last = (breakout_expert._meeting(ball[k - 2 : k + 1])[1] for k in (t, later - 1))
                errors.append(abs(first - last))
    assert len(errors) > 50 and np.mean(np.array(errors) <= 3) > 0.97


# --- the paddle ---


def test_coasting_against_the_emulator():
    """Without sticky actions, the foretold place of rest is where the paddle comes to rest."""
    env = AtariEnv("breakout", sticky=0.0)
    env.reset(seed=50_001)
    rng, index = np.random.default_rng(0), [0, 2, 3]
    errors, lasts = [], []
    for _ in range(60):
        places = [float(breakout_labels.from_ram(env.ram()).paddle_x)]
        for move in [0, 0, *rng.choice([0, 1, -1], 4)]:
            move = 1 if places[-1] < 50 and move else -1 if places[-1] > 100 and move else move
            env.step(index[move])
            places.append(float(breakout_labels.from_ram(env.ram()).paddle_x))
        last, rest = breakout_expert._resting(places[-5:])
        for _ in range(4):
            env.step(0)
        errors.append(abs(float(breakout_labels.from_ram(env.ram()).paddle_x) - rest))
        lasts.append(last == move)
    assert np.mean(lasts) > 0.9 and np.mean(np.array(errors) <= 3) > 0.9


def simulated_share_met(reach, error, frames, plays, rng):
    """Share of balls met by a paddle at rest that follows the plan, frame by frame under sticky actions.

    Places are whole pixels in the game, hence half a pixel more than the reach.
    """
    plan = breakout_expert._plan(reach)
    met = 0
    for _ in range(plays):
        place = target = 0.0
        done = last = 0
        for frame in range(frames):
            if frame % 4 == 0:
                index = min(max(round(error - target), -FARTHEST), FARTHEST) + FARTHEST
                move = int(plan[frames - frame, last, index])
                last = move
            done = done if rng.random() < 0.25 else move
            place += (target - place) / 2
            target += 5.75 * done
        met += abs(error - place) <= reach + 0.5
    return met / plays


def test_the_plan_meets_the_ball():
    rng = np.random.default_rng(0)
    for error in (0, 10, -17, 40, -70):
        assert simulated_share_met(8, error, 40, 300, rng) > 0.94
        assert simulated_share_met(6, error, 40, 300, rng) > 0.85
    assert simulated_share_met(8, 120, 12, 50, rng) == 0  # out of reach


def test_the_plan_is_symmetric_and_goes_the_right_way():
    plan = breakout_expert._plan(8)
    np.testing.assert_array_equal(plan, -plan[:, [0, 2, 1], ::-1])
    assert (plan[30:, 0, FARTHEST + 60 : FARTHEST + 100] == 1).all() and (plan[:, 0, FARTHEST] == 0).all()


# --- the experts ---


def test_answers_to_hand_made_situations():
    falling = [(40, 120), (44, 128), (48, 136)]  # will be at x = 74
    for x, wish in ((10, "RIGHT"), (66, "NOOP"), (67, "NOOP"), (120, "LEFT")):
        assert answers(PredictiveExpert(), [memory(ball, x) for ball in falling])[-1] == wish, x
    turned = [(20, 120), (12, 128), (9, 136)]  # the left wall has just turned it, though x still falls
    assert answers(PredictiveExpert(), [memory(ball, 40) for ball in turned])[-1] == "RIGHT"
    far = [(40, 100), (48, 108), (56, 116)]  # will be at x = 126
    assert answers(PredictiveExpert(), [memory(ball, 76) for ball in far])[-1] == "RIGHT"
    assert answers(TrackingExpert(), [memory(ball, 76) for ball in far])[-1] == "LEFT"


def test_nothing_to_do_without_a_ball_or_when_all_is_won():
    rising = [(140, 120), (132, 112)]
    for expert in EXPERTS.values():
        assert set(answers(expert(), [memory(None, 20)] * 6)) == {"NOOP"}
        assert answers(expert(), [memory(ball, 20, score=863) for ball in rising])[-1] == "RIGHT"
        assert answers(expert(), [memory(ball, 20, score=864) for ball in rising])[-1] == "NOOP"


def test_the_narrow_paddle_is_aimed_with_its_own_middle():
    wide, narrow = ([memory((60, y), 44, narrow) for y in (156, 164, 172)] for narrow in (False, True))
    for expert in (PredictiveExpert(), TrackingExpert(dead_zone=10)):
        assert answers(expert, wide)[-1] == "NOOP" and answers(expert, narrow)[-1] == "RIGHT"


@pytest.mark.parametrize("name", EXPERTS)
@pytest.mark.parametrize("source", ["ram", "pixels"])
def test_advice_depends_on_the_last_observations_alone(games, name, source):
    """In a game that another policy plays; deterministic, picklable, and nothing is left of an earlier game."""
    frames, rams, *_ = games["tracking" if name == "predictive" else "predictive"]
    first, n = 40, 40 if source == "pixels" else 500
    expert = pickle.loads(pickle.dumps(EXPERTS[name](source)))
    expert.start(np.random.default_rng(1), ACTION_NAMES)
    chosen = [expert.act(frame, ram) for frame, ram in zip(frames[first : first + n], rams[first:], strict=False)]
    assert {ACTION_NAMES[action] for action in chosen} <= set(CLASS_NAMES) and len(set(chosen)) > 1
    for t in range(8, n, 7):
        fresh = EXPERTS[name](source)
        given = []
        for policy in (expert, fresh):
            policy.start(np.random.default_rng(t), ACTION_NAMES)
            given.append([policy.act(frames[k], rams[k]) for k in range(first + t - 7, first + t + 1)])
        assert given[0] == given[1] and given[0][-1] == chosen[t]
    assert len(expert._frames) <= 4 and len(expert._past) == 5  # the oldest of 5 saw the 3 before it: 8 observations


def test_from_pixels_the_memory_is_not_looked_at(games):
    frames, rams, *_ = games["predictive"]
    for expert in EXPERTS.values():
        given = []
        for other in (rams, np.zeros_like(rams)):
            policy = expert("pixels")
            policy.start(np.random.default_rng(0), ACTION_NAMES)
            given.append([policy.act(frame, ram) for frame, ram in zip(frames[20:50], other[20:50], strict=True)])
        assert given[0] == given[1]


def test_pixels_and_memory_mostly_agree(games):
    frames, rams, *_ = games["predictive"]
    given = []
    for source in ("ram", "pixels"):
        policy = TrackingExpert(source)
        policy.start(np.random.default_rng(0), ACTION_NAMES)
        given.append([policy.act(frame, ram) for frame, ram in zip(frames[20:80], rams[20:80], strict=True)])
    assert np.mean(np.equal(*given)) > 0.75


def test_other_numbering_of_the_actions(games):
    rams = games["tracking"][1][:200]
    for expert in EXPERTS.values():
        assert answers(expert(), rams) == answers(expert(), rams, ACTION_NAMES[::-1])


def test_better_than_chance(games):
    steps = {name: len(game[2]) for name, game in games.items()}
    score = {name: game[3] for name, game in games.items()}
    lost = {name: game[4] for name, game in games.items()}
    assert steps["random"] < steps["predictive"] == steps["tracking"] == N_STEPS
    assert score["random"] < 6 < 12 < score["tracking"] < score["predictive"]
    assert lost["predictive"] <= 1 < 3 <= lost["tracking"] <= lost["random"] == 5


def test_wrong_input_is_refused():
    for expert in EXPERTS.values():
        with pytest.raises(ValueError, match="source"):
            expert("screen")
        with pytest.raises(KeyError):
            expert().start(np.random.default_rng(0), ("NOOP", "FIRE", "UP", "DOWN"))
