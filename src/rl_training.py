"""Reinforcement learning on a frozen code, or on frames: Stable-Baselines3 in segments that resume exactly.

A run is cut into segments. A segment begins with freshly seeded games and a checkpoint (weights, optimiser, counters,
replay), and ends with the next one; nothing else is carried over. So a run that was killed goes on from its last
checkpoint with the very curve that it would have had. Games under way at a segment's end are dropped, which a segment
of 250,000 steps does to 16 games.
"""

from __future__ import annotations

import io
import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import torch
from stable_baselines3.common.base_class import BaseAlgorithm
from stable_baselines3.common.callbacks import BaseCallback
from stable_baselines3.common.logger import Logger, configure
from stable_baselines3.common.torch_layers import BaseFeaturesExtractor
from torch import nn
from tqdm import tqdm

import cloning
import convnet
import heads
import resu_files
import workers
from atari_env import AtariVectorEnv, with_actions
from atari_play import Buffer, Policy
from cloning import Clone
from convnet import ConvNet, ConvPolicy
from dense_head import DenseHead
from heads import Scaling
from resu_controls import RawPixels
from resu_conv import ReSUEncoder
from resu_gym import EncodedVectorEnv
from resu_online import Code
from resu_sb3 import SB3VecEnv

CHECKPOINT = "reinforcement-checkpoint-5"
LONGEST = 4.0  # root mean square of a frame's standardised features, at most
REPLAY = ("observations", "next_observations", "actions", "rewards", "dones", "timeouts")


class _Perceptron(BaseFeaturesExtractor):
    """Features (B, D) -> (B, hidden[-1]): about fixed means and scales, then through dense layers, all rectified.

    Means and scales are those of the frames that the code was fitted on. What is longer than LONGEST sqrt(D) is
    shortened to that: the first frames of one Pong game in thirty have another background, are some 200 times as long
    as the others, and would rule the loss of the values.
    """

    mean: torch.Tensor
    factor: torch.Tensor

    def __init__(self, observation_space: Any, mean: np.ndarray, factor: np.ndarray, hidden: tuple[int, ...]) -> None:
        super().__init__(observation_space, hidden[-1])
        self.trunk = nn.Sequential(heads.perceptron((len(mean), *hidden)), nn.ReLU())
        self.register_buffer("mean", torch.from_numpy(mean))
        self.register_buffer("factor", torch.from_numpy(factor))

    def standardised(self, x: torch.Tensor) -> torch.Tensor:
        """(x - mean) * factor, shortened where it is too long."""
        found = (x - self.mean) * self.factor
        longest = LONGEST * found.shape[1] ** 0.5
        return found * (longest / torch.linalg.vector_norm(found, dim=1, keepdim=True)).clamp(max=1)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """What the heads of the learner see."""
        return self.trunk(self.standardised(x))


class _Convolutions(BaseFeaturesExtractor):
    """Flat stacks (B, 4 H W) of grey values 0 to 255 -> (B, 512): the DQN network without its last layer."""

    mean: torch.Tensor

    def __init__(self, observation_space: Any, mean: np.ndarray) -> None:
        super().__init__(observation_space, convnet.N_TRUNK)
        self.trunk = ConvNet(1).trunk
        self.register_buffer("mean", torch.from_numpy(mean))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Centred by pixel, then convolved; in bfloat16 while training, as convnet.ConvNet."""
        stacks = (x.view(len(x), convnet.N_FRAMES, *self.mean.shape) / 255 - self.mean).contiguous(
            memory_format=torch.channels_last
        )
        with torch.autocast("cpu", dtype=torch.bfloat16, enabled=self.training):
            return self.trunk(stacks).float()


class View(Protocol):
    """What a learner sees of the game, and what its networks begin with.

    code       frames to observations
    extractor  options of a Stable-Baselines3 policy: the trunk, trained, one for all its heads; the optimiser
    """

    @property
    def code(self) -> Code: ...

    @property
    def extractor(self) -> dict[str, Any]: ...

    def policy(self, layers: Sequence[nn.Linear], extractor: nn.Module, names: tuple[str, ...]) -> Policy:
        """What a trained network does in a game: the action of the largest output.

        layers   its affine layers up to that output, first to last          extractor   its trunk
        """


@dataclass(frozen=True)
class OnFeatures:
    """A view through a frozen encoder: standardised features, then dense layers, which are trained.

    At play nothing is shortened (see `_Perceptron`): the layers are folded into the features' own units.
    """

    code: ReSUEncoder
    scaling: Scaling
    hidden: tuple[int, ...] = (256, 256)

    @classmethod
    def fit(cls, buffer: Buffer, **encoder_options: Any) -> OnFeatures:
        """Encoder and scaling from the frames of a buffer; one scale for all features.

        A feature's own deviation would blow up what hardly changes in these frames but does in better play, such as the
        digits of a high score.
        """
        return cls.through(ReSUEncoder(**encoder_options).fit(buffer.episode_frames()), buffer)

    @classmethod
    def through(cls, encoder: ReSUEncoder, buffer: Buffer) -> OnFeatures:
        """A fitted encoder, and its scaling from the frames of a buffer."""
        return cls(encoder, Scaling.fit(cloning.encode_buffer(encoder, buffer), uniform=True))

    @property
    def extractor(self) -> dict[str, Any]:
        """See `View`."""
        return {
            "features_extractor_class": _Perceptron,
            "features_extractor_kwargs": {**vars(self.scaling), "hidden": self.hidden},
        }

    def head(self, layers: Sequence[nn.Linear]) -> DenseHead:
        """Dense layers as a head on the code's own features."""
        weights = [layer.weight.detach().numpy().copy() for layer in layers]
        biases = [layer.bias.detach().numpy().copy() for layer in layers]
        weights[0], biases[0] = self.scaling.fold(weights[0], biases[0])
        return DenseHead(weights, biases)

    @torch.no_grad()
    def set_layers(self, layers: Sequence[nn.Linear], head: DenseHead) -> None:
        """Give dense layers the weights of a head on the code's own features: the inverse of `head`.

        Raises   ValueError if the head has layers of other sizes.
        """
        if [tuple(layer.weight.shape) for layer in layers] != [weight.shape for weight in head.weights]:
            raise ValueError(
                "the head's layers are not those of the learner: equal hidden layers and actions are needed"
            )
        for i, layer in enumerate(layers):
            weight, bias = head.weights[i], head.biases[i]
            if i == 0:  # undo the folding of `Scaling.fold`
                bias, weight = bias + weight @ self.scaling.mean, weight / self.scaling.factor
            layer.weight.copy_(torch.from_numpy(np.ascontiguousarray(weight, np.float32)))
            layer.bias.copy_(torch.from_numpy(np.ascontiguousarray(bias, np.float32)))

    def policy(self, layers: Sequence[nn.Linear], extractor: nn.Module, names: tuple[str, ...]) -> Clone:
        """See `View`."""
        return Clone(self.code, self.head(layers), names)


@dataclass(frozen=True)
class OnFrames:
    """The usual view: the newest four frames, through the DQN network, which is trained."""

    code: RawPixels
    mean: np.ndarray  # (H, W) float32 in [0, 1]: of the pixels, as for the clones of convnet

    @classmethod
    def fit(cls, buffer: Buffer) -> OnFrames:
        """Pixel means from the frames of a buffer."""
        net = convnet.new(1, 0)
        net.centre(buffer.frames)
        return cls(RawPixels(convnet.N_FRAMES), net.mean.numpy().copy())

    @property
    def extractor(self) -> dict[str, Any]:
        """See `View`. With millions of weights, Adam in one pass over them is worth it."""
        return {
            "features_extractor_class": _Convolutions,
            "features_extractor_kwargs": {"mean": self.mean},
            "optimizer_kwargs": {"fused": True},
        }

    def policy(self, layers: Sequence[nn.Linear], extractor: nn.Module, names: tuple[str, ...]) -> ConvPolicy:
        """See `View`."""
        assert isinstance(extractor, _Convolutions)
        net = ConvNet(len(names))
        net.trunk.load_state_dict(extractor.trunk.state_dict())
        net.last.load_state_dict(layers[-1].state_dict())
        net.mean.copy_(torch.from_numpy(self.mean))
        return ConvPolicy(net, names)


def on_features(view: View) -> OnFeatures:
    """The view itself. Raises ValueError if it has no features, on which alone a learner can begin as a clone."""
    if not isinstance(view, OnFeatures):
        raise ValueError("only a learner on features can begin as a clone: choose the view through the encoder")
    return view


def environments(
    game: str, view: View, n_envs: int, actions: tuple[str, ...] = (), clip_rewards: bool = True, **env_options: Any
) -> SB3VecEnv:
    """n_envs games seen through a view, in one thread; the learner is given the signs of the rewards.

    actions   names of those that the learner has; by default the game's minimal set
    """
    games = AtariVectorEnv(game, n_envs, 1, **env_options)
    return SB3VecEnv(EncodedVectorEnv(with_actions(games, actions) if actions else games, view.code), clip_rewards)


class Segmented(BaseAlgorithm):
    """Mixed into a learner of Stable-Baselines3: schedules run over the whole run, not over one segment."""

    total_steps = 1
    counters: tuple[str, ...] = ("num_timesteps", "_n_updates")  # attributes that a checkpoint keeps

    def _update_current_progress_remaining(self, num_timesteps: int, total_timesteps: int) -> None:
        self._current_progress_remaining = max(1.0 - num_timesteps / self.total_steps, 0.0)


class _Episodes(BaseCallback):
    """Notes (step, return, length) of every game that ends, and shows progress."""

    def __init__(self, description: str, start: int, total: int) -> None:
        super().__init__()
        self.ended: list[tuple[int, float, int]] = []
        bar: Iterable[Any] = workers.progress([], description, total, "step", start)
        assert isinstance(bar, tqdm)
        self._bar = bar

    def _on_step(self) -> bool:
        for info in self.locals["infos"]:
            if "episode" in info:
                self.ended.append((self.num_timesteps, info["episode"]["r"], info["episode"]["l"]))
        self._bar.update(self.training_env.num_envs)
        if self.ended and self.n_calls % 64 == 0:
            recent = np.mean([r for _, r, _ in self.ended[-20:]])
            self._bar.set_postfix_str(f"return {recent:.1f}", refresh=False)
        return True

    def _on_training_end(self) -> None:
        self._bar.close()


def _replay_path(path: Path, segment: int) -> Path:
    return path.with_name(f"{path.stem}_{segment}_replay.npz")


@dataclass
class Progress:
    """What a run has come to beside the learner's own state.

    episodes   (step, return, length) of every game that ended       notes   what after_segment returned, by segment
    seconds    of training, by the end of each segment
    """

    episodes: list[tuple[int, float, int]] = field(default_factory=list)
    seconds: list[float] = field(default_factory=list)
    notes: list[Any] = field(default_factory=list)

    @property
    def segments(self) -> int:
        """How many are finished."""
        return len(self.seconds)


def save(learner: Segmented, path: Path, progress: Progress) -> None:
    """Write a checkpoint, whole or not at all. The replay memory of an unfinished run lies beside it."""
    finished = learner.num_timesteps >= learner.total_steps
    replay, replay_path = getattr(learner, "replay_buffer", None), _replay_path(path, progress.segments)
    if replay is not None and not finished:
        filled = slice(replay.size())
        arrays = {name: getattr(replay, name)[filled] for name in REPLAY}
        resu_files.write_npz(replay_path, pos=replay.pos, full=replay.full, **arrays)
    state = {
        "kind": CHECKPOINT,
        "finished": finished,
        "counters": {name: getattr(learner, name) for name in learner.counters},
        "policy": learner.policy.state_dict(),
        "optimizer": learner.policy.optimizer.state_dict(),
        "progress": vars(progress),
    }
    file = io.BytesIO()
    torch.save(state, file)
    resu_files.write_atomically(path, lambda out: out.write(file.getvalue()))
    for old in path.parent.glob(f"{path.stem}_*_replay.npz"):
        if finished or old != replay_path:
            old.unlink()


def load(learner: Segmented, path: Path) -> Progress:
    """Put a checkpoint into a learner; returns how far the run has come.

    Raises   ValueError if the file is damaged or no checkpoint of this learner.
    """
    try:
        state = torch.load(path, weights_only=True)
        if state["kind"] != CHECKPOINT:
            raise ValueError(f"kind {state['kind']}")
        progress = Progress(**state["progress"])
        learner.policy.load_state_dict(state["policy"])
        learner.policy.optimizer.load_state_dict(state["optimizer"])
        for name in learner.counters:
            setattr(learner, name, state["counters"][name])
        replay = getattr(learner, "replay_buffer", None)
        if replay is not None and not state["finished"]:
            stored = resu_files.read_npz(_replay_path(path, progress.segments), (*REPLAY, "pos", "full"))
            for name in REPLAY:
                getattr(replay, name)[: len(stored[name])] = stored[name]
            replay.pos, replay.full = int(stored["pos"]), bool(stored["full"])
    except (RuntimeError, KeyError, TypeError, ValueError, EOFError, OSError) as error:
        raise ValueError(f"{path} is not a checkpoint of this run ({error}): delete it to begin again") from error
    return progress


def _logger(folder: Path | None) -> Logger:
    """Into TensorBoard, or nowhere: the library's own would leave a folder among the system's temporary ones."""
    if folder is None:
        return Logger(None, [])
    try:
        return configure(str(folder), ["tensorboard"])
    except AssertionError as error:
        raise ValueError("--tensorboard needs its package: run .venv/bin/python -m pip install tensorboard") from error


def train(
    make_learner: Callable[[], Segmented],
    segment_steps: int,
    seed: int,
    path: Path,
    description: str,
    after_segment: Callable[[Segmented, int], Any] = lambda learner, segment: None,
    log: Path | None = None,
) -> tuple[Segmented, Progress]:
    """Train to the learner's total_steps, from the checkpoint at `path` if there is one; segments end with new ones.

    make_learner   makes the untrained learner, environments included
    after_segment  is called with the learner and the number of finished segments, before the checkpoint, which keeps
                   what it returns (plain numbers, lists, dicts)
    log            folder for TensorBoard: losses, returns of training games; changes nothing in what is learned
    Raises         ValueError if the checkpoint is not of this run, or if there is to be a log and no TensorBoard.
    """
    learner = make_learner()
    learner.set_logger(_logger(log))
    steps = learner.total_steps
    progress = load(learner, path) if path.is_file() else Progress()
    while progress.segments * segment_steps < steps:
        started = time.perf_counter()
        words = np.random.SeedSequence((seed, progress.segments)).generate_state(2)
        learner.set_random_seed(int(words[0] >> 1))
        assert learner.env is not None
        learner.env.seed(int(words[1] >> 2))
        learner._last_obs = None  # the games begin anew
        goal = min((progress.segments + 1) * segment_steps, steps)
        noted = _Episodes(description, learner.num_timesteps, steps)
        left = max(goal - learner.num_timesteps, 0)
        learner.learn(left, noted, reset_num_timesteps=False)
        progress.episodes += noted.ended
        progress.seconds.append(sum(progress.seconds[-1:]) + time.perf_counter() - started)
        progress.notes.append(after_segment(learner, progress.segments))
        save(learner, path, progress)
    return learner, progress


def curve(episodes: Sequence[tuple[int, float, int]], steps: int, points: int) -> list[float | None]:
    """Mean return of the training games that ended within each of `points` equal parts of the steps; None for none."""
    ended, returns, _ = np.array(episodes, float).reshape(-1, 3).T
    bins = np.digitize(ended, np.linspace(0, steps, points + 1)[1:-1])
    return [float(returns[bins == i].mean()) if (bins == i).any() else None for i in range(points)]
