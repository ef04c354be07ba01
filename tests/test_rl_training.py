"""Learning in segments: a run that was killed goes on as if it had not been; policies and heads are one another."""

import itertools
import tempfile

import numpy as np
import pytest
import torch
from stable_baselines3.common import logger

import convnet
import rl_cells
import rl_dqn
import rl_ppo
import rl_training
from atari_play import Buffer, Exploring, RandomPolicy, collect
from cloning import Clone
from dense_head import DenseHead
from heads import Scaling
from rl_training import OnFeatures, OnFrames

PPO = rl_ppo.Recipe(steps=300, segment=100, n_envs=2, n_steps=25, batch=25, epochs=2)
DQN = rl_dqn.Recipe(
    steps=300, segment=100, n_envs=2, replay=150, batch=16, every=2, watch=40, target_every=20, explore=200
)
RARELY = rl_dqn.Recipe(**{**vars(DQN), "steps": 200, "every": 20})
RECIPES = {"ppo": (rl_ppo, PPO), "dqn": (rl_dqn, DQN), "dqn, rarely": (rl_dqn, RARELY)}


class KilledError(Exception):
    pass


@pytest.fixture(scope="module")
def buffer():
    return collect(RandomPolicy(), 400, 60_000, "breakout", press_fire=True)


@pytest.fixture(scope="module")
def views(buffer):
    features = OnFeatures.fit(buffer, memory=4, grid=(6, 4))
    return {"features": OnFeatures(features.code, features.scaling, (8, 8)), "frames": OnFrames.fit(buffer)}


def maker(view, kind="ppo", seed=3, **more):
    algorithm, recipe = RECIPES[kind]

    def make():
        env = rl_training.environments("breakout", view, recipe.n_envs, press_fire=True, max_steps=40)
        return algorithm.new_learner(env, recipe, view, seed, **more)

    return make


def weights(learner):
    return torch.cat([p.detach().ravel() for p in learner.policy.parameters()])


@pytest.mark.parametrize(("kind", "look"), [("ppo", "features"), ("dqn", "features"), ("dqn, rarely", "frames")])
def test_a_killed_run_goes_on_with_the_same_weights_and_games(views, tmp_path, monkeypatch, kind, look):
    make = maker(views[look], kind)

    def note(learner, segment):
        return {f"after {segment}": float(weights(learner)[0])}

    whole, wanted = rl_training.train(make, 100, 3, tmp_path / "whole.pt", "whole", note)
    segments = RECIPES[kind][1].steps // 100
    assert whole.num_timesteps == 100 * segments and len(wanted.episodes) >= 2 * segments
    assert wanted.segments == segments and min(np.diff(wanted.seconds)) > 0
    assert [list(found) for found in wanted.notes] == [[f"after {k + 1}"] for k in range(segments)]
    save = rl_training.save

    def save_and_die(*words):
        save(*words)
        raise KilledError

    monkeypatch.setattr(rl_training, "save", save_and_die)
    for _ in range(segments - 1):  # after the first segment, and again after the second
        with pytest.raises(KilledError):
            rl_training.train(make, 100, 3, tmp_path / "cut.pt", "cut", note)
    monkeypatch.setattr(rl_training, "save", save)
    cut, again = rl_training.train(make, 100, 3, tmp_path / "cut.pt", "cut", note)
    assert torch.equal(weights(cut), weights(whole))
    assert again.notes == wanted.notes and [tuple(game) for game in again.episodes] == wanted.episodes
    assert not list(tmp_path.glob("*_replay.npz"))  # a finished run needs none
    if look == "features":
        other, _ = rl_training.train(maker(views[look], kind, 4), 100, 4, tmp_path / "other.pt", "other")
        assert not torch.equal(weights(other), weights(whole))
    read, _ = rl_training.train(make, 100, 3, tmp_path / "cut.pt", "cut")
    assert torch.equal(weights(read), weights(whole))


def test_learning_changes_the_policy_and_the_rate_falls_over_the_whole_run(views, tmp_path, monkeypatch):
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "temporary"))
    (tmp_path / "temporary").mkdir()
    rates = []
    learner, _ = rl_training.train(
        maker(views["features"]), 100, 3, tmp_path / "a.pt", "a",
        lambda learner, segment: rates.append(learner.policy.optimizer.param_groups[0]["lr"]),
    )  # fmt: skip
    assert np.allclose(rates, [PPO.learning_rate * (1 - k / 3) for k in (1, 2, 3)])
    assert not torch.equal(weights(learner), weights(maker(views["features"])()))
    assert not list((tmp_path / "temporary").glob("SB3*"))  # no logs are left behind elsewhere


def test_the_rate_that_is_shown_is_that_of_the_segment():
    bar = rl_training._Episodes("resumed", 10**12, 10**12 + 100)._bar
    bar.mininterval = 0
    bar.update(1)
    assert (bar.format_dict["rate"] or 0) < 10**9
    bar.close()


@pytest.mark.parametrize("kind", ["ppo", "dqn"])
def test_a_log_is_kept_where_it_is_asked_for_and_changes_nothing(views, tmp_path, monkeypatch, kind):
    """Stands in for TensorBoard, which is no requirement; without it one sentence says what to do."""
    make = maker(views["features"], kind)
    plain, _ = rl_training.train(make, 100, 3, tmp_path / "plain.pt", "plain")
    monkeypatch.setattr(logger, "SummaryWriter", None)
    with pytest.raises(ValueError, match="pip install tensorboard"):
        rl_training.train(make, 100, 3, tmp_path / "none.pt", "none", log=tmp_path / "log")
    written = []

    class Writer:
        def __init__(self, log_dir):
            assert log_dir == str(tmp_path / "log")

        def add_scalar(self, name, value, step):
            written.append((name, step))

        def flush(self):
            pass

    monkeypatch.setattr(logger, "SummaryWriter", Writer)
    logged, _ = rl_training.train(make, 100, 3, tmp_path / "logged.pt", "logged", log=tmp_path / "log")
    assert torch.equal(weights(logged), weights(plain))
    steps = [step for name, step in written if name == "rollout/ep_rew_mean"]
    assert steps == sorted(steps)
    assert steps == [100, 150, 200, 250, 300] if kind == "ppo" else len(steps) >= 1  # updates; every fourth game


def random_head(view, n_actions=4):
    rng = np.random.default_rng(0)
    sizes = (view.code.n_features, *view.hidden, n_actions)
    return DenseHead(
        [rng.normal(0, 0.3, (b, a)).astype(np.float32) for a, b in itertools.pairwise(sizes)],
        [rng.normal(0, 0.3, b).astype(np.float32) for b in sizes[1:]],
    )


def test_a_policy_begins_as_the_head_that_it_is_given_and_comes_back_as_one(views):
    view = views["features"]
    head = random_head(view)
    standard = np.random.default_rng(1).normal(0, 1, (20, view.code.n_features))
    x = (standard / view.scaling.factor + view.scaling.mean).astype(np.float32)
    learner = maker(view, start=head)()
    with torch.no_grad():
        logits = learner.policy.get_distribution(torch.from_numpy(x)).distribution.logits.numpy()
    wanted = head.logits(x)
    wanted = wanted - np.log(np.exp(wanted).sum(axis=1, keepdims=True))
    np.testing.assert_allclose(logits, wanted, atol=2e-3)
    np.testing.assert_allclose(rl_ppo.policy(learner, view, ("A",) * 4).head.logits(x), head.logits(x), atol=2e-3)
    values = maker(view, "dqn", start=head)()
    with torch.no_grad():
        for network in (values.q_net, values.q_net_target):
            np.testing.assert_allclose(network(torch.from_numpy(x)).numpy(), head.logits(x), atol=2e-3)
    np.testing.assert_allclose(rl_dqn.policy(values, view, ("A",) * 4).head.logits(x), head.logits(x), atol=2e-3)
    with pytest.raises(ValueError, match="layers"):
        maker(view, start=random_head(view, 3))()
    with pytest.raises(ValueError, match="only a learner on features"):
        maker(views["frames"], start=head)()


def test_frames_unlike_all_others_do_not_rule_the_loss(views):
    """As long as they may be, and no longer; usual ones, and the direction of all, stay as they are."""
    view = views["features"]
    extractor = maker(view)().policy.features_extractor.standardised
    x = np.abs(np.random.default_rng(1).normal(0, 1, (20, view.code.n_features))).astype(np.float32)
    usual = (x - view.scaling.mean) * view.scaling.factor
    usual /= np.sqrt((usual**2).mean(axis=1, keepdims=True))  # a root mean square of 1
    for size, kept in ((1.0, 1.0), (3.9, 1.0), (200.0, rl_training.LONGEST / 200)):
        shown = torch.from_numpy(size * usual / view.scaling.factor + view.scaling.mean)
        np.testing.assert_allclose(extractor(shown).numpy(), kept * size * usual, rtol=1e-3, atol=1e-3)
    assert torch.isfinite(extractor(torch.from_numpy(view.scaling.mean[None]))).all()  # no length at all


def test_a_network_on_frames_plays_as_it_learned(views, buffer):
    """The policy that plays full games and the learner agree on every stack of frames."""
    view = views["frames"]
    stacks = view.code.encode(buffer.frames[:30])
    stack = convnet.stacker(buffer)(np.arange(30))
    for kind, (algorithm, _) in RECIPES.items():
        learner = maker(view, kind)()
        learner.policy.set_training_mode(False)
        names = ("NOOP", "FIRE", "RIGHT", "LEFT")
        net = algorithm.policy(learner, view, names)
        net.start(np.random.default_rng(0), names)
        with torch.no_grad():
            seen = torch.from_numpy(stacks).float()
            mine = (
                learner.q_net(seen) if "dqn" in kind else learner.policy.get_distribution(seen).distribution.logits
            ).log_softmax(dim=1)
            np.testing.assert_allclose(net._model(stack).log_softmax(dim=1).numpy(), mine.numpy(), atol=1e-4)


def test_the_critic_learns_first(views, tmp_path):
    recipe = rl_ppo.Recipe(**{**vars(PPO), "critic_first": 100})
    view = views["features"]

    def make():
        env = rl_training.environments("breakout", view, 2, press_fire=True, max_steps=40)
        return rl_ppo.new_learner(env, recipe, view, 3)

    at: list[tuple[torch.Tensor, torch.Tensor]] = []

    def note(learner, segment):
        value = learner.policy.value_net.weight.detach().clone()
        at.append((rl_ppo.layers(learner)[0].weight.detach().clone(), value))

    rl_training.train(make, 100, 3, tmp_path / "a.pt", "a", note)
    first = make()
    assert torch.equal(at[0][0], rl_ppo.layers(first)[0].weight)
    assert not torch.equal(at[0][1], first.policy.value_net.weight)
    assert not torch.equal(at[1][0], at[0][0])


def test_the_leash_holds_the_values_to_the_clones_actions_and_lets_go(views, buffer, tmp_path):
    """With it the softmax of the values stays nearer to the clone's; after leash_steps it is plain DQN."""
    view = views["features"]
    head = random_head(view)
    x = torch.from_numpy(view.code.encode(buffer.frames[: buffer.starts[1]]))
    away = {}
    for leash, fades in ((0.0, 1_000), (20.0, 1_000), (20.0, 1)):
        recipe = rl_dqn.Recipe(**{**vars(DQN), "leash": leash, "leash_steps": fades, "learning_rate": 1e-3})

        def make(recipe=recipe):
            env = rl_training.environments("breakout", view, 2, press_fire=True, max_steps=40)
            return rl_dqn.new_learner(env, recipe, view, 3, start=head, teacher=head)

        learner, _ = rl_training.train(make, 100, 3, tmp_path / f"{leash}_{fades}.pt", "a")
        with torch.no_grad():
            own = (learner.q_net(x) / recipe.temperature).log_softmax(dim=1)
            taught = torch.from_numpy(head.logits(x.numpy())).log_softmax(dim=1)
            away[leash, fades] = float((taught.exp() * (taught - own)).sum(dim=1).mean())
    assert away[20.0, 1_000] < 0.75 * away[0.0, 1_000]
    assert away[20.0, 1] == away[0.0, 1_000]


def test_a_start_from_a_clone_watches_the_clone_and_one_from_nothing_plays_at_random(views):
    view = views["features"]
    learner = maker(view, "dqn", start=random_head(view))()
    learner.exploration_rate = 0.0
    learner._last_obs = np.abs(np.random.default_rng(0).normal(0, 1, (2, view.code.n_features))).astype(np.float32)
    wanted, _ = learner.policy.predict(learner._last_obs, deterministic=True)
    assert all((learner._sample_action(10**6, None, 2)[0] == wanted).all() for _ in range(20))
    plain = maker(view, "dqn")()
    plain._last_obs = learner._last_obs
    drawn = np.concatenate([plain._sample_action(10**6, None, 2)[0] for _ in range(20)])
    assert len(np.unique(drawn)) == 4


@pytest.mark.parametrize(("explore", "left"), [(200, 0.01), (600, 0.505)])
def test_exploration_may_outlast_the_run(views, tmp_path, monkeypatch, explore, left):
    """300 steps: all of a fall over 200, half of one over 600."""
    slow = rl_dqn.Recipe(**{**vars(DQN), "explore": explore})
    monkeypatch.setitem(RECIPES, "slow", (rl_dqn, slow))
    learner, _ = rl_training.train(maker(views["features"], "slow"), 100, 3, tmp_path / "a.pt", "a")
    assert learner.exploration_rate == pytest.approx(left, abs=0.01)


def test_a_clone_that_watches_to_the_end_does_not_learn(views, tmp_path):
    """The control of the warm starts; one that stops watching half way does learn."""
    view = views["features"]
    head = random_head(view)
    learned = {}
    for watch in (600, 50):
        recipe = rl_dqn.Recipe(**{**vars(DQN), "steps": 100, "watch": watch})

        def make(recipe=recipe):
            env = rl_training.environments("breakout", view, 2, press_fire=True, max_steps=40)
            return rl_dqn.new_learner(env, recipe, view, 3, start=head)

        before = weights(make())
        learner, _ = rl_training.train(make, 100, 3, tmp_path / f"{watch}.pt", "a")
        learned[watch] = not torch.equal(weights(learner), before)
    assert learned == {600: False, 50: True}


def test_returns_to_go_by_hand():
    found = rl_dqn.returns_to_go(np.array([0.0, 5, 0, 0, -2, 0]), np.array([0, 3]), 0.5)
    assert found.tolist() == [0.5, 1.0, 0.0, -0.5, -1.0, 0.0]


def test_calibrated_values_are_returns_and_keep_the_clones_choices(views):
    """Planted: a reward follows where feature 0 is large, whatever is done."""
    rng = np.random.default_rng(0)

    class Planted:
        n_features = views["features"].code.n_features

        def encode(self, frames):
            return np.repeat(frames[:, :1, 0].astype(np.float32) / 500, self.n_features, axis=1)

    n = 1500
    frames = rng.integers(0, 256, (n, 2, 2), np.uint8)
    rewards = (frames[:, 0, 0] > 128).astype(np.float32)
    features = Planted().encode(frames)
    view = OnFeatures(Planted(), Scaling.fit(features), (64, 64))
    names = ("NOOP", "FIRE", "RIGHT", "LEFT")
    sure = random_head(view)
    sure.weights[-1] *= 3
    clone = Clone(Planted(), sure, names)
    actions = np.where(rng.random(n) < 0.02, rng.integers(0, 4, n), clone.head.predict(features)).astype(np.uint8)
    ends = np.arange(n)  # every step is a game: the return is the reward
    played = Buffer(frames, np.zeros((n, 128), np.uint8), actions, actions, rewards, ends)
    head = rl_dqn.calibrated_head(view, clone, played, names, 0, gamma=0.9, temperature=0.02, cut=10, epochs=100)
    values, logits = head.logits(features), clone.head.logits(features)
    assert np.corrcoef(values.max(axis=1), rewards)[0, 1] > 0.85 and abs(values.max(axis=1).mean() - 0.5) < 0.1
    assert (values.argmax(axis=1) == logits.argmax(axis=1)).mean() > 0.75


def test_damaged_and_foreign_checkpoints_are_refused(views, tmp_path):
    path = tmp_path / "x.pt"
    for kind in RECIPES:
        learner = maker(views["features"], kind)()
        rl_training.save(learner, path, rl_training.Progress([], [1.0], [{}]))
        rl_training.load(learner, path)
    replay = tmp_path / "x_1_replay.npz"
    replay.write_bytes(replay.read_bytes()[:50])
    with pytest.raises(ValueError, match="delete it"):
        rl_training.load(learner, path)
    path.write_bytes(path.read_bytes()[:-200])
    with pytest.raises(ValueError, match="delete it"):
        rl_training.load(learner, path)
    torch.save({"kind": "something else"}, path)
    with pytest.raises(ValueError, match="delete it"):
        rl_training.load(learner, path)


def test_exploring_replaces_the_given_share_of_actions():
    class Always:
        def start(self, rng, action_names):
            pass

        def act(self, frame, ram):
            return 3

    for epsilon in (0.0, 0.3, 1.0):
        policy = Exploring(Always(), epsilon, ("B", "C"))
        policy.start(np.random.default_rng(0), ("A", "B", "C", "D"))
        acts = np.array([policy.act(None, None) for _ in range(4000)])
        assert abs((acts != 3).mean() - epsilon) < 0.03 and set(acts) <= {1, 2, 3}
    with pytest.raises(ValueError, match="epsilon must lie"):
        Exploring(Always(), 1.5)


def test_curves_and_dips():
    episodes = [(10, 1.0, 5), (20, 3.0, 5), (99, -1.0, 5)]
    assert rl_training.curve(episodes, 100, 4) == [2.0, None, None, -1.0]
    curves = np.array([[2, np.nan, np.nan, -1, 0, np.nan], [4.0, 2, 1, 1, 9, 9]])
    assert rl_cells.lowest(curves, 3).tolist() == [-1.0, 1.0]
    parts = rl_cells.coarser(curves, 3)
    assert parts[1].tolist() == [3.0, 1.0, 9.0] and parts[0].tolist() == [2.0, -1.0, 0.0]
    assert np.isnan(rl_cells.coarser(np.array([[np.nan, np.nan, 1.0, 2]]), 2)).tolist() == [[True, False]]
    with pytest.raises(ValueError, match="no training game"):
        rl_cells.lowest(np.full((1, 6), np.nan), 3)
    found = rl_cells.between(np.array([[1.0, 2, 3, np.nan], [np.nan, 5, np.nan, 7]]), 100, 25, 75)
    assert found.tolist() == [2.5, 5.0]
    assert np.isnan(rl_cells.between(np.full((1, 4), np.nan), 100, 0, 100)).all()
