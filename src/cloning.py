"""Behaviour cloning: a code and a head that imitate a policy.

A *code* turns frames into vectors, offline for fitting and online for playing:
    n_features, encode(frames (T, H, W)) -> (T, D), online(n) -> the state of n games with reset(frames (n, H, W)) and
    step(frames, restarted) -> (n, D)
`ReSUEncoder` is one; resu_controls.py has those that stand beside it. A code never changes: clones may share one.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

import figures
import heads
import report_steps
from atari_env import STEPS_PER_SECOND, AtariEnv
from atari_play import AGGREGATION, EVALUATION, Buffer, Policy, collect, game_rngs, record_game
from figures import Figure
from heads import DenseHead, SteppedHead
from resu_conv import ReSUEncoder
from resu_online import Code

# The commands that make the clones under results/clones/, for the messages of those who need one.
CLONED_BY = {
    "pong_reactive": f"run {report_steps.command('bc_pong')}",
    "pong_winning": f"run {report_steps.command('bc_pong_winning')}",
    "pong_ppo": f"run {report_steps.command('ppo_pong')}",
    "breakout_ppo": f"run {report_steps.command('ppo_pong_breakout')}",
    "space_invaders_ppo": f"run {report_steps.command('ppo_pong_space_invaders')}",
    "breakout_predictive": f"run {report_steps.command('bc_games_breakout')}",
    "breakout_predictive_dagger": f"run {report_steps.command('bc_games_breakout_dagger')}",
    "space_invaders_dodging": f"run {report_steps.command('bc_games_space_invaders')}",
    "space_invaders_dodging_dagger": f"run {report_steps.command('bc_games_space_invaders_dagger')}",
    "asteroids_aiming": f"run {report_steps.command('bc_games_asteroids')}",
    "enduro_planning": f"run {report_steps.command('bc_games_enduro')}",
}


class Clone:
    """Policy: a code, a head on it, and the names of the actions that the head's classes stand for."""

    def __init__(self, code: Code, head: DenseHead, class_names: tuple[str, ...]) -> None:
        self.code, self.head, self.class_names = code, head, class_names

    def start(self, rng: np.random.Generator, action_names: tuple[str, ...]) -> None:
        """A new game: forget the frames of the last one."""
        self._actions = [action_names.index(name) for name in self.class_names]
        self._stepped, self._online, self._fresh = SteppedHead(self.head), self.code.online(1), True

    def act(self, frame: np.ndarray, ram: np.ndarray) -> int:
        """The action of the highest-scoring class; only the frame is looked at."""
        if self._fresh:
            scores = self._stepped.reset(self._online.reset(frame[None])[0])
            self._fresh = False
        else:
            scores = self._stepped.logits(self._online.step(frame[None])[0])
        return self._actions[int(scores.argmax())]

    def save(self, path: Path) -> None:
        """Write <path>_encoder.npz and <path>_head.npz; only a clone on a `ReSUEncoder` can be saved."""
        if not isinstance(self.code, ReSUEncoder):
            raise ValueError(f"only clones on a ReSUEncoder are saved, not on {type(self.code).__name__}")
        self.code.save(path.with_name(path.name + "_encoder.npz"))
        self.head.save(path.with_name(path.name + "_head.npz"), class_names=np.array(self.class_names))

    @classmethod
    def load(cls, path: Path, remedy: str = "") -> Clone:
        """Read the files of `save`. Raises FileNotFoundError or ValueError, with the remedy."""
        head, extra = DenseHead.load(path.with_name(path.name + "_head.npz"), remedy)
        encoder = ReSUEncoder.load(path.with_name(path.name + "_encoder.npz"))
        names = tuple(str(name) for name in extra.get("class_names", ()))
        if head.weights[0].shape[1] != encoder.n_features or head.weights[-1].shape[0] != len(names):
            raise ValueError(f"{path.name}: head and encoder do not belong together: {remedy}")
        return cls(encoder, head, names)


def film(clone: Clone, seed: int, skip: float, seconds: float, title: str, game: str, **env_options: Any) -> bytes:
    """A GIF of a clone at play with the maps of its code: `seconds` of a game after leaving out `skip` seconds.

    Raises   ValueError if the game is over before the first picture.
    """
    assert isinstance(clone.code, ReSUEncoder)
    first, most = round(skip * STEPS_PER_SECOND), round((skip + seconds) * STEPS_PER_SECOND)
    rng = next(game_rngs((seed, EVALUATION)))
    recording = record_game(clone, rng, {"game": game, **env_options}, None, most, screens=True)
    assert recording.screens is not None
    if len(recording.actions) <= first:
        raise ValueError(
            f"this game lasted {len(recording.actions) / STEPS_PER_SECOND:.0f} s: skip less than {skip:g} s"
        )
    names = AtariEnv(game).action_names
    maps = clone.code.maps(recording.frames)[first:]
    actions = [names[action] for action in recording.actions[first:]]
    scores = np.concatenate([[0], recording.rewards.cumsum()[:-1]])[first:]
    return figures.gameplay_gif(recording.screens[first:], maps, actions, scores, title, STEPS_PER_SECOND)


def at_work(clone: Clone, seed: int, step: int, title: str, game: str, **env_options: Any) -> Figure:
    """A picture of a clone's code at one step of a game: the past that it looks at, its filters, its maps."""
    assert isinstance(clone.code, ReSUEncoder)
    encoder = clone.code
    recording = record_game(
        clone, next(game_rngs((seed, EVALUATION))), {"game": game, **env_options}, None, step + encoder.memory
    )
    maps = encoder.maps(recording.frames)[-1]
    past = recording.frames[::-1][: encoder.memory]
    return figures.unit_at_work(past, encoder.filters_, encoder.correlations_, maps, title)


class Lessons:
    """What a head is fitted on: features (N, D), class indices (N,), and which samples are held out (N,) bool.

    capacity   samples that will be added in all; space for them is taken once, since features can fill gigabytes
    """

    def __init__(self, code: Code, class_names: tuple[str, ...], action_names: tuple[str, ...], capacity: int) -> None:
        self.code, self.class_names, self.action_names = code, class_names, action_names
        self._features = np.empty((capacity, code.n_features), getattr(code, "dtype", np.float32))
        self._classes, self._held_out = np.empty(capacity, np.int64), np.zeros(capacity, bool)
        self._n = 0

    @property
    def features(self) -> np.ndarray:
        """(N, D) of the samples so far."""
        return self._features[: self._n]

    @property
    def classes(self) -> np.ndarray:
        """(N,) int64."""
        return self._classes[: self._n]

    @property
    def held_out(self) -> np.ndarray:
        """(N,) bool: validation samples."""
        return self._held_out[: self._n]

    def add(self, buffer: Buffer, share: float) -> None:
        """The targets of a buffer under the code; its last games, about `share` of the frames, are held out whole."""
        new = slice(self._n, self._n + len(buffer))
        encode_buffer(self.code, buffer, out=self._features[new])
        self._classes[new] = class_indices(buffer.targets, self.action_names, self.class_names)
        self._held_out[new][split_by_game(buffer, share)[1]] = True
        self._n = new.stop

    def fit(self, kind: str, seed: int, epochs: int) -> tuple[DenseHead, float]:
        """A head of the named kind and its accuracy on the samples held out."""
        taught, held_out = np.flatnonzero(~self.held_out), np.flatnonzero(self.held_out)
        head = heads.fit(
            kind, self.features, self.classes, len(self.class_names), seed, taught, held_out, epochs=epochs
        )
        return head, float(np.mean(head.predict(self.features[held_out]) == self.classes[held_out]))


def clone_policy(
    code: Code,
    demonstrations: Buffer,
    class_names: tuple[str, ...],
    kind: str,
    seed: int,
    *,
    teacher: Policy | None = None,
    rounds: int = 0,
    n_frames: int = 50_000,
    epochs: int = 10,
    round_epochs: int = 4,
    held_out: float = 0.1,
    report: Callable[[str], None] = lambda message: None,
    **env_options: Any,
) -> tuple[Clone, list[float]]:
    """Imitate the demonstrations' targets; optionally relabel the clone's own games (dataset aggregation).

    code          fitted; it stays as it is
    class_names   actions that the teacher uses
    kind          "ridge", "linear" or "mlp"
    rounds        of aggregation: the clone plays n_frames, the teacher says what it would have done, the head is fitted
                  again on everything so far (Ross et al. 2011, with the clone always in control)
    epochs        passes over all samples in the last fit; round_epochs in those before it
    Returns       the clone and its validation accuracy before and after each round.
    """
    lessons = Lessons(code, class_names, AtariEnv(**env_options).action_names, len(demonstrations) + rounds * n_frames)
    lessons.add(demonstrations, held_out)
    accuracies: list[float] = []
    for i in range(rounds + 1):
        head, score = lessons.fit(kind, seed, round_epochs if i < rounds else epochs)
        accuracies.append(score)
        clone = Clone(code, head, class_names)
        if i < rounds:
            own = collect(
                clone, n_frames, (seed, AGGREGATION, i), teacher=teacher, description=f"aggregation {i + 1}/{rounds}",
                **env_options,
            )  # fmt: skip
            points = own.rewards[: own.starts[-1]].sum() / max(len(own.starts) - 1, 1)
            report(f"  round {i + 1}: validation accuracy was {score:.3f}; {points:.1f} points in whole games")
            lessons.add(own, held_out)
    return clone, accuracies


def encode_buffer(code: Code, buffer: Buffer, out: np.ndarray | None = None) -> np.ndarray:
    """Features of every frame of a buffer, game by game: (T, D), written to `out` if given."""
    for episode in buffer.episodes():
        features = code.encode(buffer.frames[episode])
        if out is None:
            out = np.empty((len(buffer), features.shape[1]), features.dtype)
        out[episode] = features
    assert out is not None
    return out


def class_indices(actions: np.ndarray, action_names: tuple[str, ...], class_names: tuple[str, ...]) -> np.ndarray:
    """(T,) action indices -> (T,) int64 class indices.

    Raises   ValueError if an action occurs that is none of the classes.
    """
    lookup = np.full(len(action_names), -1)
    for index, name in enumerate(class_names):
        lookup[action_names.index(name)] = index
    classes = lookup[actions]
    if classes.min() < 0:
        strange = action_names[int(actions[np.argmin(classes)])]
        raise ValueError(f"action {strange} is not among the classes {', '.join(class_names)}")
    return classes


def split_by_game(buffer: Buffer, share: float) -> tuple[np.ndarray, np.ndarray]:
    """Indices for training and validation: the last games, about `share` of the frames, are held out whole.

    With a single game its last part is held out.
    """
    starts = buffer.starts[1:] if len(buffer.starts) > 1 else np.array([int(len(buffer) * (1 - share))])
    cut = int(starts[np.argmin(np.abs(starts - (1 - share) * len(buffer)))])
    index = np.arange(len(buffer))
    return index[:cut], index[cut:]
