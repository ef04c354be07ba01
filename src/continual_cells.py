"""What the stage on five games in turn measures: one encoder, one head, and how well it still plays each of the games.

The games of a seed come in an order of its own: those of `GAMES`, turned round by the seed, so that each game is the
first and the last one equally often. A head has the actions of all games as its classes; in a game only those of its
player count.
"""

from __future__ import annotations

import functools
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

import atari_play
import cloning
import resu_controls
import trained_cache
from atari_play import Buffer, Policy
from cloning import Clone
from dense_head import DenseHead
from recipes import encoder
from resu_conv import ReSUEncoder
from resu_moments import LagMoments
from ridge_sums import RandomUnits, RidgeSums
from stage_run import SPREAD, Run, measured
from trained_cache import Setup

GAMES = ("pong", "breakout", "space_invaders", "asteroids", "enduro")
BEST = ("asteroids", "enduro")  # whose best player is imitated: Asteroids' first one plays at random
STRENGTH, N_UNITS = 1e-3, 2048  # of ridge heads, and random units below them; chosen on seed 77
REPLAYED = 0.1  # of the frames of each game before, trained on again beside a new one


@dataclass(frozen=True)
class Arm:
    """What learns the five games, and how.

    code      "ReSU", one encoder fitted on all games; "random filters" about its means; "frames": the DQN network
    head      "ridge", "units" (ridge on random units), "MLP", "network"
    schedule  "alone": a head for each game; "sums": the sums of all games; "in turn"; "replay": in turn, with a share
              of the games before
    """

    code: str
    head: str
    schedule: str

    @property
    def replayed(self) -> float:
        """Share of the games before that is trained on again."""
        return REPLAYED if self.schedule == "replay" else 0.0

    @property
    def label(self) -> str:
        """For readers."""
        head = {"units": "ridge on random units", "network": "DQN network"}.get(self.head, self.head)
        how = {"alone": "one game each", "sums": "five games, sums", "in turn": "five in turn",
               "replay": f"five in turn, {REPLAYED:.0%} replayed"}[self.schedule]  # fmt: skip
        return f"{self.code}, {head}: {how}"


@dataclass(frozen=True)
class Setting:
    """One seed of an arm."""

    arm: Arm
    seed: int
    setup: Setup = field(metadata=SPREAD)
    cnn_epochs: int = 2


def order_of(seed: int) -> tuple[str, ...]:
    """In which order this seed learns the games."""
    k = seed % len(GAMES)
    return GAMES[k:] + GAMES[:k]


def setup_of(setup: Setup, game: str) -> Setup:
    """Whose demonstrations are imitated there."""
    return replace(setup, experts="best" if game in BEST else "original")


def class_names(setup: Setup) -> tuple[str, ...]:
    """The actions of all games' players: the classes of a common head."""
    return tuple(dict.fromkeys(name for game in GAMES for name in setup_of(setup, game).classes(game)))


class Lesson(NamedTuple):
    """One game's part: its demonstrations, their classes (T,) among all, and which of them are taught or held out."""

    game: str
    buffer: Buffer
    classes: np.ndarray
    taught: np.ndarray
    held_out: np.ndarray


def lessons(setup: Setup, folder: Path, seed: int, games: Iterable[str]) -> list[Lesson]:
    """Of some games, in their order."""
    names, found = class_names(setup), []
    for game in games:
        its = setup_of(setup, game)
        own = trained_cache.taught(its, folder, game, seed)
        classes = np.array([names.index(name) for name in its.classes(game)])[own.classes]
        found.append(Lesson(game, own.buffer, classes, own.taught, own.held_out))
    return found


def joint_encoder(buffers: Sequence[Buffer]) -> ReSUEncoder:
    """The encoder of several games, one after the other: their moments, added up."""
    found = encoder("ours")
    total: LagMoments | None = None
    for buffer in buffers:
        moments = found.fit(buffer.episode_frames()).moments_
        total = moments if total is None else total.merge(moments)
    assert total is not None
    return found.fit_moments(total, buffers[0].frames.shape[1:])


@functools.lru_cache(maxsize=1)
def codes(setup: Setup, folder: Path, seed: int) -> dict[str, ReSUEncoder]:
    """ReSU's and the random one of a seed; the last ones asked for stay in memory."""
    resu = joint_encoder([lesson.buffer for lesson in lessons(setup, folder, seed, order_of(seed))])
    return {"ReSU": resu, "random filters": resu_controls.random_filters(resu, seed)}


@functools.lru_cache(maxsize=len(GAMES))
def features(setup: Setup, folder: Path, seed: int, code: str, game: str) -> np.ndarray:
    """(T, D) float32 of a game's demonstrations; those of the last five games stay in memory."""
    its = setup_of(setup, game)
    return cloning.encode_buffer(codes(setup, folder, seed)[code], its.demonstrations(folder, game, seed))


@measured(shelf="continual")
def same_bits(run: Run, s: Setting) -> dict[str, Any]:
    """Is the encoder of games in turn that of all at once, in any order? How far are a head's sums apart [relative]?"""
    its = lessons(s.setup, run.data, s.seed, GAMES)
    whole = encoder("ours").fit([frames for lesson in its for frames in lesson.buffer.episode_frames()])
    rng, equal, grams = np.random.default_rng(s.seed), [], []
    orders = [
        tuple(range(len(its))),
        tuple(range(len(its)))[::-1],
        *(tuple(rng.permutation(len(its))) for _ in range(2)),
    ]
    for order in orders:
        found = joint_encoder([its[i].buffer for i in order])
        equal.append(
            found.filters_.tobytes() == whole.filters_.tobytes() and found.mean_.tobytes() == whole.mean_.tobytes()
        )
        sums = RidgeSums(found.n_features, len(class_names(s.setup)))
        for i in order:
            sums.add(found.encode(its[i].buffer.frames[:2000]), its[i].classes[:2000])
        grams.append(sums.gram / sums.n)
    apart = [float(np.abs(gram - grams[0]).max() / np.abs(grams[0]).max()) for gram in grams[1:]]
    run.log(f"seed {s.seed}: encoders equal {equal}, sums apart {max(apart):.1e}")
    return {"equal": equal, "apart": max(apart)}


@measured(shelf="continual")
def measure(run: Run, s: Setting) -> dict[str, Any]:
    """Learn the games, then play all of them: scores by game, and the order in which they were learned."""
    scores = {}
    for game, policy in _policies(run.data, s).items():
        played = setup_of(s.setup, game).play(policy, game, s.seed, f"{s.arm.label}, {game}, seed {s.seed}")
        scores[game] = played["scores"]
        run.log(f"{s.arm.label}, seed {s.seed}, {game}: {np.mean(scores[game]):.1f}")
    return {"scores": scores, "order": order_of(s.seed)}


def _policies(folder: Path, s: Setting) -> Mapping[str, Policy]:
    """By game who plays it in the end."""
    import continual_networks  # torch takes seconds to load
    import convnet

    its, names = lessons(s.setup, folder, s.seed, order_of(s.seed)), class_names(s.setup)
    classes = {game: setup_of(s.setup, game).classes(game) for game in GAMES}
    ys, taught, held_out = ([getattr(one, name) for one in its] for name in ("classes", "taught", "held_out"))
    epochs = s.cnn_epochs if s.arm.head == "network" else s.setup.epochs
    course = continual_networks.Course(ys, taught, held_out, len(names), s.seed, epochs, s.arm.replayed)
    if s.arm.head == "network":
        model = continual_networks.network_in_turn([lesson.buffer for lesson in its], course)
        rows = {game: [names.index(name) for name in classes[game]] for game in GAMES}
        return {
            game: convnet.ConvPolicy(continual_networks.with_classes(model, rows[game]), classes[game])
            for game in GAMES
        }
    xs = [features(s.setup, folder, s.seed, s.arm.code, lesson.game) for lesson in its]
    code = codes(s.setup, folder, s.seed)[s.arm.code]
    if s.arm.head == "MLP" and s.arm.schedule != "alone":
        heads: Mapping[str, DenseHead] = dict.fromkeys(GAMES, continual_networks.perceptron_in_turn(xs, course))
    else:
        heads = _heads(s, its, xs)
    return {game: Clone(code, masked(head, s.setup, game), classes[game]) for game, head in heads.items()}


@measured(shelf="continual")
def at_random(run: Run, s: Setting) -> dict[str, Any]:
    """What random play scores in each game."""
    return {
        "scores": {
            game: setup_of(s.setup, game).play(atari_play.RandomPolicy(), game, s.seed, f"random, {game}")["scores"]
            for game in GAMES
        }
    }


def masked(head: DenseHead, setup: Setup, game: str) -> DenseHead:
    """The head with the classes of one game's player alone."""
    names = class_names(setup)
    rows = [names.index(name) for name in setup_of(setup, game).classes(game)]
    return DenseHead([*head.weights[:-1], head.weights[-1][rows]], [*head.biases[:-1], head.biases[-1][rows]])


def _heads(s: Setting, its: Sequence[Lesson], xs: Sequence[np.ndarray]) -> Mapping[str, DenseHead]:
    """By game its own head, or that of the sums of all."""
    n_features, n_classes = xs[0].shape[1], len(class_names(s.setup))
    if s.arm.head == "MLP":
        import heads

        options: dict[str, Any] = {"epochs": s.setup.epochs}
        return {
            lesson.game: heads.fit(
                "mlp", x, lesson.classes, n_classes, s.seed, lesson.taught, lesson.held_out, **options
            )
            for x, lesson in zip(xs, its, strict=True)
        }
    units = RandomUnits.drawn(xs[0], N_UNITS, s.seed) if s.arm.head == "units" else None
    own = {
        lesson.game: RidgeSums(n_features, n_classes, units).add(x[lesson.taught], lesson.classes[lesson.taught])
        for x, lesson in zip(xs, its, strict=True)
    }
    if s.arm.schedule == "alone":
        return {game: sums.head(STRENGTH) for game, sums in own.items()}
    total = RidgeSums(n_features, n_classes, units)
    for sums in own.values():
        total.merge(sums)
    return dict.fromkeys(own, total.head(STRENGTH))
