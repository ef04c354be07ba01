"""Learning in segments: a run that was killed goes on as if it had not been; policies and heads are one another."""

import itertools

import numpy as np
import pytest
import torch

import cloning
import reinforcement
from heads import DenseHead, Scaling
from reinforcement import Recipe
from resu_conv import ReSUEncoder
from rollouts import RandomPolicy, collect

RECIPE = Recipe(steps=300, segment=100, n_envs=2, n_steps=25, batch=25, epochs=2, hidden=8)


class KilledError(Exception):
    pass


@pytest.fixture(scope="module")
def code():
    buffer = collect(RandomPolicy(), 400, 60_000, "breakout", press_fire=True)
    encoder = ReSUEncoder(memory=4, grid=(6, 4)).fit(buffer.episode_frames())
    return encoder, Scaling.fit(cloning.encode_buffer(encoder, buffer))


def maker(code, seed=3, recipe=RECIPE, start=None):
    encoder, scaling = code

    def make():
        env = reinforcement.environments("breakout", encoder, recipe, press_fire=True, max_steps=40)
        return reinforcement.new_learner(env, recipe, scaling, seed, start)

    return make


def weights(learner):
    return torch.cat([p.detach().ravel() for p in learner.policy.parameters()])


def test_a_killed_run_goes_on_with_the_same_weights_and_games(code, tmp_path):
    whole, episodes, seconds = reinforcement.train(maker(code), RECIPE, 3, tmp_path / "whole.pt", "whole")
    assert whole.num_timesteps == 300 and len(episodes) >= 6 and seconds > 0

    def kill(learner, segment):
        raise KilledError

    for _ in range(2):  # after the first segment, and again after the second
        with pytest.raises(KilledError):
            reinforcement.train(maker(code), RECIPE, 3, tmp_path / "cut.pt", "cut", kill)
    cut, again, _ = reinforcement.train(maker(code), RECIPE, 3, tmp_path / "cut.pt", "cut")
    assert torch.equal(weights(cut), weights(whole)) and again == episodes
    other, _, _ = reinforcement.train(maker(code, 4), RECIPE, 4, tmp_path / "other.pt", "other")
    assert not torch.equal(weights(other), weights(whole))


def test_learning_changes_the_policy_and_the_rate_falls_over_the_whole_run(code, tmp_path):
    rates = []
    learner, _, _ = reinforcement.train(
        maker(code), RECIPE, 3, tmp_path / "a.pt", "a",
        lambda learner, segment: rates.append(learner.policy.optimizer.param_groups[0]["lr"]),
    )  # fmt: skip
    assert np.allclose(rates, [RECIPE.learning_rate * (1 - k / 3) for k in (1, 2, 3)])
    assert not torch.equal(weights(learner), weights(maker(code)()))


def test_a_policy_begins_as_the_head_that_it_is_given_and_comes_back_as_one(code):
    encoder, scaling = code
    rng = np.random.default_rng(0)
    sizes = (encoder.n_features, 8, 8, 4)
    head = DenseHead(
        [rng.normal(0, 0.3, (b, a)).astype(np.float32) for a, b in itertools.pairwise(sizes)],
        [rng.normal(0, 0.3, b).astype(np.float32) for b in sizes[1:]],
    )
    learner = maker(code, start=head)()
    x = np.abs(rng.normal(0, 1, (20, encoder.n_features))).astype(np.float32)
    with torch.no_grad():
        logits = learner.policy.get_distribution(torch.from_numpy(x)).distribution.logits.numpy()
    wanted = head.logits(x)
    wanted = wanted - np.log(np.exp(wanted).sum(axis=1, keepdims=True))
    np.testing.assert_allclose(logits, wanted, atol=2e-3)
    np.testing.assert_allclose(reinforcement.policy_head(learner, scaling).logits(x), head.logits(x), atol=2e-3)
    narrow = DenseHead([w[:, :5] if i else w[:5] for i, w in enumerate(head.weights)], head.biases)
    with pytest.raises(ValueError, match="layers"):
        maker(code, start=narrow)()


def test_damaged_and_foreign_checkpoints_are_refused(code, tmp_path):
    path = tmp_path / "x.pt"
    learner = maker(code)()
    reinforcement.save(learner, path, 1, [], 0.0)
    reinforcement.load(learner, path)
    path.write_bytes(path.read_bytes()[:-200])
    with pytest.raises(ValueError, match="delete it"):
        reinforcement.load(learner, path)
    torch.save({"kind": "something else"}, path)
    with pytest.raises(ValueError, match="delete it"):
        reinforcement.load(learner, path)
