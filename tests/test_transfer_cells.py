"""Adapted encoders against joint fits, clones that are trained once, experts and options that do not exist."""

import dataclasses

import numpy as np
import pytest

import players
import trained_cache
import transfer_cells
from atari_env import AtariEnv
from players import TASKS, expert_of
from resu_conv import ReSUEncoder
from trained_cache import Setup

SMALL = Setup(n_frames=700, games=1, epochs=1, chunk=200)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return tmp_path_factory.mktemp("data")


@pytest.fixture(scope="module")
def buffers(folder):
    return {game: SMALL.demonstrations(folder, game, 60_000) for game in ("pong", "breakout")}


def same(a: ReSUEncoder, b: ReSUEncoder) -> bool:
    return np.array_equal(a.filters_, b.filters_) and np.array_equal(a.mean_, b.mean_)


def test_adding_a_second_game_is_the_joint_fit_bit_for_bit(folder, buffers):
    joint = ReSUEncoder().fit([*buffers["pong"].episode_frames(), *buffers["breakout"].episode_frames()])
    streamed = transfer_cells.adapted(SMALL, folder, "pong", "breakout", "streamed", 700, 1.0, 60_000)
    assert same(streamed, joint)
    assert not same(transfer_cells.adapted(SMALL, folder, "pong", "breakout", "streamed", 700, 0.5, 60_000), joint)
    assert not same(transfer_cells.adapted(SMALL, folder, "pong", "breakout", "streamed", 400, 1.0, 60_000), joint)


def test_arms_take_filters_and_means_from_where_they_say(folder, buffers):
    pong, breakout = (ReSUEncoder().fit(buffers[game].episode_frames()) for game in ("pong", "breakout"))

    def make(arm, n_stream=0):
        return transfer_cells.adapted(SMALL, folder, "pong", "breakout", arm, n_stream, 1.0, 60_000)

    assert same(make("frozen"), pong) and same(make("native"), breakout) and same(make("streamed", 0), pong)
    half = make("frozen filters")
    assert np.array_equal(half.filters_, pong.filters_) and np.array_equal(half.mean_, breakout.mean_)
    control = make("random filters")
    assert np.array_equal(control.mean_, breakout.mean_) and not np.array_equal(control.filters_, breakout.filters_)


def test_a_clone_is_trained_once_and_again_for_anything_else(folder, buffers, monkeypatch):
    pong, breakout = (ReSUEncoder().fit(buffers[game].episode_frames()) for game in ("pong", "breakout"))
    first = trained_cache.clone_of(SMALL, folder, pong, "breakout", 60_000)
    calls = []
    train = trained_cache.cloning.clone_policy
    monkeypatch.setattr(trained_cache.cloning, "clone_policy", lambda *a, **k: calls.append(1) or train(*a, **k))
    again = trained_cache.clone_of(SMALL, folder, pong, "breakout", 60_000)
    assert not calls and again.accuracy == first.accuracy and again.seconds == first.seconds > 0
    for a, b in zip(first.result.head.weights, again.result.head.weights, strict=True):
        assert np.array_equal(a, b)
    trained_cache.clone_of(SMALL, folder, breakout, "breakout", 60_000)
    trained_cache.clone_of(dataclasses.replace(SMALL, epochs=2), folder, pong, "breakout", 60_000)
    assert len(calls) == 2


def test_a_network_is_trained_once_and_fine_tuning_starts_from_its_trunk(folder, buffers):
    options = {"epochs": 1, "learning_rate": 1e-3}
    first = trained_cache.cnn_of(SMALL, folder, "pong", 60_000, **options)
    again = trained_cache.cnn_of(SMALL, folder, "pong", 60_000, **options)
    assert again.seconds == first.seconds and again.accuracy == first.accuracy
    still = {"epochs": 1, "learning_rate": 1e-9}
    tuned = trained_cache.cnn_of(SMALL, folder, "breakout", 60_000, start=first.result, **still).result
    scratch = trained_cache.cnn_of(SMALL, folder, "breakout", 60_000, **still).result

    def distance(a, b):
        pairs = zip(a.trunk.parameters(), b.trunk.parameters(), strict=True)
        return sum(float((p - q).abs().sum().detach()) for p, q in pairs)

    assert distance(tuned, first.result) < 0.1 < 10 < distance(scratch, first.result)
    back = trained_cache.cnn_of(SMALL, folder, "pong", 60_000, start=tuned, last_only=True, **options).result
    assert distance(back, tuned) == 0


def test_every_game_has_experts_whose_actions_it_knows():
    for game, task in TASKS.items():
        env = AtariEnv(game, **task.env)
        assert set(task.class_names) <= set(env.action_names) and task.margin > 0
        for name in task.experts:
            policy = expert_of(game, name)
            frame, _ = env.reset(seed=60_001)
            policy.start(np.random.default_rng(0), env.action_names)
            for _ in range(40):
                action = policy.act(frame, env.ram())
                assert env.action_names[action] in task.class_names
                frame, *_ = env.step(action)


def test_demonstrations_are_stored_once_under_their_options(folder, buffers):
    again = players.demonstrations(folder, "breakout", "tracking", 700, 60_000)
    assert np.array_equal(again.frames, buffers["breakout"].frames) and again.about["press_fire"] is True
    assert (folder / "breakout_tracking_s60000_n700.npz").is_file()
    other = players.demonstrations(folder, "breakout", "tracking", 700, 60_000, sticky=0.0)
    assert not np.array_equal(other.frames, again.frames)
    assert AtariEnv("breakout").action_names.index("FIRE") not in again.actions  # the environment presses it


@pytest.mark.parametrize(("game", "name", "message"), [("tetris", "", "unknown game"), ("pong", "best", "reactive")])
def test_unknown_games_and_experts_are_named(folder, game, name, message):
    with pytest.raises(ValueError, match=message):
        players.demonstrations(folder, game, name, 700, 0)
