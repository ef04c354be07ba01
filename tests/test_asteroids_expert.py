"""Asteroids: the game's facts against colour screens, the answers to hand-made situations, and the experts at work."""

import pickle

import numpy as np
import pytest

import asteroids_labels
from asteroids_expert import (
    CLASS_NAMES,
    EXPERTS,
    MISSILE_LIFE,
    MISSILE_STEPS,
    MUZZLE,
    RANGE,
    AimingExpert,
    SweepingExpert,
)
from atari_env import AtariEnv
from atari_play import RandomPolicy

ACTION_NAMES = ("NOOP", "FIRE", "UP", "RIGHT", "LEFT", "DOWN", "RIGHTFIRE", "LEFTFIRE")
SHIP_X, SHIP_Y = 86.5, 105.0  # at the start of a life  [pixels]
N_STEPS = 400
NO_FRAME = np.zeros((84, 84), np.uint8)


def play(policy, seed):
    """(memories, actions, score) of N_STEPS of one game; what follows its end is another one."""
    env = AtariEnv("asteroids")
    frame, _ = env.reset(seed=seed)
    policy.start(np.random.default_rng(seed), env.action_names)
    rams, actions, score = [], [], 0.0
    while len(rams) < N_STEPS:
        rams.append(env.ram())
        actions.append(env.action_names[policy.act(frame, rams[-1])])
        frame, reward, terminated, _, _ = env.step(env.action_names.index(actions[-1]))
        score += reward
        if terminated:
            break
    return np.array(rams), actions, score


@pytest.fixture(scope="module")
def games():
    policies = {"random": RandomPolicy(), **{name: make() for name, make in EXPERTS.items()}}
    return {name: play(policy, 50_301) for name, policy in policies.items()}


# --- what is known of the game ---


@pytest.fixture(scope="module")
def shots():
    """By heading: labels when a missile appeared, and its places in successive ticks, each with what was lit there."""
    env = AtariEnv("asteroids", frame_skip=1, sticky=0)
    env.reset(seed=50_302)
    noop, fire, left = (env.action_names.index(name) for name in ("NOOP", "FIRE", "LEFT"))
    found = {}
    for turns in range(16):
        for _ in range(4):
            env.step(left if turns else noop)
        seen, places, old = None, [], env.render()[18:]
        for _ in range(46):
            env.step(fire)  # held: no further shot
            labels, screen = asteroids_labels.from_ram(env.ram()), env.render()[18:]
            flying = np.isfinite(labels.missile_x)
            assert flying.sum() <= 1
            if flying.any():
                which = flying.argmax()
                seen = seen or labels
                place = labels.missile_x[which], labels.missile_y[which]
                if not places or place != places[-1][0]:
                    places.append((place, []))
                places[-1][1].append(np.maximum(screen, old)[int(place[1]) - 18, int(place[0])].any())
            old = screen
        env.step(noop)
        found[int(seen.direction)] = seen, places
    return found


def test_missiles_fly_as_planned(shots):
    """Their places by memory are lit on the screens, and follow from ship and heading by equal steps."""
    assert set(shots) == set(range(16))
    full, lit, errors = 0, [], []
    for heading, (seen, places) in shots.items():
        assert seen.missile_life.max() in (MISSILE_LIFE[heading], MISSILE_LIFE[heading] - 1)
        assert (seen.missile_direction[seen.missile_life > 0] == heading).all()
        track = np.array([place for place, _ in places])
        n = np.arange(1, len(track) + 1)[:, None]
        planned = np.array([seen.ship_x, seen.ship_y]) + MUZZLE + n * MISSILE_STEPS[heading]
        away = np.abs((track - planned + (80, 89)) % (160, 178) - (80, 89)).max(1)
        assert away.max() <= 3, heading  # 0 up to the edge of the screen
        errors += away.tolist()
        assert len(track) <= RANGE[heading] + 1
        full += len(track) >= RANGE[heading]
        lit += [any(glow) for (_, y), glow in places if 20 < y < 190]
    assert full >= 8 and np.mean(lit) > 0.97 and np.mean(np.array(errors) == 0) > 0.95


def test_fire_must_be_let_go_of_and_two_missiles_fly():
    env = AtariEnv("asteroids", sticky=0)
    env.reset(seed=50_303)
    for name, most in (("FIRE", 1), (None, 2)):
        in_flight = []
        for t in range(12):
            env.step(env.action_names.index(name or ("FIRE", "NOOP")[t % 2]))
            in_flight.append(np.isfinite(asteroids_labels.from_ram(env.ram()).missile_x).sum())
        assert max(in_flight) == most and (name is None or in_flight[-1] == 0)


def test_a_step_turns_by_one_heading():
    env = AtariEnv("asteroids", sticky=0)
    for phase in range(4):
        env.reset(seed=50_304 + phase)
        for name, sense in (("LEFT", 1), ("RIGHT", -1)):
            directions = []
            for _ in range(18):
                directions.append(int(asteroids_labels.from_ram(env.ram()).direction))
                env.step(env.action_names.index(name))
            assert (np.diff(directions) % 16 == sense % 16).all()


# --- what the expert answers ---


def x_code(column):
    """The console's code of a column: the inverse of what the labels read."""
    codes = np.arange(256)
    ram = np.zeros((256, 128), np.uint8)
    ram[:, 73] = codes
    fits = np.abs(asteroids_labels.from_ram(ram).ship_x - 2.5 - column)
    assert fits.min() == 0
    return int(codes[fits.argmin()])


def situation(rocks=(), heading=0, missiles=(), ship=(84, 41)):
    """A memory with rocks as (x, y, kind, rises) and missiles as (x, y, heading, life), all in the console's units."""
    ram = np.zeros(128, np.uint8)
    ram[[3, 12, 74, 86, 87]] = 224
    ram[60], ram[73], ram[74] = 0x40 | heading, x_code(ship[0]), ship[1]
    ends = {True: 3, False: 12}
    for x, y, kind, rises in rocks:
        at = ends[rises]
        ram[[at, at + 18, at + 36]] = y % 256, x_code(x), kind
        ram[at + 1] = 224
        ends[rises] += 1
    for i, (x, y, towards, life) in enumerate(missiles):
        ram[[83 + i, 86 + i, 89 + i]] = x_code(x), y, life << 4 | towards
    return ram


def answer(*rams, **options):
    expert = AimingExpert(**options)
    expert.start(np.random.default_rng(0), ACTION_NAMES)
    return [ACTION_NAMES[expert.act(NO_FRAME, ram)] for ram in rams][-1]


ABOVE, LEFT_OF, RIGHT_OF = (78, 15, 0, False), (40, 28, 0, False), (120, 38, 0, True)


def test_planted_rocks_are_read_where_they_were_put():
    seen = asteroids_labels.from_ram(situation([ABOVE, RIGHT_OF, (50, 60, 0x2B, True), (10, 250, 0xB2, False)]))
    there = np.flatnonzero(seen.rock_size)
    assert there.tolist() == [0, 1, 7, 8] and seen.rocks == 4
    assert seen.rock_size[there].tolist() == [3, 2, 3, 1]
    np.testing.assert_array_equal(seen.rock_x[there], [127.5, 52.5, 85.5, 10.5])
    np.testing.assert_array_equal(seen.rock_y[there], [114, 149, 68, 14])
    np.testing.assert_array_equal(np.sign(seen.rock_dx[there]), [1, -1, 1, 1])
    np.testing.assert_array_equal(seen.rock_dy[there], [-1, -1, 1, 1])


def test_a_rock_ahead_is_fired_at_and_others_are_turned_to():
    assert answer(situation([ABOVE])) == "FIRE"
    assert answer(situation([LEFT_OF])) == "LEFT" and answer(situation([RIGHT_OF])) == "RIGHT"
    assert answer(situation([LEFT_OF], heading=4)) == "FIRE" and answer(situation([RIGHT_OF], heading=12)) == "FIRE"
    assert answer(situation([ABOVE], heading=2)) == "RIGHT" and answer(situation([ABOVE], heading=14)) == "LEFT"


def test_it_aims_at_where_the_rock_will_be():
    """A small rock that is beside the ship now and gone when the missile comes, and one that comes to meet it."""
    for y, rises, fires in ((39, False, False), (39, True, False), (28, False, True), (50, True, True)):
        assert (answer(situation([(40, y, 0x30, rises)], heading=4)) == "FIRE") == fires, (y, rises)


def test_it_shoots_across_the_edge():
    assert answer(situation([(78, 70, 0, False)], heading=0, ship=(84, 12))) == "FIRE"
    assert answer(situation([(150, 38, 0, True)], heading=4, ship=(20, 41))) == "FIRE"


def test_nothing_in_reach():
    far = situation([(10, 0, 0x30, True)])
    assert answer(far) == "UP" and answer(far, cruise=0) == "NOOP"
    assert answer(situation()) == "NOOP"
    passing = [
        situation([(10, 0, 0x30, True)], ship=(84, 51 - 2 * t)) for t in range(6)
    ]  # already fast: 4 pixels per step
    assert answer(*passing) == "NOOP" and answer(*passing, cruise=5.0) == "UP"
    hidden = situation([ABOVE])
    hidden[74] = 224
    assert answer(hidden) == "NOOP"


def test_a_rock_about_to_hit_goes_first():
    near = (83, 22, 0x30, False)
    assert answer(situation([LEFT_OF, near], heading=4), foresight=0) == "FIRE"
    assert answer(situation([LEFT_OF, near], heading=4)) == "RIGHT"


def test_missiles_in_flight():
    """A rock that one of them will hit is left alone; FIRE is let go of after a shot and waits for a free missile."""
    doomed = (84, 36, 0, 4)
    other = situation([ABOVE, LEFT_OF], heading=0, missiles=[doomed])
    assert answer(other) == "LEFT" and answer(situation([ABOVE, LEFT_OF])) == "FIRE"
    astray = (120, 80, 8, 5)
    assert answer(situation([ABOVE], missiles=[astray])) == "NOOP"
    assert answer(situation([ABOVE], missiles=[(*astray[:3], 4)])) == "FIRE"
    assert answer(situation([ABOVE], missiles=[(*astray[:3], 4)] * 2)) != "FIRE"


# --- the experts at work ---


def test_aiming_beats_chance(games):
    score = {name: game[2] for name, game in games.items()}
    assert score["aiming"] > 2 * max(score["random"], score["sweeping"]) and score["aiming"] > 2000


def test_it_hits_what_it_fires_at(games):
    """Shots per rock that breaks, by the memory."""
    rams, actions, _ = games["aiming"]
    life = asteroids_labels.from_ram(rams).missile_life
    shots = int((np.diff(life, axis=0) > 0).sum())
    points = np.diff(asteroids_labels.from_ram(rams).score)
    hits = int((points > 0).sum())
    assert hits > 30 and hits / shots > 0.7
    assert actions.count("FIRE") < 1.3 * shots


def test_deterministic_picklable_and_forgetful(games):
    rams, actions, _ = games["aiming"]
    expert = AimingExpert()
    for copy in (expert, pickle.loads(pickle.dumps(expert))):
        copy.start(np.random.default_rng(1), ACTION_NAMES)
        for ram in games["random"][0][:50]:  # another game ...
            copy.act(NO_FRAME, ram)
        copy.start(np.random.default_rng(2), ACTION_NAMES)  # ... leaves no trace
        assert [ACTION_NAMES[copy.act(NO_FRAME, ram)] for ram in rams[:200]] == actions[:200]


def test_advice_depends_on_the_last_observations_only(games):
    """Asked from the middle of a game on, it answers as if it had seen all of it from the fifth observation on."""
    rams, actions, _ = games["aiming"]
    expert = AimingExpert()
    given = set()
    for begin in range(20, N_STEPS - 30, 25):
        expert.start(np.random.default_rng(0), ACTION_NAMES)
        answers = [ACTION_NAMES[expert.act(NO_FRAME, ram)] for ram in rams[begin : begin + 20]]
        assert answers[4:] == actions[begin + 4 : begin + 20]
        given |= set(answers)
    assert len(given) == 5


def test_the_classes(games):
    assert set(games["aiming"][1]) == set(AimingExpert.class_names) < set(CLASS_NAMES)
    assert set(games["sweeping"][1]) == set(SweepingExpert.class_names) == set(CLASS_NAMES)
    counts = np.array([games["sweeping"][1].count(name) for name in CLASS_NAMES])
    assert counts.min() > 0.6 * counts.mean()
    for make in EXPERTS.values():
        with pytest.raises(KeyError):
            make().start(np.random.default_rng(0), ("NOOP", "FIRE", "RIGHT", "LEFT"))


def test_sweeping_follows_the_games_generator():
    drawn = []
    for seed in (1, 1, 2):
        expert = pickle.loads(pickle.dumps(SweepingExpert()))
        expert.start(np.random.default_rng(seed), ACTION_NAMES)
        drawn.append([expert.act(NO_FRAME, situation()) for _ in range(50)])
    assert drawn[0] == drawn[1] != drawn[2]
