"""Reinforcement learning on a frozen code, or on frames: PPO of Stable-Baselines3 in segments that resume exactly.

A run is cut into segments. A segment begins with freshly seeded games and a checkpoint (weights, optimiser, counters),
and ends with the next one; nothing else is carried over. So a run that was killed goes on from its last checkpoint with
the very curve that it would have had. Games under way at a segment's end are dropped, which a segment of 250,000 steps
does to 16 games.
"""

from __future__ import annotations

import io
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from stable_baselines3 import PPO
from stable_baselines3.common.callbacks import BaseCallback
from stable_baselines3.common.torch_layers import BaseFeaturesExtractor
from torch import nn

import array_files
import stage_io
from atari_env import AtariVectorEnv, EncodedVectorEnv, OnlineEncoder
from heads import DenseHead, Scaling
from sb3_bridge import SB3VecEnv

CHECKPOINT = "ppo-checkpoint-1"


@dataclass(frozen=True)
class Recipe:
    """PPO's options (Schulman et al. 2017), tuned for Pong on few cores: small batches, many of them.

    steps, segment   agent steps in all and per checkpoint
    n_envs, n_steps  games side by side, steps of each per rollout; batch, epochs  of each update
    learning_rate    falls to 0 along a line; clip, entropy, gamma, gae_lambda  as in the paper; hidden  two layers
    """

    steps: int = 3_000_000
    segment: int = 250_000
    n_envs: int = 16
    n_steps: int = 128
    batch: int = 256
    epochs: int = 3
    learning_rate: float = 5e-4
    clip: float = 0.2
    entropy: float = 0.01
    gamma: float = 0.99
    gae_lambda: float = 0.95
    hidden: int = 256


class Standardised(BaseFeaturesExtractor):
    """Features (B, D) about fixed means and scales: those of the frames that the code was fitted on."""

    def __init__(self, observation_space: Any, mean: np.ndarray, factor: np.ndarray) -> None:
        super().__init__(observation_space, len(mean))
        self.register_buffer("mean", torch.from_numpy(mean))
        self.register_buffer("factor", torch.from_numpy(factor))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """(x - mean) * factor."""
        return (x - self.mean) * self.factor


class _SegmentedPPO(PPO):
    """PPO whose schedules run over the whole run, not over one segment."""

    total_steps = 1

    def _update_current_progress_remaining(self, num_timesteps: int, total_timesteps: int) -> None:
        self._current_progress_remaining = max(1.0 - num_timesteps / self.total_steps, 0.0)


class _Episodes(BaseCallback):
    """Notes (step, return, length) of every game that ends, and shows progress."""

    def __init__(self, description: str, start: int, total: int) -> None:
        super().__init__()
        self.ended: list[tuple[int, float, int]] = []
        self._bar = stage_io.progress([], description, total, "step")
        self._bar.update(start)  # type: ignore[attr-defined]

    def _on_step(self) -> bool:
        for info in self.locals["infos"]:
            if "episode" in info:
                self.ended.append((self.num_timesteps, info["episode"]["r"], info["episode"]["l"]))
        self._bar.update(self.training_env.num_envs)  # type: ignore[attr-defined]
        if self.ended and self.n_calls % 64 == 0:
            recent = np.mean([r for _, r, _ in self.ended[-20:]])
            self._bar.set_postfix_str(f"return {recent:.1f}", refresh=False)  # type: ignore[attr-defined]
        return True

    def _on_training_end(self) -> None:
        self._bar.close()  # type: ignore[attr-defined]


def environments(
    game: str, encoder: OnlineEncoder, recipe: Recipe, clip_rewards: bool = True, **env_options: Any
) -> SB3VecEnv:
    """recipe.n_envs games seen through an encoder; the learner is given the signs of the rewards."""
    return SB3VecEnv(EncodedVectorEnv(AtariVectorEnv(game, recipe.n_envs, **env_options), encoder), clip_rewards)


def new_learner(env: SB3VecEnv, recipe: Recipe, scaling: Scaling, seed: int, start: DenseHead | None = None) -> PPO:
    """PPO with two hidden layers for policy and value each, on standardised features.

    start   a head on the same features whose layers the policy begins with (a clone); it must have as many outputs as
            the game has actions
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
        policy_kwargs={
            "net_arch": [recipe.hidden, recipe.hidden],
            "activation_fn": nn.ReLU,
            "features_extractor_class": Standardised,
            "features_extractor_kwargs": {"mean": scaling.mean, "factor": scaling.factor},
        },
        seed=seed,
        device="cpu",
    )
    learner.total_steps = recipe.steps
    if start is not None:
        _begin_with(learner, start, scaling)
    return learner


def _layers(learner: PPO) -> list[nn.Linear]:
    """The policy's affine layers, first to last."""
    hidden = [layer for layer in learner.policy.mlp_extractor.policy_net if isinstance(layer, nn.Linear)]
    return [*hidden, learner.policy.action_net]


@torch.no_grad()
def _begin_with(learner: PPO, head: DenseHead, scaling: Scaling) -> None:
    layers = _layers(learner)
    if [tuple(layer.weight.shape) for layer in layers] != [weight.shape for weight in head.weights]:
        raise ValueError("the head's layers are not those of the policy: equal hidden layers and actions are needed")
    for i, layer in enumerate(layers):
        weight, bias = head.weights[i], head.biases[i]
        if i == 0:  # undo the folding of `Scaling.fold`
            bias, weight = bias + weight @ scaling.mean, weight / scaling.factor
        layer.weight.copy_(torch.from_numpy(np.ascontiguousarray(weight, np.float32)))
        layer.bias.copy_(torch.from_numpy(np.ascontiguousarray(bias, np.float32)))


def policy_head(learner: PPO, scaling: Scaling) -> DenseHead:
    """The policy as a head on the code's own features: its largest output is the likeliest action."""
    layers = _layers(learner)
    weights = [layer.weight.detach().numpy().copy() for layer in layers]
    biases = [layer.bias.detach().numpy().copy() for layer in layers]
    weights[0], biases[0] = scaling.fold(weights[0], biases[0])
    return DenseHead(weights, biases)


def save(learner: PPO, path: Path, segment: int, episodes: list[tuple[int, float, int]], seconds: float) -> None:
    """Write a checkpoint, whole or not at all."""
    file = io.BytesIO()
    state = {
        "kind": CHECKPOINT,
        "segment": segment,
        "num_timesteps": learner.num_timesteps,
        "n_updates": learner._n_updates,
        "policy": learner.policy.state_dict(),
        "optimizer": learner.policy.optimizer.state_dict(),
        "episodes": episodes,
        "seconds": seconds,
    }
    torch.save(state, file)
    array_files.write_atomically(path, lambda out: out.write(file.getvalue()) and None)


def load(learner: PPO, path: Path) -> dict[str, Any]:
    """Put a checkpoint into a learner; returns what else is in it (segment, episodes, seconds).

    Raises   ValueError if the file is damaged or no checkpoint of this learner.
    """
    try:
        state = torch.load(path, weights_only=True)
        if state["kind"] != CHECKPOINT:
            raise ValueError(f"kind {state['kind']}")
        learner.policy.load_state_dict(state["policy"])
        learner.policy.optimizer.load_state_dict(state["optimizer"])
        learner.num_timesteps, learner._n_updates = state["num_timesteps"], state["n_updates"]
    except (RuntimeError, KeyError, ValueError, EOFError, OSError) as error:
        raise ValueError(f"{path} is not a checkpoint of this run ({error}): delete it to begin again") from error
    return {name: state[name] for name in ("segment", "episodes", "seconds")}


def train(
    make_learner: Callable[[], PPO],
    recipe: Recipe,
    seed: int,
    path: Path,
    description: str,
    after_segment: Callable[[PPO, int], None] = lambda learner, segment: None,
) -> tuple[PPO, list[tuple[int, float, int]], float]:
    """Train to recipe.steps, from the checkpoint at `path` if there is one; each segment ends with a new one.

    make_learner   makes the untrained learner, environments included
    after_segment  is called with the learner and the number of finished segments
    Returns        the learner; (step, return, length) of all games that ended; seconds of training in all
    """
    learner = make_learner()
    done = load(learner, path) if path.is_file() else {"segment": 0, "episodes": [], "seconds": 0.0}
    segment, episodes, seconds = done["segment"], [tuple(e) for e in done["episodes"]], done["seconds"]
    n_segments = -(-recipe.steps // recipe.segment)
    while segment < n_segments:
        started = time.perf_counter()
        words = np.random.SeedSequence((seed, segment)).generate_state(2)
        learner.set_random_seed(int(words[0] >> 1))
        learner.env.seed(int(words[1] >> 2))  # type: ignore[union-attr]
        learner._last_obs = None  # the games begin anew
        goal = min((segment + 1) * recipe.segment, recipe.steps)
        noted = _Episodes(description, learner.num_timesteps, recipe.steps)
        learner.learn(max(goal - learner.num_timesteps, 0), noted, log_interval=None, reset_num_timesteps=False)
        segment += 1
        episodes += noted.ended
        seconds += time.perf_counter() - started
        save(learner, path, segment, episodes, seconds)
        after_segment(learner, segment)
    return learner, episodes, seconds


def key(recipe: Recipe) -> dict[str, Any]:
    """What names a cell or checkpoint of this recipe."""
    return asdict(recipe)
