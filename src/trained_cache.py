"""What clones of one comparison share, and what was trained once: heads and networks, kept under data/heads/ by name.

The name is made of everything that they depend on.
"""

from __future__ import annotations

import hashlib
import time
from dataclasses import dataclass, replace
from functools import lru_cache
from pathlib import Path
from typing import Any, Generic, Literal, NamedTuple, TypeVar

import numpy as np

import atari_play
import cloning
import convnet
import recipes
import resu_files
from atari_env import MAX_STEPS
from cloning import Clone
from convnet import ConvNet
from players import TASKS, demonstrations
from recipes import RecipeName
from resu_conv import ReSUEncoder
from stage_run import key_of, late

T = TypeVar("T")
HELD_OUT = 0.1  # of the demonstrations: whole games, which choose an epoch


@dataclass(frozen=True)
class Setup:
    """What all clones of one comparison share.

    n_frames  demonstrations per game and seed [agent steps]; games per seed; epochs of every head; chunk: frames per
    update of a stream; sticky: of every game; experts: who is imitated, those of the original's kind or the best;
    max_steps: games are cut here (a smoke run's are short); recipe: of fitting and streaming encoders
    """

    n_frames: int = 60_000
    games: int = 20
    epochs: int = 6
    chunk: int = 1_000
    sticky: float = 0.25
    experts: Literal["original", "best"] = "original"
    max_steps: int = late(MAX_STEPS)
    recipe: RecipeName = late("ours")

    @property
    def variant(self) -> str:
        """What sets the results of another setup apart from the usual one's, for the names of their files."""
        usual = Setup()
        name = "" if self.experts == usual.experts else f"_{self.experts}"
        name += "" if self.sticky == usual.sticky else f"_sticky{self.sticky:g}"
        return name + recipes.suffix(self.recipe)

    def env(self, game: str) -> dict[str, Any]:
        """Options of `AtariEnv`."""
        return {"sticky": self.sticky, **self.limit, **TASKS[game].env}

    @property
    def limit(self) -> dict[str, int]:
        """The option that cuts games, if they are cut."""
        return {} if self.max_steps == MAX_STEPS else {"max_steps": self.max_steps}

    def expert(self, game: str) -> str:
        """The name of the expert that is imitated."""
        return TASKS[game].first if self.experts == "original" else TASKS[game].best

    def classes(self, game: str) -> tuple[str, ...]:
        """The actions of that expert."""
        return TASKS[game].classes(self.expert(game))

    def demonstrations(self, folder: Path, game: str, seed: int) -> atari_play.Buffer:
        """This seed's recorded games of the expert; the last few asked for stay in memory."""
        return _in_memory(folder, game, self.expert(game), self.n_frames, seed, self.sticky, **self.limit)

    def play(self, policy: atari_play.Policy, game: str, seed: int, description: str) -> dict[str, Any]:
        """This seed's evaluation games: scores and lengths."""
        played = atari_play.play(policy, self.games, (seed, atari_play.EVALUATION), game, description, **self.env(game))
        return {"scores": [g.score for g in played], "lengths": [g.length for g in played]}


@lru_cache(maxsize=4)
def _in_memory(
    folder: Path, game: str, expert: str, n_frames: int, seed: int, sticky: float, **limit: int
) -> atari_play.Buffer:
    buffer = demonstrations(folder, game, expert, n_frames, seed, sticky, **limit)
    return replace(buffer, frames=np.array(buffer.frames))


class Taught(NamedTuple):
    """A game's demonstrations, their classes (T,), and which steps are trained on and held out, as indices."""

    buffer: atari_play.Buffer
    classes: np.ndarray
    taught: np.ndarray
    held_out: np.ndarray


def taught(setup: Setup, folder: Path, game: str, seed: int) -> Taught:
    """This seed's, for networks that imitate the game's player; a tenth is held out."""
    buffer = setup.demonstrations(folder, game, seed)
    actions = atari_play.environment(game=game, **setup.env(game)).action_names
    classes = cloning.class_indices(buffer.targets, actions, setup.classes(game))
    return Taught(buffer, classes, *cloning.split_by_game(buffer, HELD_OUT))


@lru_cache(maxsize=8)
def fit(setup: Setup, folder: Path, game: str, seed: int) -> ReSUEncoder:
    """The encoder fitted on this seed's demonstrations of a game; the last few asked for stay in memory."""
    return recipes.encoder(setup.recipe).fit(setup.demonstrations(folder, game, seed).episode_frames())


class Trained(NamedTuple, Generic[T]):
    """Something trained, its accuracy on held-out games, and how long that took, features included  [s]."""

    result: T
    accuracy: float
    seconds: float


def clone_of(setup: Setup, folder: Path, encoder: ReSUEncoder, game: str, seed: int) -> Trained[Clone]:
    """A clone of the game's expert on an encoder, with an MLP 256 x 2.

    A head is trained once: data/heads/ keeps it under a name made of everything it depends on.
    """
    key = (encoder.options, encoder.filters_.tobytes(), encoder.mean_.tobytes())
    path = _cache(folder, setup, "clone", game, seed, *key)
    found = _record(path)
    if found:
        return Trained(Clone.load(path, f"delete data/heads/{path.name}* and run the same command again"), *found)
    started = time.perf_counter()
    clone, accuracies = cloning.clone_policy(
        encoder,
        setup.demonstrations(folder, game, seed),
        setup.classes(game),
        "mlp",
        seed,
        epochs=setup.epochs,
        game=game,
        **setup.env(game),
    )
    clone.save(path)
    return Trained(clone, *_record(path, accuracies[-1], time.perf_counter() - started))


def cnn_of(
    setup: Setup,
    folder: Path,
    game: str,
    seed: int,
    *,
    epochs: int,
    learning_rate: float,
    start: ConvNet | None = None,
    last_only: bool = False,
) -> Trained[ConvNet]:
    """The DQN network trained end to end to imitate a game's expert; trained once.

    start      begin with the weights of this network, its last layer replaced by a new one (fine-tuning); pixel means
               are the game's own in any case
    last_only  train the last layer alone
    """
    lesson = taught(setup, folder, game, seed)
    model = convnet.new(len(setup.classes(game)), seed)
    model.centre(lesson.buffer.frames)
    if start is not None:
        model.trunk.load_state_dict(start.trunk.state_dict())
    options: dict[str, Any] = {"epochs": epochs, "learning_rate": learning_rate, "last_only": last_only}
    path = _cache(folder, setup, "cnn", game, seed, options, hashlib.sha256(model.to_bytes()).hexdigest())
    found = _record(path)
    if found:
        return Trained(ConvNet.from_bytes(path.read_bytes()), *found)
    started = time.perf_counter()
    accuracies = convnet.fit(model, lesson.buffer, lesson.classes, seed, lesson.taught, lesson.held_out, **options)
    convnet.save(model, path)
    record = _record(path, max(accuracies), time.perf_counter() - started)
    return Trained(ConvNet.from_bytes(model.to_bytes()), *record)


def _cache(folder: Path, setup: Setup, *key: Any) -> Path:
    """Where something trained is kept: a name made of everything it depends on."""
    return folder / "heads" / hashlib.sha256(repr((key_of(setup), *key)).encode()).hexdigest()[:20]


def _record(path: Path, *values: float) -> tuple[float, ...]:
    """Write (accuracy, seconds) beside what was trained, as its last file; without values read them, or ()."""
    file = path.with_name(path.name + "_record.npy")
    if values:
        resu_files.write_npy(file, np.array(values))
        return values
    return tuple(resu_files.open_npy(file).tolist()) if file.is_file() else ()
