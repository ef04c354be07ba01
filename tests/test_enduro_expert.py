"""Enduro: the memory's facts against colour screens, the planner's answers, and the expert at work."""

import pickle
from itertools import pairwise

import cv2
import numpy as np
import pytest

from atari_env import AtariEnv
from atari_play import RandomPolicy
from enduro_expert import CLASS_NAMES, GAINED, LOST, EnduroExpert, scene_from_ram

ACTION_NAMES = ("NOOP", "FIRE", "RIGHT", "LEFT", "DOWN", "DOWNRIGHT", "DOWNLEFT", "RIGHTFIRE", "LEFTFIRE")
RIGHT, LEFT, STRAIGHT = ({f"{word}{side}" for word in ("", "DOWN")} | {f"{side}FIRE"} for side in ("RIGHT", "LEFT", ""))
STRAIGHT |= {"NOOP"}
N_STEPS = 1000


class FullThrottle:
    """Holds FIRE and never steers."""

    def start(self, rng, action_names):
        self.fire = action_names.index("FIRE")

    def act(self, frame, ram):
        return self.fire


def play(policy, seed, screens_until=0):
    """(memories, screens, actions, score) of N_STEPS of one game."""
    env = AtariEnv("enduro")
    frame, _ = env.reset(seed=seed)
    policy.start(np.random.default_rng(seed), env.action_names)
    rams, screens, actions, score = [], [], [], 0.0
    for t in range(N_STEPS):
        rams.append(env.ram())
        if t < screens_until:
            screens.append(env.render())
        actions.append(policy.act(frame, rams[-1]))
        frame, reward, terminated, _, _ = env.step(actions[-1])
        score += reward
        assert not terminated
    return np.array(rams), np.array(screens), np.array(actions), score


@pytest.fixture(scope="module")
def games():
    policies = {"expert": EnduroExpert(), "fire": FullThrottle(), "random": RandomPolicy()}
    return {name: play(policy, 50_001, 400 if name == "expert" else 0) for name, policy in policies.items()}


def collisions(rams):
    speed = rams[:, 22].astype(int)
    return int(((speed[1:] == 6) & (speed[:-1] > 20)).sum())


# --- what the memory says ---


def cars_and_edges(screen):
    """Coloured blobs as (centre x, left, right, lower edge y) and the mask of the grey pixels: road edges, our car."""
    road = screen[:155].astype(int)
    seen = np.abs(road - road[100, 12]).sum(2) > 30
    seen[:53], seen[:, :8] = False, False
    grey = road.max(2) - road.min(2) <= 12
    coloured = cv2.dilate((seen & ~grey).astype(np.uint8), np.ones((3, 3), np.uint8))
    _, _, boxes, _ = cv2.connectedComponentsWithStats(coloured)
    found = [(x + w / 2, x + 1, x + w - 2, y + h - 2) for x, y, w, h, area in boxes[1:] if area > 25]
    return found, seen & grey


def test_lanes_and_distances_against_coloured_cars(games):
    """By day the cars of the slots 1 to 3 are drawn where the memory says, save some as slots pass on."""
    rams, screens, _, _ = games["expert"]
    edges_of_slots, lines = (
        (148, 123, 104, 89, 78),
        (25, 18, 16, 13, 11),
    )  # lower edge of a car on entry; lines of a slot
    missed, shares = [], []
    for ram, screen in zip(rams[:400], screens, strict=True):
        blobs, edges = cars_and_edges(screen)
        for distance, lane in scene_from_ram(ram).cars:
            slot = int(np.ceil(distance - 1e-9)) - 1
            y = edges_of_slots[min(slot, 4)] + (slot + 1 - distance) * lines[min(slot, 4)]
            if slot > 4 or not 92 <= y <= 138:
                continue
            drawn = [blob for blob in blobs if abs(y - blob[3]) <= 3]
            missed.append(not drawn)
            for x, left, right, bottom in drawn:
                row = np.flatnonzero(edges[bottom - 1])
                row = row[(row < left - 1) | (row > right + 1)]
                if len(row) and np.ptp(row) > 30 and row[0] < left and row[-1] > right:
                    shares.append((x - row[0]) / (row[-1] - row[0]) - (0.5 + 0.25 * lane))
    assert len(missed) > 150 and np.mean(missed) < 0.1
    assert len(shares) > 100 and np.mean(np.abs(shares) < 0.07) > 0.97


def test_offset_against_the_road_and_the_car(games):
    rams, screens, _, _ = games["expert"]
    errors = []
    for before, ram, screen in zip(rams[:399], rams[1:400], screens[1:], strict=False):
        if before[46] == ram[46] and before[22] < 70:
            seen, edges = cars_and_edges(screen)
            row = np.flatnonzero(edges[147])
            if len(row) > 8 and not any(car[3] > 130 for car in seen):  # the edges and the car
                car = row[(row > row[0] + 4) & (row < row[-1] - 4)]
                errors.append(car.mean() - (row[0] + row[-1]) / 2 - scene_from_ram(ram).offset)
    assert len(errors) > 10 and np.max(np.abs(errors)) < 4


def test_the_traffic_moves_as_planned(games):
    """Between two collisions the phase advances by the speed difference, and so do the slots."""
    rams = games["expert"][0]
    scenes = [scene_from_ram(ram) for ram in rams]
    errors = []
    for before, after in pairwise(scenes):
        if before.speed <= after.speed and before.cars and after.cars:
            lead = after.speed - after.traffic
            gained = (GAINED if lead > 0 else LOST) * lead
            moved = before.cars[-1][0] - after.cars[-1][0]
            errors.append((moved - gained + 0.5) % 1 - 0.5)
    assert len(errors) > 300 and np.abs(np.mean(errors)) < 0.03 and np.percentile(np.abs(errors), 90) < 0.2


# --- what the expert does ---


def situation(cars=(), offset=-1.0, speed=60, traffic=24, bend=0, line=47, snow=False, clock=1):
    """A memory with cars as (slot, lane)."""
    ram = np.zeros(128, np.uint8)
    ram[46], ram[34] = (np.array([round((-2.5 - offset) / 1.5), bend]) % 256).astype(np.uint8)
    ram[22], ram[50], ram[11], ram[63], ram[49] = speed, (speed - traffic) % 256, line, 0x60 * snow, clock
    for slot, lane in cars:
        ram[27 + slot] = 0b10010110 + (lane == 1) - 16 * (lane == 0)
    return ram


def answer(**given):
    expert = EnduroExpert()
    expert.start(np.random.default_rng(0), ACTION_NAMES)
    return ACTION_NAMES[expert.act(np.zeros((84, 84), np.uint8), situation(**given))]


def test_a_scene_is_read_as_it_was_written():
    for line in (47 + 5, 72 + 5, 127 + 5):  # by day, by night, nearest slot empty
        scene = scene_from_ram(situation([(1, 0), (3, -1), (6, 1)], -19.0, 80, 31, -25, line, True))
        assert scene.cars == ((2 - 0.2, 0), (4 - 0.2, -1), (7 - 0.2, 1))
        assert scene[:5] == (-19.0, 80, 31, -0.5, True)
    assert scene_from_ram(situation()).cars == ()
    assert scene_from_ram(situation(bend=-51)).bend == -1.0


def test_answers_to_hand_made_situations():
    assert answer() == "FIRE"  # a free road
    assert answer(speed=80) == "NOOP"  # fast enough
    assert answer(cars=[(2, -1), (3, 1)]) == "FIRE"  # between two cars
    assert answer(cars=[(1, 0)], offset=4.0) in RIGHT
    assert answer(cars=[(1, 0)], offset=-9.0) in LEFT
    assert answer(cars=[(2, 0), (3, 1)], offset=2.0) in LEFT  # not into the next one
    assert answer(cars=[(2, 0), (3, -1)], offset=-2.0) in RIGHT
    assert answer(cars=[(3, 1)], offset=22.0) in LEFT
    assert answer(offset=-31.0) in RIGHT and answer(offset=31.0) in LEFT  # back onto the road
    assert answer(offset=-24.0, bend=50) in RIGHT and answer(offset=24.0, bend=-50) in LEFT  # against the bend's push
    assert answer(offset=-24.0, bend=0, cars=[(0, 0), (1, 0)]) in STRAIGHT  # beside two cars
    # Two side by side and the gap on the far side: too late for it at this speed, in time when it is farther away.
    blocked = {"offset": 20.0, "speed": 80}
    assert answer(cars=[(1, 1), (2, 0)], **blocked).startswith("DOWN")
    assert not answer(cars=[(5, 1), (6, 0)], **blocked).startswith("DOWN")


def test_slower_steering_in_snow_means_earlier_braking():
    given = {"cars": [(4, 1), (5, 0)], "offset": 20.0, "speed": 80}
    assert answer(snow=True, **given).startswith("DOWN") and not answer(snow=False, **given).startswith("DOWN")


def test_it_never_rests_at_the_speed_of_the_others():
    """There, a plan that holds the speed looks safe for ever."""
    rng = np.random.default_rng(0)
    for _ in range(200):
        cars = [(slot, int(rng.integers(-1, 2))) for slot in range(7) if rng.random() < 0.6]
        traffic, offset = int(rng.choice([24, 44])), float(rng.uniform(-24, 24))
        given = {
            "cars": cars,
            "offset": offset,
            "speed": traffic,
            "traffic": traffic,
            "line": int(rng.integers(47, 72)),
        }
        assert answer(**given) not in ("NOOP", "RIGHT", "LEFT")


def test_by_the_clock_it_lets_the_others_go():
    assert answer(speed=40, traffic=38, clock=8).startswith("DOWN") and answer(speed=40, traffic=38, clock=7) == "FIRE"
    assert answer(speed=50, traffic=38, clock=8) == "FIRE"


def test_shut_in_it_drops_back():
    """Beside two cars in the middle and right behind one in our lane: no way out ahead, at any speed."""
    for speed in (38, 36, 32):
        assert answer(cars=[(0, 0), (1, 0), (2, 1)], line=55, offset=23.0, speed=speed, traffic=38, bend=-51) in {
            "DOWN",
            "DOWNRIGHT",
            "DOWNLEFT",
        }


# --- the expert at work ---


def test_beats_chance_and_full_throttle(games):
    score = {name: game[3] for name, game in games.items()}
    assert score["random"] < score["fire"] < score["expert"]
    assert score["expert"] > 80 and score["fire"] < 40


def test_keeps_on_the_road_and_off_the_others(games):
    rams = games["expert"][0]
    assert collisions(rams) <= 4 < 8 <= collisions(games["fire"][0])
    assert rams[:, 22].mean() > 60 > 45 > games["fire"][0][:, 22].mean()
    countdown = rams[:, 35].astype(int)  # set to 82 or 66 by the edge of the road, to 143 or 159 by a car
    assert not ((countdown[1:] > countdown[:-1]) & (countdown[1:] < 100)).any()
    offsets = np.array([scene_from_ram(ram).offset for ram in rams])
    assert np.abs(offsets).max() < 40 and np.mean(np.abs(offsets) < 27) > 0.98


def test_deterministic_picklable_and_forgetful(games):
    rams, _, actions, _ = games["expert"]
    frame = np.zeros((84, 84), np.uint8)
    expert = EnduroExpert()
    for copy in (expert, pickle.loads(pickle.dumps(expert))):
        copy.start(np.random.default_rng(1), ACTION_NAMES)
        for t in range(700, 887):  # the end of another game ...
            copy.act(frame, rams[t])
        copy.start(np.random.default_rng(2), ACTION_NAMES)  # ... leaves no trace
        chosen = [copy.act(frame, ram) for ram in rams[:300]]
        assert chosen == actions[:300].tolist()
    assert {ACTION_NAMES[action] for action in actions} <= set(CLASS_NAMES) == set(ACTION_NAMES)


def test_other_numbering_of_the_actions(games):
    turned = ACTION_NAMES[::-1]
    expert = EnduroExpert()
    expert.start(np.random.default_rng(0), turned)
    frame = np.zeros((84, 84), np.uint8)
    rams, _, actions, _ = games["expert"]
    assert [turned[expert.act(frame, ram)] for ram in rams[:50]] == [ACTION_NAMES[action] for action in actions[:50]]


def test_wrong_input_is_refused():
    expert = EnduroExpert()
    with pytest.raises(KeyError):
        expert.start(np.random.default_rng(0), ("NOOP", "FIRE", "RIGHT", "LEFT"))
    expert.start(np.random.default_rng(0), ACTION_NAMES)
    for ram in (np.zeros(127, np.uint8), np.zeros(128, np.float32), np.zeros((1, 128), np.uint8)):
        with pytest.raises(ValueError, match="128"):
            expert.act(np.zeros((84, 84), np.uint8), ram)
