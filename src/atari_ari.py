"""AtariARI (Anand et al. 2019, arXiv 1906.08226): random play, labelled by the memory, as it was published.

T steps of 4 emulated frames. 22 games, sticky actions 0, minimal action set; a frame is the maximum over the last two
emulated frames per colour, then OpenCV's grey, 210 x 160. What sets this protocol apart from ours:

    play      8 streams with seeds of their own; actions are uniform over all but NOOP. An episode ends with a life; the
              game then goes on after one NOOP step. 1 to 30 emulated no-ops after a game that is over, only. After
              every beginning one step of FIRE and one of the action after it, where the set has FIRE (20 games).
    labels    bytes of the memory after a step, 256 classes. The first pair of an episode (but for each stream's first
              one) is wrong, as in the original: the frame is the one after the beginning, the label the one before it.
    kept      episodes of more than 64 steps; variables whose labels have an entropy of .6 nats or more in them
    split     .7, .1, .2 of the episodes in the order of collection, stream after stream. Test frames that equal a
              training or validation frame byte for byte go, and test episodes that are left with less than 2 frames.

Today's ROMs (ale-py 0.12.1) are not the original's in all: Tennis and Video Pinball were squeezed from a taller screen
and are 210 lines now. The original's draws of actions were not seeded. Labels known to be wrong (lives in Space
Invaders) stay, or nothing would compare. Bytes, names and published figures: atari_ari.json.
"""

from __future__ import annotations

import functools
import hashlib
import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import cv2
import numpy as np

import atari_play
from ari_probe import Parts

STREAMS = 8
SHORTEST = 65  # of an episode that is kept [steps]
LEAST_ENTROPY = 0.6  # of a variable's labels that are probed [nats]
SHAPE = (210, 160)  # of a frame [pixels]
CATEGORIES = {  # as the data file names them: as the pages do
    "small_object_localization": "small objects",
    "agent_localization": "agent",
    "other_localization": "other objects",
    "score_clock_lives_display": "score, lives",
    "misc": "misc",
}
PUBLISHED = ("majority", "random CNN", "VAE", "pixel prediction", "CPC", "ST-DIM", "supervised")
PROBE, ENCODER = 0, 1  # what a collection is for: its streams' seeds are (seed, purpose, stream)
FOREVER = 10**9  # steps: games are never cut


class Variable(NamedTuple):
    """A labelled byte: its index in the console's memory, its categories, whether published tables have a row of it."""

    name: str
    byte: int
    categories: tuple[str, ...]
    in_table: bool


@functools.cache
def _document() -> dict[str, Any]:
    document: dict[str, Any] = json.loads(Path(__file__).with_suffix(".json").read_text())
    return document


def games() -> tuple[str, ...]:
    """The benchmark's 22 games, by ale-py's names."""
    return tuple(_document()["games"])


def refuse_unknown(game: str) -> None:
    """Raises ValueError with the list of games unless this is one of them."""
    if game not in games():
        raise ValueError(f"'{game}' is not among AtariARI's games: choose among {', '.join(games())}")


def label_of(game: str) -> str:
    """A game's name for readers."""
    return game.replace("_", " ").title()


def variables(game: str) -> tuple[Variable, ...]:
    """All labelled bytes of a game. Raises ValueError if it is not one of the 22."""
    refuse_unknown(game)
    its = _document()["games"][game]["variables"].items()
    return tuple(Variable(name, byte, tuple(categories), in_table) for name, (byte, categories, in_table) in its)


def published(game: str, what: str = "f1") -> dict[str, float]:
    """Published figures by method, NaN where none is known; what: "f1", "f1_in_table" or "accuracy"."""
    refuse_unknown(game)
    return {name: float("nan") if x is None else x for name, x in _document()["games"][game][what].items()}


def published_by_category() -> dict[str, dict[str, float]]:
    """Published mean F1 {category: {method: value}}, over the games that have it."""
    found: dict[str, dict[str, float]] = _document()["by_category"]
    return found


# --- playing ---


class Stream:
    """One of the protocol's processes: random play without an end.

    seed   its own: of the actions, and of the no-ops at the beginnings of games
    """

    def __init__(self, game: str, seed: Sequence[int]) -> None:
        refuse_unknown(game)
        self._env = atari_play.environment(game=game, sticky=0.0, size=0, colours=True, max_steps=FOREVER)
        self._fires = "FIRE" in self._env.action_names
        draws, begins = np.random.SeedSequence(seed).spawn(2)
        self._rng = np.random.default_rng(draws)
        _, info = self._env.reset(seed=int(begins.generate_state(1)[0]))
        self._lives, self._over = info["lives"], False
        self._press_fire()

    def step(self) -> tuple[np.ndarray, np.ndarray, bool]:
        """One step: frame (210, 160) uint8, memory (128,) uint8 as its labels, and whether an episode begins with it.

        Where the step ends an episode, the frame is the next one's first, and the memory that of before it began.
        """
        ended = self._act(int(self._rng.integers(1, len(self._env.action_names))))
        memory = self._env.ram().copy()
        if ended:
            self._begin()
            self._press_fire()
        return cv2.cvtColor(self._env.render(), cv2.COLOR_RGB2GRAY), memory, ended

    def _act(self, action: int) -> bool:
        """Whether the episode ended: with a life, as long as some are left, or with the game."""
        *_, self._over, _, info = self._env.step(action)
        before, self._lives = self._lives, info["lives"]
        return self._over or 0 < self._lives < before

    def _begin(self) -> None:
        """A new game if this one is over; else the same one, a NOOP later."""
        if not self._over:
            self._act(0)
        if self._over:
            _, info = self._env.reset()
            self._lives, self._over = info["lives"], False

    def _press_fire(self) -> None:
        for action in (1, 2) if self._fires else ():
            if self._act(action):
                self._begin()


@dataclass(frozen=True)
class Played:
    """Labelled play: frames (T, 210, 160) uint8, memory (T, 128) uint8, episodes (ranges of T) in collection order."""

    frames: np.ndarray
    memory: np.ndarray
    episodes: list[slice]

    def kept(self) -> list[slice]:
        """The episodes that are long enough."""
        return [episode for episode in self.episodes if episode.stop - episode.start >= SHORTEST]


def _streamed(game: str, steps: int, seed: int, purpose: int) -> Iterator[tuple[int, np.ndarray, np.ndarray, bool]]:
    """(step of the stream, and what `Stream.step` gives), stream after stream, `steps` // 8 of each."""
    for k in range(STREAMS):
        stream = Stream(game, (seed, purpose, k))
        for t in range(steps // STREAMS):
            frame, memory, begins = stream.step()
            yield t, frame, memory, begins or t == 0


def labelled_play(game: str, steps: int, seed: int) -> Played:
    """The collection that probes are trained, stopped and tested on; the same seed gives the same one.

    steps   in all, of 8 streams  [steps]
    """
    n = steps // STREAMS * STREAMS
    frames, memory = np.empty((n, *SHAPE), np.uint8), np.empty((n, 128), np.uint8)
    starts = []
    for i, (_, frame, its, begins) in enumerate(_streamed(game, steps, seed, PROBE)):
        frames[i], memory[i] = frame, its
        if begins:
            starts.append(i)
    return Played(frames, memory, [slice(*ends) for ends in zip(starts, [*starts[1:], n], strict=True)])


def encoder_runs(game: str, steps: int, seed: int, most: int, length: int = 32) -> list[np.ndarray]:
    """Another collection, for encoders alone: frames of the first .8 of its episodes, in runs of consecutive steps.

    most     frames to be held of all of it, about: every so many-th run of `length` steps of a stream is kept
    length   of a run; it is shorter where an episode begins  [steps]
    Returns  arrays (t, 210, 160) uint8; none reaches from one episode into the next
    Raises   ValueError if no episode is long enough.
    """
    every = max(1, -(-(steps // STREAMS * STREAMS) // most))
    runs: list[tuple[int, list[np.ndarray]]] = []  # episode, its frames
    lengths: list[int] = []
    for t, frame, _, begins in _streamed(game, steps, seed, ENCODER):
        if begins:
            lengths.append(0)
        lengths[-1] += 1
        if t // length % every == 0:
            if begins or t % length == 0:
                runs.append((len(lengths) - 1, []))
            runs[-1][1].append(frame)
    long = [episode for episode, n in enumerate(lengths) if n >= SHORTEST]
    chosen = set(long[: int(0.8 * len(long))] or long)
    if not chosen:
        raise ValueError(f"no episode of {game} has {SHORTEST} steps: collect more encoder steps than {steps}")
    return [np.stack(frames) for episode, frames in runs if episode in chosen]


# --- what is probed ---


@dataclass(frozen=True)
class Labels:
    """What is read off a code in one collection.

    variables  Q of them: those that pass the filter, and those that published tables have a row of
    passed     (Q,) bool: the filter's
    values     (Q, T) uint8
    parts      the steps to train, validate and test on, by episode
    removed    test frames that were removed as duplicates
    """

    variables: tuple[Variable, ...]
    passed: np.ndarray
    values: np.ndarray
    parts: Parts
    removed: int


def entropy(labels: np.ndarray) -> float:
    """Of labels (N,) uint8, N >= 1  [nats]."""
    shares = np.bincount(labels, minlength=256) / len(labels)
    shares = shares[shares > 0]
    return float(-(shares * np.log(shares)).sum())


def labels_of(game: str, played: Played) -> Labels:
    """Filter, split and removal of duplicates.

    Raises   ValueError if a part has no episode, or if no variable passes the filter.
    """
    episodes = [np.arange(episode.start, episode.stop) for episode in played.kept()]
    first, second = int(0.7 * len(episodes)), int(0.8 * len(episodes))
    if not 0 < first < second < len(episodes):
        raise ValueError(
            f"{len(episodes)} episodes of {game} with {SHORTEST} steps or more are too few to train, validate and test "
            f"on: collect more than {len(played.frames)} steps"
        )
    every = np.concatenate(episodes)
    its = variables(game)
    passed = np.array([entropy(played.memory[every, v.byte]) >= LEAST_ENTROPY for v in its])
    if not passed.any():
        raise ValueError(
            f"no variable of {game} has an entropy of {LEAST_ENTROPY} nats in {len(every)} steps: collect more of them"
        )
    chosen = np.flatnonzero(passed | np.array([v.in_table for v in its]))
    test, removed = without_duplicates(played.frames, np.concatenate(episodes[:second]), episodes[second:])
    if not test:
        raise ValueError(f"every test frame of {game} is one of the others: collect more than {len(every)} steps")
    values = np.stack([played.memory[:, its[q].byte] for q in chosen])
    parts = Parts(episodes[:first], episodes[first:second], test)
    return Labels(tuple(its[q] for q in chosen), passed[chosen], values, parts, removed)


def without_duplicates(
    frames: np.ndarray, seen: np.ndarray, episodes: Sequence[np.ndarray]
) -> tuple[list[np.ndarray], int]:
    """Episodes (steps each) without frames that are, byte for byte, among the frames at `seen`.

    Frames count as equal where their 128-bit digests are. Repeats within the episodes stay.
    Returns   the episodes that are left with 2 frames or more; how many frames were taken out of all of them
    """

    def digest(step: int) -> bytes:
        return hashlib.blake2b(np.ascontiguousarray(frames[step]).data, digest_size=16).digest()

    known = {digest(step) for step in seen.tolist()}
    left = [np.array([step for step in episode.tolist() if digest(step) not in known], int) for episode in episodes]
    removed = sum(map(len, episodes)) - sum(map(len, left))
    return [episode for episode in left if len(episode) >= 2], removed


def score(values: np.ndarray, its: Sequence[Variable]) -> tuple[float, dict[str, float]]:
    """A game's score from one value per variable (Q,): mean in each category, then over categories; and by category.

    A variable counts in each of its categories. NaN if there are no variables.
    """
    by: dict[str, list[float]] = {}
    for value, variable in zip(values, its, strict=True):
        for category in variable.categories:
            by.setdefault(category, []).append(float(value))
    means = {category: float(np.mean(found)) for category, found in by.items()}
    return (float(np.mean(list(means.values()))) if means else float("nan")), means
