"""DQN of Stable-Baselines3 on a view of the game; and starts from a clone, with what keeps them from collapsing.

A clone's logits are no action values: of another scale, and of no consistency from one step to the next. Three mends:
values fitted to the clone's own returns (`calibrated_head`), steps in which the clone plays and nothing is learned yet
(Recipe.watch), and a penalty for leaving the clone that fades away (Recipe.leash).
"""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from stable_baselines3 import DQN
from stable_baselines3.dqn.policies import QNetwork
from torch import nn
from torch.nn import functional

import cloning
import heads
from atari_play import Buffer, Policy
from cloning import Clone
from dense_head import DenseHead
from resu_sb3 import SB3VecEnv
from rl_training import OnFeatures, Segmented, View, on_features

NAME = "dqn"  # in the names of checkpoints


@dataclass(frozen=True)
class Recipe:
    """DQN's options (Mnih et al. 2015), as the tuned recipes of today's libraries have them for Atari.

    steps, segment   agent steps in all and per checkpoint
    n_envs           games side by side; replay  transitions kept; batch  transitions per update, one in `every` steps
    target_every     steps between copies to the target network
    explore          steps in which the share of random actions falls from `first_epsilon` to `epsilon`;
                     where the run is shorter, it ends in between
    watch            steps before learning: random ones, or the start's own if there is one
    leash            weight of the divergence from the start's actions, falling to 0 within leash_steps; temperature: of
                     the softmax by which values become probabilities
    """

    steps: int = 500_000
    segment: int = 100_000
    n_envs: int = 8
    replay: int = 100_000
    batch: int = 32
    every: int = 4
    learning_rate: float = 1e-4
    target_every: int = 1_000
    gamma: float = 0.99
    watch: int = 20_000
    explore: int = 250_000
    first_epsilon: float = 1.0
    epsilon: float = 0.01
    leash: float = 0.0
    leash_steps: int = 100_000
    temperature: float = 0.02


class _SegmentedDQN(Segmented, DQN):
    counters = (*Segmented.counters, "_n_calls", "exploration_rate")
    recipe = Recipe()
    teacher: nn.Module | None = None  # standardised features to logits of the start's actions
    begins_as_clone = False

    def _sample_action(self, learning_starts, action_noise=None, n_envs=1):
        """A clone plays by itself from the first step on."""
        return super()._sample_action(0 if self.begins_as_clone else learning_starts, action_noise, n_envs)

    def train(self, gradient_steps: int, batch_size: int = 100) -> None:
        """As DQN's, with the leash while there is one."""
        left = 1 - (self.num_timesteps - self.recipe.watch) / self.recipe.leash_steps
        if self.teacher is None or left <= 0:
            super().train(gradient_steps, batch_size)
            return
        assert self.replay_buffer is not None
        self.policy.set_training_mode(True)
        for _ in range(gradient_steps):
            seen = self.replay_buffer.sample(batch_size)
            with torch.no_grad():
                best = self.q_net_target(seen.next_observations).max(dim=1, keepdim=True).values
                wanted = seen.rewards + (1 - seen.dones) * self.gamma * best
                taught = functional.log_softmax(self.teacher(seen.observations), dim=1)
            values = self.q_net(seen.observations)
            loss = functional.smooth_l1_loss(values.gather(1, seen.actions.long()), wanted)
            own = functional.log_softmax(values / self.recipe.temperature, dim=1)
            divergence = functional.kl_div(own, taught, reduction="batchmean", log_target=True)
            self.policy.optimizer.zero_grad()
            (loss + self.recipe.leash * left * divergence).backward()
            nn.utils.clip_grad_norm_(self.policy.parameters(), self.max_grad_norm)
            self.policy.optimizer.step()
        self._n_updates += gradient_steps


def new_learner(
    env: SB3VecEnv,
    recipe: Recipe,
    view: View,
    seed: int,
    start: DenseHead | None = None,
    teacher: DenseHead | None = None,
) -> _SegmentedDQN:
    """DQN: the view's trunk and one affine layer above it.

    start     a head on the view's features with which the values begin, one output per action
    teacher   a head whose actions the leash holds to
    Raises    ValueError if a head has layers of other sizes, or if the view has no features.
    """
    learner = _SegmentedDQN(
        "MlpPolicy",
        env,
        learning_rate=recipe.learning_rate,
        buffer_size=recipe.replay,
        learning_starts=recipe.watch,
        batch_size=recipe.batch,
        gamma=recipe.gamma,
        train_freq=max(recipe.every // recipe.n_envs, 1),
        gradient_steps=max(recipe.n_envs // recipe.every, 1),
        target_update_interval=recipe.target_every,
        exploration_initial_eps=recipe.first_epsilon,
        exploration_final_eps=recipe.epsilon,
        exploration_fraction=recipe.explore / recipe.steps,
        policy_kwargs={"net_arch": [], **view.extractor},
        seed=seed,
        device="cpu",
    )
    learner.policy.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    learner.total_steps, learner.recipe = recipe.steps, recipe
    learner.exploration_rate = recipe.first_epsilon
    if start is not None:
        on_features(view).set_layers(layers(learner.q_net), start)
        on_features(view).set_layers(layers(learner.q_net_target), start)
        learner.begins_as_clone = True
    if teacher is not None and on_features(view) and recipe.leash > 0:
        learner.teacher = _frozen(teacher)
    return learner


def layers(network: QNetwork) -> Sequence[nn.Linear]:
    """A value network's affine layers, first to last."""
    return heads.linear_layers(network)


def policy(learner: DQN, view: View, names: tuple[str, ...]) -> Policy:
    """The actions of largest value, as a policy for full games."""
    return view.policy(layers(learner.q_net), learner.q_net.features_extractor, names)


def _frozen(head: DenseHead) -> nn.Module:
    """A head as a network on the code's own features, without gradients."""
    model = heads.perceptron(head.sizes)
    with torch.no_grad():
        for part, weight, bias in zip(heads.linear_layers(model), head.weights, head.biases, strict=True):
            part.weight.copy_(torch.from_numpy(weight))
            part.bias.copy_(torch.from_numpy(bias))
    return model.requires_grad_(False)


def returns_to_go(rewards: np.ndarray, starts: np.ndarray, gamma: float) -> np.ndarray:
    """(T,) discounted sums of the rewards' signs from each step to its game's end.

    rewards (T,)      starts (n,) where games begin, as in `atari_play.Buffer`
    """
    found = np.empty(len(rewards))
    for begin, end in itertools.pairwise([*starts.tolist(), len(rewards)]):
        total = 0.0
        for t in range(end - 1, begin - 1, -1):
            total = float(np.sign(rewards[t])) + gamma * total
            found[t] = total
    return found


def calibrated_head(
    view: OnFeatures, clone: Clone, played: Buffer, action_names: tuple[str, ...], seed: int, *,
    gamma: float, temperature: float, epochs: int = 10, cut: int = 500,
) -> DenseHead:  # fmt: skip
    """Action values of a clone: its Monte-Carlo returns, and around them its own preferences.

    Where the clone's own choice b was taken in state s and the return G followed, the target of action a is
    G + temperature (log pi(a|s) - log pi(b|s)), but no less than G - 1: values whose softmax at this temperature is the
    clone. Steps in which something else was done are left out.

    view     of the clone's own code
    played   games of the clone, with some random actions; the last `cut` steps, whose returns are not complete, are
             left out
    Returns  a head of the clone's own sizes that begins with its layers and is fitted by least squares
    """
    features = cloning.encode_buffer(clone.code, played)
    logits = clone.head.logits(features)
    taken = cloning.class_indices(played.actions, action_names, clone.class_names)
    kept = np.flatnonzero((taken == logits.argmax(axis=1)) & (np.arange(len(played)) < max(len(played) - cut, 1)))
    features, logits = features[kept], logits[kept]
    preference = np.maximum(temperature * (logits - logits.max(axis=1, keepdims=True)), -1.0)
    wanted = returns_to_go(played.rewards, played.starts, gamma)[kept, None] + preference
    mean, deviation = wanted.mean(), max(wanted.std(), 1e-6)
    with heads.seeded(seed):
        model = heads.perceptron(clone.head.sizes)
    view.set_layers(heads.linear_layers(model), clone.head)
    features -= view.scaling.mean
    features *= view.scaling.factor
    targets = torch.from_numpy(((wanted - mean) / deviation).astype(np.float32))
    optimiser = torch.optim.Adam(model.parameters(), 3e-4)
    rng = np.random.default_rng(seed)
    for _ in range(epochs):
        order = rng.permutation(len(features))
        for chosen in np.array_split(order, max(len(order) // heads.BATCH, 1)):
            loss = functional.mse_loss(model(torch.from_numpy(features[chosen])), targets[chosen])
            optimiser.zero_grad()
            loss.backward()
            optimiser.step()
    last = heads.linear_layers(model)[-1]
    with torch.no_grad():
        last.weight.mul_(deviation)
        last.bias.mul_(deviation).add_(mean)
    return view.head(heads.linear_layers(model))
