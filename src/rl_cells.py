"""One replication of reinforcement learning: view, learning in segments, evaluation of checkpoints in full games."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from types import ModuleType
from typing import Any, Literal

import numpy as np

import atari_play
import rl_training
from atari_env import MAX_STEPS, AtariEnv
from atari_play import Exploring, Policy
from players import TASKS
from rl_training import OnFeatures, OnFrames, View

POINTS = 60  # of a learning curve


@dataclass(frozen=True)
class Setting:
    """What is learned and how it is looked at; stages add their algorithm's recipe.

    seed            of random play, learning and games
    game, view      "features": a layer-1 code fitted on random play; "frames": the DQN network
    n_frames        of random play, for the code or the pixel means  [agent steps]
    memory, grid    of the code
    games, epsilon  evaluation games per seed and their share of random actions
    max_steps       games are cut here  [agent steps]
    actions         names of those that the learner has; by default the game's minimal set
    """

    seed: int
    game: str
    view: Literal["features", "frames"]
    n_frames: int
    memory: int
    grid: tuple[int, int]
    games: int
    epsilon: float
    max_steps: int
    actions: tuple[str, ...] = ()

    @property
    def env(self) -> dict[str, Any]:
        """Options of `AtariEnv`."""
        limit = {} if self.max_steps == MAX_STEPS else {"max_steps": self.max_steps}
        return {**TASKS[self.game].env, **limit}

    @property
    def names(self) -> tuple[str, ...]:
        """The learner's actions."""
        return self.actions or AtariEnv(self.game, **self.env).action_names

    def look(self, folder: Path) -> View:
        """The view, fitted on this seed's random play in that folder."""
        buffer = atari_play.random_play(folder, self.game, self.n_frames, self.seed, **TASKS[self.game].env)
        if self.view == "frames":
            return OnFrames.fit(buffer)
        return OnFeatures.fit(buffer, memory=self.memory, n_units=4, grid=self.grid)

    def evaluate(self, policy: Policy, description: str) -> list[float]:
        """Scores of this seed's evaluation games."""
        if self.epsilon:
            policy = Exploring(policy, self.epsilon, self.names)
        seeds = (self.seed, atari_play.EVALUATION)
        return [game.score for game in atari_play.play(policy, self.games, seeds, self.game, description, **self.env)]


@dataclass
class Learned:
    """One replication: evaluation scores by step count, learning curve, minutes at the end of each segment."""

    scores: dict[str, list[float]]
    curve: list[float | None]
    minutes: list[float]
    training_games: int
    policy: Policy = field(repr=False)

    def as_result(self) -> dict[str, Any]:
        """For a cell's file."""
        return {name: value for name, value in vars(self).items() if name != "policy"}


def learn(
    folder: Path,
    setting: Setting,
    algorithm: ModuleType,
    recipe: Any,
    *,
    view: View | None = None,
    evaluate_at: Sequence[int] = (),
    name: str = "",
    log: bool = False,
    **beginning: Any,
) -> Learned:
    """Learn from this seed's checkpoint, or from nothing, and evaluate at the end of some segments and of the run.

    folder      of buffers; checkpoints lie in learning/ there
    algorithm   rl_ppo or rl_dqn: NAME, new_learner(env, recipe, view, seed, **beginning), policy(learner, view, names)
    recipe      its options, with steps, segment and n_envs
    evaluate_at steps, multiples of recipe.segment; the whole run's are added
    name        sets runs apart that differ in their beginning
    log         for TensorBoard, into learning/tensorboard/
    """
    view = setting.look(folder) if view is None else view
    label = f"{algorithm.NAME} {setting.game} {setting.view} {name}".strip() + f", seed {setting.seed}"
    key = hashlib.sha256(repr((asdict(recipe), asdict(setting), name)).encode()).hexdigest()[:16]
    path = folder / "learning" / f"{algorithm.NAME}_{setting.game}_{key}.pt"
    wanted = {*evaluate_at, recipe.steps}

    def make_learner() -> rl_training.Segmented:
        env = rl_training.environments(setting.game, view, recipe.n_envs, setting.actions, **setting.env)
        return algorithm.new_learner(env, recipe, view, setting.seed, **beginning)

    def after_segment(learner: rl_training.Segmented, segment: int) -> dict[str, list[float]]:
        steps = min(segment * recipe.segment, recipe.steps)
        if steps not in wanted:
            return {}
        policy = algorithm.policy(learner, view, setting.names)
        return {str(steps): setting.evaluate(policy, f"{label}, {steps} steps")}

    logs = path.parent / "tensorboard" / label.replace(",", "").replace(" ", "_") if log else None
    learner, progress = rl_training.train(make_learner, recipe.segment, setting.seed, path, label, after_segment, logs)
    return Learned(
        {steps: scores for note in progress.notes for steps, scores in note.items()},
        rl_training.curve(progress.episodes, recipe.steps, POINTS),
        [second / 60 for second in progress.seconds],
        len(progress.episodes),
        algorithm.policy(learner, view, setting.names),
    )


def curves(cells: Sequence[Mapping[str, Any]]) -> np.ndarray:
    """(seeds, POINTS) returns of training games; NaN where none ended."""
    return np.array([cell["curve"] for cell in cells], float)


def coarser(curves: np.ndarray, parts: int) -> np.ndarray:
    """(seeds, parts) means over equal parts of curves (seeds, P), P a multiple of them; NaN where no game ended."""
    means = np.ma.masked_invalid(curves).reshape(len(curves), parts, -1).mean(axis=2)
    return np.asarray(np.ma.filled(means, np.nan), float)


def lowest(curves: np.ndarray, parts: int) -> np.ndarray:
    """(seeds,) the smallest mean over one of `parts` equal parts of each curve; parts without a game do not count.

    curves   (seeds, P), P a multiple of parts
    Raises   ValueError if no game ended in a whole curve.
    """
    if not np.isfinite(curves).any(axis=1).all():
        raise ValueError("no training game ended: learn for longer, or cut the games earlier")
    return np.asarray(np.nanmin(coarser(curves, parts), axis=1), float)


def between(curves: np.ndarray, steps: int, start: float, stop: float) -> np.ndarray:
    """(seeds,) mean of each curve (seeds, P) over `steps` between two step counts; NaN where no game ended."""
    centres = (np.arange(curves.shape[1]) + 0.5) * steps / curves.shape[1]
    part = np.ma.masked_invalid(curves[:, (centres > start) & (centres < stop)])
    return np.ma.filled(part.mean(axis=1), np.nan).astype(float)
