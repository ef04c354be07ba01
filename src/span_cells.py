"""What "When do canonical directions pay?" measures: codes of equal size in one game, read by ridge heads and played.

T steps, F features, Q numbers to be read. A cell fits once, makes every code from that fit and encodes the
demonstrations once per code; all heads of a code share these features.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np

import atari_play
import cloning
import object_labels
import probes
from atari_env import MAX_STEPS
from convnet import ConvPolicy
from players import TASKS, demonstrations
from span_design_cells import Part, Point
from stage_run import Run, late, measured
from trained_cache import Setup, cnn_of

STRIDE = 3  # of the steps that ridge heads and probes see, at every size: so many samples for every code
STRENGTHS = (1e-4, 1e-2, 1.0)  # of the ridge, as a fraction of the features' mean variance
HELD_OUT = 0.1  # share of the frames whose games the MLP does not see
CUT = {"enduro": 4_000}  # games end here: whole ones last 24,000 steps, of which 60,000 frames hold two and a half
EXPERTS = {game: task.first for game, task in TASKS.items()} | {"asteroids": "aiming"}  # the first fires at random
NETWORK_EPOCHS, NETWORK_RATE = 6, 1e-3  # as in stage 6


@dataclass(frozen=True)
class Setting:
    """One cell: some codes at one point (memory, n_units, n_features) in one game, with one seed.

    codes, trained, played   as in `Part`         n_frames   demonstrations  [agent steps]
    games    of each MLP that plays               epochs     of each MLP
    max_steps                games are cut here  [agent steps]
    """

    game: str
    seed: int
    memory: int
    n_units: int
    n_features: int
    codes: tuple[str, ...]
    trained: tuple[str, ...]
    played: tuple[str, ...]
    n_frames: int
    games: int
    epochs: int
    max_steps: int = late(MAX_STEPS)

    @property
    def point(self) -> Point:
        """Where in the design."""
        return Point(self.memory, self.n_units, self.n_features)

    @property
    def limit(self) -> dict[str, int]:
        """The option that cuts games, if they are cut."""
        return limit_of(self.game, self.max_steps)

    @property
    def env(self) -> dict[str, Any]:
        """Options of `AtariEnv`."""
        return {"game": self.game, **self.limit, **TASKS[self.game].env}


@dataclass(frozen=True)
class Network:
    """The DQN network on the same demonstrations, and its games."""

    game: str
    seed: int
    n_frames: int
    games: int
    epochs: int = NETWORK_EPOCHS
    max_steps: int = late(MAX_STEPS)


class Reading(NamedTuple):
    """What a ridge reads off features, on steps of games that nothing has seen.

    r2  (Q,) of the truth       accuracy   share of the steps in which the largest output is the player's action
    """

    r2: np.ndarray
    accuracy: float


def limit_of(game: str, max_steps: int) -> dict[str, int]:
    """The option that cuts a game's games, if they are cut."""
    most = min(max_steps, CUT.get(game, MAX_STEPS))
    return {} if most == MAX_STEPS else {"max_steps": most}


def read_out(
    features: np.ndarray, truth: np.ndarray, classes: np.ndarray, n_classes: int, split: probes.Split
) -> Reading:
    """Ridge regression onto objects and onto one-hot actions at once: one matrix of products for both.

    features  (T, F) float32         truth  (T, Q) float64, finite on the split         classes  (T,) int64
    Each number of the truth, and the actions, have the strength of `STRENGTHS` that is best on validation games.
    """
    targets = np.concatenate([truth, np.eye(n_classes)[classes]], axis=1)
    n_truth, others = truth.shape[1], (split.validation, split.test)
    scores = [  # by strength: on validation and on test, (Q + 1,) with the accuracy last
        [
            np.append(
                probes.r2(truth[chosen], predicted[:, :n_truth]),
                np.mean(predicted[:, n_truth:].argmax(axis=1) == classes[chosen]),
            )
            for chosen, predicted in zip(others, both, strict=True)
        ]
        for both in probes.ridge(features, targets, split, STRENGTHS, precision=np.float32)
    ]
    validated, tested = np.moveaxis(np.array(scores), 1, 0)
    best = tested[validated.argmax(axis=0), np.arange(n_truth + 1)]
    return Reading(best[:-1], float(best[-1]))


def moving_share(buffer: atari_play.Buffer) -> float:
    """Share of the pixels that differ from the step before, over all steps of all games."""
    changed = sum(int(np.count_nonzero(frames[1:] != frames[:-1])) for frames in buffer.episode_frames())
    return changed / ((len(buffer) - len(buffer.starts)) * buffer.frames[0].size)


@measured(shelf="span")
def measure(run: Run, s: Setting) -> dict[str, Any]:
    """Fit once, then every code: read by a ridge, and by an MLP that plays, where asked for.

    Returns   moving: share of pixels that move; correlations; n: steps to fit on and to test on; codes: {code: ridge
              (accuracy), places, speeds (R2 of each), and where asked for mlp (accuracy), scores}
    """
    buffer = demonstrations(run.data, s.game, EXPERTS[s.game], s.n_frames, s.seed, **s.limit)
    objects = object_labels.objects_of(s.game, buffer)
    split = probes.split_by_episode(buffer.episodes(), s.seed, objects.there, STRIDE)
    fitted = s.point.encoder().fit(buffer.episode_frames())
    actions = atari_play.environment(**s.env).action_names
    names = TASKS[s.game].classes(EXPERTS[s.game])
    found: dict[str, Any] = {}
    for name in s.codes:
        lessons = cloning.Lessons(s.point.code(name, fitted, s.seed), names, actions, len(buffer))
        lessons.add(buffer, HELD_OUT)
        read = read_out(lessons.features, objects.truth, lessons.classes, len(names), split)
        places, speeds = np.split(read.r2, [len(objects.places)])
        found[name] = {"ridge": read.accuracy, "places": places, "speeds": speeds}
        if name in s.trained:
            head, found[name]["mlp"] = lessons.fit("mlp", s.seed, s.epochs)
        if name in s.played:
            clone = cloning.Clone(lessons.code, head, names)
            seeds = (s.seed, atari_play.EVALUATION)
            played = atari_play.play(clone, s.games, seeds, description=f"{name}, seed {s.seed}", **s.env)
            found[name]["scores"] = [game.score for game in played]
    return {
        "moving": moving_share(buffer),
        "correlations": fitted.correlations_,
        "n": [len(split.train), len(split.test)],
        "codes": found,
    }


@measured(shelf="span")
def measure_network(run: Run, s: Network) -> dict[str, Any]:
    """The network's accuracy on held-out games, and the scores of its games; trained once, for stage 6 as well."""
    setup = Setup(n_frames=s.n_frames, max_steps=limit_of(s.game, s.max_steps).get("max_steps", MAX_STEPS))
    trained = cnn_of(setup, run.data, s.game, s.seed, epochs=s.epochs, learning_rate=NETWORK_RATE)
    policy, seeds = ConvPolicy(trained.result, setup.classes(s.game)), (s.seed, atari_play.EVALUATION)
    played = atari_play.play(policy, s.games, seeds, s.game, f"network, seed {s.seed}", **setup.env(s.game))
    return {"accuracy": trained.accuracy, "scores": [game.score for game in played]}


def settings(part: Part, game: str, c: Any) -> list[Setting]:
    """The cells of a part in one game; c: the stage's options."""
    point = {name: getattr(part.point, name) for name in ("memory", "n_units", "n_features")}
    heads = {name: getattr(part, name) for name in ("codes", "trained", "played")}
    options = {name: getattr(c, name) for name in ("n_frames", "games", "epochs", "max_steps")}
    seeds = range(c.centre_seeds if part.centre else c.seeds)
    return [Setting(game=game, seed=seed, **point, **heads, **options) for seed in seeds]


def cells(run: Run, parts: Sequence[Part]) -> dict[tuple[Point, str], list[dict[str, Any]]]:
    """Everything that some parts ask, side by side; neighbours in the row are of other seeds, and share no file."""
    return run.cells(measure, {(p.point, game): settings(p, game, run.config) for p in parts for game in p.games})


def networks(run: Run, games: Sequence[str]) -> dict[str, list[dict[str, Any]]]:
    """The DQN network in some games, a result per seed."""
    c = run.config
    return run.cells(
        measure_network,
        {
            game: [
                Network(game, seed, c.n_frames, c.games, c.network_epochs, c.max_steps)
                for seed in range(c.network_seeds)
            ]
            for game in games
        },
    )
