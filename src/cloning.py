"""Behaviour cloning: a code and a head that imitate a policy.

A *code* turns frames into vectors, offline for fitting and online for playing:
    n_features, encode(frames (T, H, W)) -> (T, D), online(n) -> the state of n games with reset(frames (n, H, W)) and
    step(frames, restarted) -> (n, D)
`ReSUEncoder` is one; resu_controls.py has those that stand beside it. A code never changes: clones may share one.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

import report_steps
from atari_env import AtariEnv
from atari_play import AGGREGATION, Buffer, Policy, collect
from dense_head import DenseHead, SteppedHead
from resu_conv import ReSUEncoder
from resu_online import Code


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

    @staticmethod
    def files(path: Path) -> list[Path]:
        """What `save` writes: <path>_encoder.npz and <path>_head.npz."""
        return [path.with_name(f"{path.name}_{part}.npz") for part in ("encoder", "head")]

    def save(self, path: Path) -> None:
        """Write the `files`; only a clone on a `ReSUEncoder` can be saved."""
        if not isinstance(self.code, ReSUEncoder):
            raise ValueError(f"only clones on a ReSUEncoder are saved, not on {type(self.code).__name__}")
        of_code, of_head = self.files(path)
        self.code.save(of_code)
        self.head.save(of_head, class_names=np.array(self.class_names))

    @classmethod
    def load(cls, path: Path, remedy: str = "") -> Clone:
        """Read the files of `save`. Raises FileNotFoundError or ValueError, with the remedy."""
        of_code, of_head = cls.files(path)
        head, extra = DenseHead.load(of_head, remedy)
        encoder = ReSUEncoder.load(of_code)
        names = tuple(str(name) for name in extra.get("class_names", ()))
        if head.weights[0].shape[1] != encoder.n_features or head.weights[-1].shape[0] != len(names):
            raise ValueError(f"{path.name}: head and encoder do not belong together: {remedy}")
        return cls(encoder, head, names)


@dataclass(frozen=True)
class Saved:
    """A clone that a stage leaves under results/clones/.

    game         that it plays
    expert       whom it imitates; none: it learned from reward, by PPO
    made_by      the command that makes it
    aggregated   by dataset aggregation, beside one without
    """

    game: str
    expert: str
    made_by: str
    aggregated: bool = False

    @property
    def player(self) -> str:
        """What sets it apart from the game's other clones."""
        return f"{self.expert or 'ppo'}{'_dagger' if self.aggregated else ''}"

    @property
    def name(self) -> str:
        """Of its files."""
        return f"{self.game}_{self.player}"

    @property
    def label(self) -> str:
        """For readers."""
        return f"a ReSU clone of the {self.expert} expert" if self.expert else "PPO on frozen ReSU features"

    def load(self, results: Path, smoke: bool = False) -> Clone:
        """The clone. Raises FileNotFoundError or ValueError, which say what to run, in smoke with --smoke."""
        return Clone.load(results / "clones" / self.name, f"run {self.made_by}{' --smoke' if smoke else ''}")


SAVED = {
    saved.name: saved
    for saved in (
        Saved("pong", "reactive", report_steps.command("bc_pong")),
        Saved("pong", "winning", report_steps.command("bc_pong_winning")),
        Saved("pong", "", report_steps.command("ppo_pong")),
        Saved("breakout", "tracking", "python src/bc_games.py --game breakout --expert tracking"),
        Saved("breakout", "predictive", report_steps.command("bc_games_breakout")),
        Saved("breakout", "predictive", report_steps.command("bc_games_breakout_dagger"), aggregated=True),
        Saved("breakout", "", report_steps.command("ppo_pong_breakout")),
        Saved("space_invaders", "dodging", report_steps.command("bc_games_space_invaders")),
        Saved("space_invaders", "dodging", report_steps.command("bc_games_space_invaders_dagger"), aggregated=True),
        Saved("space_invaders", "", report_steps.command("ppo_pong_space_invaders")),
        Saved("asteroids", "aiming", report_steps.command("bc_games_asteroids")),
        Saved("enduro", "planning", report_steps.command("bc_games_enduro")),
    )
}
CLONED_BY = {name: f"run {saved.made_by}" for name, saved in SAVED.items()}


def saved(name: str) -> Saved:
    """A saved clone by its name. Raises ValueError for another name, listing those that there are."""
    if name not in SAVED:
        raise ValueError(f"there is no clone {name}: choose one of {', '.join(SAVED)}")
    return SAVED[name]


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
        import heads  # torch takes seconds to load, and most processes only play

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
