"""PPO of Stable-Baselines3 on a view of the game, from nothing or from a clone."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from stable_baselines3 import PPO
from torch import nn

import heads
from atari_play import Policy
from dense_head import DenseHead
from resu_sb3 import SB3VecEnv
from rl_training import Segmented, View, on_features

NAME = "ppo"  # in the names of checkpoints


@dataclass(frozen=True)
class Recipe:
    """PPO's options (Schulman et al. 2017): CleanRL's for Pong, at twice its learning rate (PLAN.md, stage 7).

    steps, segment   agent steps in all and per checkpoint
    n_envs, n_steps  games side by side, steps of each per rollout; batch, epochs  of each update
    learning_rate    falls to 0 along a line; clip, entropy, gamma, gae_lambda  as in the paper
    critic_first     steps in which only the value is learned, for a policy that begins as a clone
    """

    steps: int = 5_000_000
    segment: int = 500_000
    n_envs: int = 16
    n_steps: int = 128
    batch: int = 256
    epochs: int = 3
    learning_rate: float = 5e-4
    clip: float = 0.2
    entropy: float = 0.01
    gamma: float = 0.99
    gae_lambda: float = 0.95
    critic_first: int = 0


class _SegmentedPPO(Segmented, PPO):
    critic_first = 0

    def train(self) -> None:
        """One update; at first of the critic alone."""
        learns = self.num_timesteps > self.critic_first
        for module in (self.policy.features_extractor, self.policy.action_net):
            module.requires_grad_(learns)
        super().train()


def new_learner(env: SB3VecEnv, recipe: Recipe, view: View, seed: int, start: DenseHead | None = None) -> _SegmentedPPO:
    """PPO: the view's trunk, and above it an affine layer for the policy and one for the value.

    start    a head on the view's features whose layers the policy begins with (a clone), one output per action
    Raises   ValueError if the head has layers of other sizes, or if the view has no features.
    """
    learner = _SegmentedPPO(
        "MlpPolicy",
        env,
        learning_rate=lambda remaining: recipe.learning_rate * remaining,
        n_steps=recipe.n_steps,
        batch_size=recipe.batch,
        n_epochs=recipe.epochs,
        gamma=recipe.gamma,
        gae_lambda=recipe.gae_lambda,
        clip_range=recipe.clip,
        ent_coef=recipe.entropy,
        policy_kwargs={"net_arch": [], **view.extractor},
        seed=seed,
        device="cpu",
    )
    learner.policy.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    learner.total_steps, learner.critic_first = recipe.steps, recipe.critic_first
    if start is not None:
        on_features(view).set_layers(layers(learner), start)
    return learner


def layers(learner: PPO) -> Sequence[nn.Linear]:
    """The policy's affine layers, first to last."""
    trunk, last = learner.policy.features_extractor, learner.policy.action_net
    assert isinstance(last, nn.Linear)
    return [*heads.linear_layers(trunk), last]


def policy(learner: PPO, view: View, names: tuple[str, ...]) -> Policy:
    """The learner's likeliest actions, as a policy for full games."""
    return view.policy(layers(learner), learner.policy.features_extractor, names)
