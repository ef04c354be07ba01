"""Five games in turn: what is exact, what is replayed, and that networks without replay forget."""

import numpy as np
import pytest
import torch

import continual_cells
import continual_games
import continual_networks
from atari_play import Buffer
from continual_cells import GAMES, Arm
from continual_networks import Course
from dense_head import DenseHead
from resu_conv import ReSUEncoder
from trained_cache import Setup


def buffer(seed, n=60, starts=(0, 25)):
    rng = np.random.default_rng(seed)
    frames = rng.integers(0, 256, (n, 84, 84), np.uint8)
    empty = np.zeros(n, np.uint8)
    return Buffer(frames, np.zeros((n, 128), np.uint8), empty, empty, np.zeros(n, np.float32), np.array(starts))


def test_each_game_is_first_and_last_equally_often():
    orders = [continual_cells.order_of(seed) for seed in range(10)]
    for place in (0, 4):
        assert sorted(order[place] for order in orders) == sorted(2 * GAMES)
    assert all(sorted(order) == sorted(GAMES) for order in orders)


def test_the_encoder_of_games_in_turn_is_that_of_all_at_once():
    buffers = [buffer(seed) for seed in range(3)]
    whole = ReSUEncoder().fit([frames for its in buffers for frames in its.episode_frames()])
    for order in ((0, 1, 2), (2, 0, 1)):
        found = continual_cells.joint_encoder([buffers[i] for i in order])
        assert found.filters_.tobytes() == whole.filters_.tobytes() and found.mean_.tobytes() == whole.mean_.tobytes()
    other = continual_cells.joint_encoder(buffers[:2])
    assert other.filters_.tobytes() != whole.filters_.tobytes()


def test_a_common_head_plays_with_the_actions_of_one_game():
    setup = Setup()
    names = continual_cells.class_names(setup)
    assert len(set(names)) == len(names)
    head = DenseHead([np.arange(len(names), dtype=np.float32)[:, None]], [np.zeros(len(names), np.float32)])
    for game in GAMES:
        classes = continual_cells.setup_of(setup, game).classes(game)
        found = continual_cells.masked(head, setup, game)
        assert [names[int(w)] for w in found.weights[0][:, 0]] == list(classes)


def test_a_share_of_the_games_before_is_taught_again():
    taught = [np.arange(100), np.arange(50), np.arange(30)]
    found = continual_networks.taught_in_turn(2, taught, 0.1, 0)
    assert [len(its) for its in found] == [10, 5, 30] and all(
        set(a) <= set(b) for a, b in zip(found, taught, strict=True)
    )
    assert [len(its) for its in continual_networks.taught_in_turn(2, taught, 0.0, 0)] == [0, 0, 30]
    again = continual_networks.taught_in_turn(2, taught, 0.1, 0)
    assert all(np.array_equal(a, b) for a, b in zip(found, again, strict=True))


def test_without_replay_a_perceptron_forgets_and_with_it_does_not():
    rng = np.random.default_rng(0)
    xs = [rng.standard_normal((1500, 8)).astype(np.float32) + 3 * k for k in range(2)]
    ys = [(xs[0][:, 0] > 0).astype(int), 2 + (xs[1][:, 1] > 3).astype(int)]  # classes of their own
    taught, held_out = [np.arange(1200)] * 2, [np.arange(1200, 1500)] * 2
    kept = []
    for share in (0.0, 0.3):
        head = continual_networks.perceptron_in_turn(xs, Course(ys, taught, held_out, 4, 0, 8, share))
        kept.append([np.mean(head.predict(x[1200:]) == y[1200:]) for x, y in zip(xs, ys, strict=True)])
    assert kept[0][0] < 0.6 and kept[0][1] > 0.8
    assert min(kept[1]) > 0.75


def test_buffers_together_keep_their_games():
    whole = continual_networks.together([buffer(0), buffer(1, 40, (0, 10))])
    assert whole.starts.tolist() == [0, 25, 60, 70] and len(whole) == 100
    assert np.array_equal(whole.frames[60:], buffer(1, 40).frames)


def test_a_network_with_some_of_its_classes():
    with torch.random.fork_rng():
        torch.manual_seed(0)
        model = continual_networks.ConvNet(5).eval()
    x = torch.rand(2, 4, 84, 84)
    with torch.inference_mode():
        assert torch.equal(continual_networks.with_classes(model, [3, 1])(x), model(x)[:, [3, 1]])


def test_what_is_kept_is_judged_beside_a_head_of_its_own():
    rng = np.random.default_rng(0)

    def cells(points):
        return [{"scores": {game: (points + rng.normal(0, 0.1, 5)).tolist() for game in GAMES}} for _ in range(6)]

    own, lost = Arm("ReSU", "MLP", "alone"), Arm("ReSU", "MLP", "in turn")
    kept = Arm("ReSU", "MLP", "replay")
    arms = {own: cells(10.0), lost: cells(5.0), kept: cells(9.9)}
    found = continual_games.Found(arms, cells(0.0), [{"equal": [True] * 4, "apart": 1e-16}] * 6)
    verdicts = {
        verdict.id: verdict.verdict for verdict in continual_games.report(continual_games.Config(), found).verdicts
    }
    assert verdicts["same bits"] == verdicts["same sums"] == "supported"
    assert {verdicts[f"{lost.label}: {game}"] for game in GAMES} == {"refuted"}
    assert {verdicts[f"{kept.label}: {game}"] for game in GAMES} == {"supported"}
    worse = continual_games.Found(arms, cells(0.0), [{"equal": [True, False], "apart": 1e-3}])
    words = [verdict.verdict for verdict in continual_games.report(continual_games.Config(), worse).verdicts[:2]]
    assert words == ["refuted", "refuted"]


def test_more_seeds_of_the_network_than_there_are_is_refused():
    with pytest.raises(ValueError, match="--cnn-seeds must be at most --seeds 2, not 5"):
        continual_games.check(continual_games.Config(seeds=2))
