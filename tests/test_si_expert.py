"""Space Invaders experts: the memory's facts against the emulator, answers to planted scenes, the experts at work."""

import functools
import pickle

import numpy as np
import pytest

import si_expert
from atari_env import AtariEnv
from atari_play import RandomPolicy
from si_expert import CLASS_NAMES, EXPERTS, DodgingExpert, SimpleExpert, scene_from_ram
from si_labels import from_ram

ACTION_NAMES = ("NOOP", "FIRE", "RIGHT", "LEFT", "RIGHTFIRE", "LEFTFIRE")
FRAME = np.zeros((84, 84), np.uint8)
N_STEPS = 500
NONE = 246  # vertical place of an absent bullet


def play(policy, seed, steps=N_STEPS):
    """(memories, actions, score) of a game cut at so many steps."""
    env = AtariEnv("space_invaders", max_steps=steps)
    frame, _ = env.reset(seed=seed)
    policy.start(np.random.default_rng(seed), env.action_names)
    rams, actions, score, over = [], [], 0.0, False
    while not over:
        rams.append(env.ram())
        actions.append(policy.act(frame, rams[-1]))
        frame, reward, terminated, truncated, _ = env.step(actions[-1])
        score, over = score + reward, terminated or truncated
    return np.array(rams), actions, score


@pytest.fixture(scope="module")
def games():
    policies = {"dodging": DodgingExpert(), "simple": SimpleExpert(), "random": RandomPolicy()}
    return {name: play(policy, 50_201) for name, policy in policies.items()}


@functools.cache
def in_play():
    """An emulator without stickiness, one frame per step, and its state with no bullet and the ship in the open."""
    env = AtariEnv("space_invaders", sticky=0.0, frame_skip=1)
    env.reset(seed=50_202)
    for action, steps in (("NOOP", 280), ("RIGHT", 44)):
        for _ in range(steps):
            env.step(ACTION_NAMES.index(action))
    plant(env, {81: NONE, 82: NONE, 85: NONE})
    return env, env._ale.cloneState()


def console():
    env, state = in_play()
    env._ale.restoreState(state)
    return env


def plant(env, values):
    for byte, value in values.items():
        env._ale.setRAM(byte, value)


def bullet(x, y, k=0):
    """Bytes of an enemy's bullet at x, y."""
    return {83 + k: int(x) + 2, 81 + k: (int(y) - 4) // 2}


# --- what the memory says ---


def test_the_ship_and_the_bullets_move_as_assumed():
    env = console()
    plant(env, bullet(100, 100))
    before = from_ram(env.ram())
    for _ in range(40):  # ten steps
        env.step(ACTION_NAMES.index("RIGHTFIRE"))
    after = from_ram(env.ram())
    assert after.ship_x - before.ship_x == 10 * si_expert.SHIP_STEP
    assert np.any(np.abs(after.enemy_bullet_y - 100 - 10 * si_expert.FALL) <= 2)
    assert abs(after.bullet_y - si_expert.GUN_Y + 10 * si_expert.CLIMB) <= 4
    assert abs(after.bullet_x - before.ship_x - si_expert.GUN_X) <= 1
    for name, end in (("RIGHT", si_expert.SHIP_RIGHT), ("LEFT", si_expert.SHIP_LEFT)):
        for _ in range(180):
            plant(env, {81: NONE, 82: NONE})
            env.step(ACTION_NAMES.index(name))
        assert from_ram(env.ram()).ship_x == end


def test_where_an_enemy_bullet_hits_the_ship():
    """At an x difference of 0 to 6, within the rows of danger; the plan keeps away from all of these."""
    ship = int(from_ram(console().ram()).ship_x)
    for difference in range(-2, 10):
        env = console()
        plant(env, {81: NONE, 82: NONE} | bullet(ship + difference, 160))
        hit_at = None
        for _ in range(30):
            seen = from_ram(env.ram())
            env.step(0)
            if env.ram()[42] == 4:
                hit_at = np.nanmax(seen.enemy_bullet_y)
                break
        assert (hit_at is not None) == (0 <= difference <= 6), difference
        assert hit_at is None or si_expert.DANGER_FROM <= hit_at <= si_expert.DANGER_TO
        scene = scene_from_ram(env.ram())._replace(threats=((ship + difference, 180.0),))
        danger = si_expert._danger(scene, np.array([ship]), 10)
        assert danger.max() == 1.0 if hit_at is not None else danger.max() < 0.5


@pytest.mark.parametrize("alive", [30, 12, 6, 4, 3, 2, 1])
def test_the_formation_moves_on_at_the_assumed_speed(alive):
    env = console()
    plant(env, {18 + i: sum(1 << k for k in range(6) if 6 * k + i < alive) for i in range(6)} | {17: alive})
    places = []
    for _ in range(65):
        plant(env, {81: NONE, 82: NONE})
        env.step(0)
        places.append(float(from_ram(env.ram()).formation_x))
    assert scene_from_ram(env.ram()).drift > 0
    moved = places[-1] - places[0]
    assert abs(moved - 16 * scene_from_ram(env.ram()).drift) <= 4 and moved > 0


def test_directions_and_shields(games):
    rams = games["dodging"][0]
    scenes, x = [scene_from_ram(ram) for ram in rams], from_ram(rams)
    moves = np.diff(x.formation_x)
    small = (np.abs(moves) > 0) & (np.abs(moves) < 6)
    drifts = np.array([scene.drift for scene in scenes[1:]])
    assert small.sum() > 40 and np.mean(np.sign(moves[small]) == np.sign(drifts[small])) > 0.9
    assert (drifts > 0).any() and (drifts < 0).any()
    saucer = np.flatnonzero(np.isfinite(x.ufo_x[1:]) & np.isfinite(x.ufo_x[:-1]))
    assert len(saucer) > 5
    assert abs(np.mean([x.ufo_x[t + 1] - x.ufo_x[t] - scenes[t].saucer[1] for t in saucer])) < 0.2
    assert np.flatnonzero(scenes[60].shielded).tolist() == [*range(42, 50), *range(74, 82), *range(106, 114)]
    hole = rams[60].copy()
    hole[52:61] &= 0b10111111
    assert np.flatnonzero(scene_from_ram(hole).shielded != scenes[60].shielded).tolist() == [75]


# --- what the experts do ---


def answer(changes, expert=None, names=ACTION_NAMES):
    """What the expert does with the ship in the open, a whole formation, no bullets, and these changed bytes."""
    env = console()
    ram = env.ram()
    for byte, value in ({81: NONE, 82: NONE, 85: NONE, 30: 180} | changes).items():
        ram[byte] = value
    expert = expert or DodgingExpert()
    expert.start(np.random.default_rng(0), names)
    return names[expert.act(FRAME, ram)]


def test_it_dodges_a_planted_bullet():
    flying = {85: 20, 87: 10}  # our own bullet misses, high up: nothing else to do
    at = {28: 91}  # the ship's x is 90, in the open
    assert answer(at | flying | bullet(92, 168)) == "RIGHT" and answer(at | flying | bullet(94, 168)) == "LEFT"
    for k in (0, 1):
        assert {answer(at | bullet(x, 166, k)) for x in (91, 92)} == {"RIGHT"}
    calm = answer(at)
    for x, y in ((60, 168), (130, 168), (92, 200)):
        assert answer(at | bullet(x, y)) == calm
    # Between two bullets it stays, though each alone would let it go either way.
    assert answer(at | flying | bullet(88, 176) | bullet(99, 176, 1)) in ("NOOP", "FIRE")


def test_a_shield_keeps_bullets_off():
    under = {28: 75, 85: 20, 87: 10}
    bullets = bullet(77, 150)
    assert answer(under | bullets) == answer(under)
    gone = dict.fromkeys(range(52, 61), 0)
    scene = {"with": under | bullets, "without": under | bullets | gone}
    dangers = {}
    for name, changes in scene.items():
        ram = np.zeros(128, np.uint8)
        ram[43:70] = 255
        ram[[81, 82, 85]] = NONE
        for byte, value in changes.items():
            ram[byte] = value
        dangers[name] = si_expert._danger(scene_from_ram(ram), np.array([74]), 20).max()
    assert dangers == {"with": 0.0, "without": 1.0}


def test_it_shoots_where_it_would_hit_and_not_elsewhere():
    first = int(console().ram()[26]) - 1  # the formation's x; it moves right, 2 pixels during a flight
    column = first + 16 * 4
    below, between = column + 5 - si_expert.GUN_X, column - 4 - si_expert.GUN_X
    assert answer({28: below + 1}) == "FIRE"
    assert answer({28: between + 1}) != "FIRE"
    assert answer({28: below + 1, 85: 60, 87: 10}) != "FIRE"  # our bullet is still on its way
    behind = {28: 75, 26: 42}  # the third column right above a shield and the gun
    assert answer(behind) != "FIRE"
    assert answer(behind | dict.fromkeys(range(52, 61), 0)) == "FIRE"


def test_it_leads_the_saucer():
    gap = {18 + i: 0b100000 if i == 5 else 0 for i in range(6)} | {17: 1, 26: 120, 16: 0}  # one alien far off
    right, left = {24: 3}, {24: 2}
    at = {28: 91}
    lead = 20  # steps of flight, pixels of the saucer's way
    assert answer(gap | at | right | {30: 91 - lead}) == "FIRE"
    assert answer(gap | at | left | {30: 91 + lead}) == "FIRE"
    assert answer(gap | at | left | {30: 91 - lead}) != "FIRE"
    blind = DodgingExpert(saucer=0)
    assert answer(gap | at | right | {30: 91 - lead}, blind) != "FIRE"


def test_the_simple_one_goes_to_the_nearest_open_column():
    first = int(console().ram()[26]) - 1
    column = first + 16 * 4 + 4 - si_expert.GUN_X + 1  # its ship's byte
    simple = SimpleExpert()
    assert answer({28: column}, simple) == "FIRE"
    assert answer({28: column - 5}, simple) == "RIGHT" and answer({28: column + 5}, simple) == "LEFT"
    behind = {28: 75, 26: 42}  # the third column right above a shield and the gun
    assert answer(behind, simple) == "RIGHT"
    assert answer(behind | dict.fromkeys(range(52, 61), 0), simple) == "FIRE"


# --- the experts at work ---


def test_the_dodging_one_is_not_hit_and_scores_more(games):
    scores = {name: game[2] for name, game in games.items()}
    assert scores["dodging"] > 400 and scores["dodging"] > 2 * scores["random"] and scores["dodging"] > scores["simple"]
    assert not (games["dodging"][0][:, 42] == 4).any()
    assert (games["simple"][0][:, 42] == 4).any() and (games["random"][0][:, 42] == 4).any()


@pytest.mark.parametrize("name", EXPERTS)
def test_deterministic_picklable_and_forgetful(games, name):
    rams, actions, _ = games[name]
    expert = EXPERTS[name]()
    for copy in (expert, pickle.loads(pickle.dumps(expert))):
        copy.start(np.random.default_rng(1), ACTION_NAMES)
        assert [copy.act(FRAME, ram) for ram in rams[150:300]] == actions[150:300]
        assert [copy.act(FRAME, ram) for ram in rams[250:150:-1]] == actions[250:150:-1]  # in any order
    assert {ACTION_NAMES[action] for action in actions} <= set(CLASS_NAMES)


def test_other_numbering_of_the_actions(games):
    rams, actions, _ = games["dodging"]
    turned, expert = ACTION_NAMES[::-1], DodgingExpert()
    expert.start(np.random.default_rng(0), turned)
    assert [turned[expert.act(FRAME, ram)] for ram in rams[200:250]] == [ACTION_NAMES[a] for a in actions[200:250]]


def test_any_memory_is_answered():
    rng = np.random.default_rng(0)
    for expert in (SimpleExpert(), DodgingExpert()):
        expert.start(rng, ACTION_NAMES)
        for fill in (0, 255):
            assert 0 <= expert.act(FRAME, np.full(128, fill, np.uint8)) < 6
        for _ in range(50):
            assert 0 <= expert.act(FRAME, rng.integers(256, size=128).astype(np.uint8)) < 6


def test_wrong_input_is_refused():
    expert = DodgingExpert()
    with pytest.raises(KeyError):
        expert.start(np.random.default_rng(0), ("NOOP", "FIRE", "RIGHT"))
    expert.start(np.random.default_rng(0), ACTION_NAMES)
    for ram in (np.zeros(127, np.uint8), np.zeros(128, np.float32), np.zeros((1, 128), np.uint8)):
        with pytest.raises(ValueError, match="128"):
            expert.act(FRAME, ram)
