"""Vector environments as Gymnasium's own behave: masks, wrong actions, calls out of order, games in other processes."""

import os

import gymnasium
import numpy as np
import pytest
from gymnasium.vector import AsyncVectorEnv, AutoresetMode, SyncVectorEnv, VectorEnv
from gymnasium.wrappers import OrderEnforcing, TimeLimit

from atari_env import AtariEnv, AtariVectorEnv
from resu_conv import ReSUEncoder
from resu_gym import EncodedVectorEnv
from resu_sb3 import SB3VecEnv

OPTIONS = {"max_steps": 60}


def test_a_reset_mask_begins_some_games_as_gymnasium_does():
    ours = AtariVectorEnv("pong", 3, **OPTIONS)
    theirs = SyncVectorEnv([lambda: AtariEnv("pong", **OPTIONS)] * 3, autoreset_mode=AutoresetMode.DISABLED)
    rng = np.random.default_rng(0)
    shown = [env.reset(seed=4)[0] for env in (ours, theirs)]
    for t in range(40):
        assert np.array_equal(*shown)
        if t in (9, 30):
            mask = np.array([t == 9, False, True])
            shown = [env.reset(seed=[7, 8, t], options={"reset_mask": mask.copy()})[0] for env in (ours, theirs)]
        else:
            actions = rng.integers(0, 6, 3)
            shown = [env.step(actions)[0] for env in (ours, theirs)]
    ours.close()


WRONG_MASKS = ([True, False], np.array([1, 0]), np.array([True]), np.zeros(2, bool))


def test_what_cannot_be_done_is_one_sentence_and_changes_nothing():
    env, twin = (AtariVectorEnv("pong", 2, **OPTIONS) for _ in range(2))
    with pytest.raises(ValueError, match="call reset before step"):
        env.step(np.zeros(2, int))
    with pytest.raises(ValueError, match="reset all games before some"):
        env.reset(options={"reset_mask": np.array([True, False])})
    for one in (env, twin):
        one.reset(seed=1)
    for mask in WRONG_MASKS:
        with pytest.raises(ValueError, match="reset_mask must be a boolean array of 2 flags"):
            env.reset(options={"reset_mask": mask})
    for actions, message in (
        (np.zeros(3, int), r"actions must be 2 whole numbers, one per game, not int64 of shape \(3,\)"),
        (np.zeros(2), "not float64"),
        (np.zeros(2, bool), "not bool"),
        (np.array([0, 6]), "there is no action 6: choose 0 to 5 .NOOP"),
        (np.array([-1, 0]), "there is no action -1"),
    ):
        with pytest.raises(ValueError, match=message):
            env.step(actions)
    with pytest.raises(ValueError, match="needs one for each of the 2 games, not 3"):
        env.reset(seed=[1, 2, 3])
    for seeds in ([3, -1], [3, "a"], [3, 1.5], -5):
        with pytest.raises(ValueError, match="a seed must be a whole number from 0 on"):
            env.reset(seed=seeds)
    for _ in range(5):
        assert np.array_equal(env.step(np.array([2, 3]))[0], twin.step(np.array([2, 3]))[0])
    for one in (env, twin):
        one.close()


def test_it_starts_where_the_system_does_not_say_which_cores_there_are(monkeypatch):
    monkeypatch.delattr(os, "sched_getaffinity", raising=False)
    env = AtariVectorEnv("pong", 2)
    assert env.reset(seed=0)[0].shape == (2, 84, 84)
    env.close()


class Forgetful(VectorEnv):
    """Ends an episode at every step, and does not say how it looked."""

    metadata = {"autoreset_mode": AutoresetMode.SAME_STEP}  # noqa: RUF012
    num_envs = 2
    single_observation_space = gymnasium.spaces.Box(0, 255, (12, 10), np.uint8)
    observation_space = gymnasium.spaces.Box(0, 255, (2, 12, 10), np.uint8)
    single_action_space = gymnasium.spaces.Discrete(2)
    action_space = gymnasium.spaces.MultiDiscrete([2, 2])

    def reset(self, *, seed=None, options=None):
        return np.zeros((2, 12, 10), np.uint8), {}

    def step(self, actions):
        return np.zeros((2, 12, 10), np.uint8), np.zeros(2), np.ones(2, bool), np.zeros(2, bool), {}


def test_a_missing_last_frame_and_a_mask_before_the_first_reset_are_named():
    rng = np.random.default_rng(0)
    encoder = ReSUEncoder(memory=3, horizon=2, n_units=2, grid=(3, 2)).fit(
        [rng.integers(0, 256, (60, 12, 10), np.uint8)]
    )
    env = EncodedVectorEnv(Forgetful(), encoder)
    with pytest.raises(ValueError, match="reset all environments before some"):
        env.reset(options={"reset_mask": np.array([True, False])})
    env.reset()
    options = {"reset_mask": np.array([True, False])}
    env.reset(options=options)
    assert list(options) == ["reset_mask"]
    with pytest.raises(ValueError, match="lacks its last frame, final_obs"):
        env.step(np.zeros(2, int))


class Coloured(gymnasium.Env):
    """Shows a colour that can be asked for, set and changed by a method."""

    render_mode = "rgb_array"

    def __init__(self, colour):
        self.colour = colour
        self.observation_space = gymnasium.spaces.Box(0, 255, (3,), np.uint8)
        self.action_space = gymnasium.spaces.Discrete(2)

    def reset(self, *, seed=None, options=None):
        return np.zeros(3, np.uint8), {}

    def step(self, action):
        return np.zeros(3, np.uint8), 0.0, False, False, {}

    def render(self):
        return np.full((4, 5, 3), self.colour, np.uint8)

    def lighter(self, by=1):
        self.colour += by
        return self.colour


class Painted(gymnasium.Wrapper):
    """Has a coat, which the environment within lacks."""

    coat = "red"


@pytest.mark.parametrize("kind", [SyncVectorEnv, AsyncVectorEnv])
def test_stable_baselines_sees_into_environments_wherever_they_live(kind):
    makers = [lambda c=c: Painted(TimeLimit(Coloured(c), 9)) for c in (10, 20, 30)]
    env = SB3VecEnv(kind(makers, autoreset_mode=AutoresetMode.SAME_STEP))
    env.reset()
    assert env.get_attr("colour") == [10, 20, 30] and env.get_attr("colour", [2, 0]) == [30, 10]
    assert env.env_method("lighter", by=5) == [15, 25, 35]
    env.set_attr("colour", 7)
    assert env.get_attr("colour") == [7, 7, 7]
    images = env.get_images()
    assert len(images) == 3 and all((image == 7).all() and image.shape == (4, 5, 3) for image in images)
    tiled = env.render("rgb_array")
    assert tiled.shape[2] == 3 and (tiled == 7).any()
    if kind is AsyncVectorEnv:
        with pytest.raises(ValueError, match="called all at once: leave out indices"):
            env.env_method("lighter", indices=[1])
        with pytest.raises(ValueError, match="called all at once"):
            env.set_attr("colour", 1, indices=0)
    else:
        assert env.env_method("lighter", indices=[1]) == [8]
    env.set_attr("colour", [1, 2, 3])  # every environment's: a list is a value like any other
    assert env.get_attr("colour") == [[1, 2, 3]] * 3
    env.set_attr("coat", "blue")
    assert env.get_attr("coat", 1) == ["blue"]
    for ask in (env.get_attr, env.env_method):
        with pytest.raises(AttributeError, match="smell"):
            ask("smell")
    assert env.step(np.zeros(3, int))[0].shape == (3, 3)  # nobody died of it
    for wrapper, wanted in ((TimeLimit, True), (Painted, True), (OrderEnforcing, False), (kind, True)):
        assert env.env_is_wrapped(wrapper, [0, 2]) == [wanted] * 2
    env.close()
