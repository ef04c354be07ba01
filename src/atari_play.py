"""Playing games and keeping them: play(policy), collect(policy) and the frame buffers under data/.

Every game has its own random generator, spawned from one root seed, and every process plays one game at a time, so the
result does not depend on the number of processes.
"""

from __future__ import annotations

import atexit
import functools
import os
import threading
import warnings
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path
from typing import Any, NamedTuple, Protocol

import joblib
import numpy as np
from tqdm import tqdm

import resu_files
import workers
from atari_env import AtariEnv

Seed = int | Sequence[int]
# One replication (seed) needs independent games for several purposes: its root seeds are (seed, purpose, ...).
DEMONSTRATIONS, EVALUATION, AGGREGATION = 0, 1, 2


class Policy(Protocol):
    """Chooses actions in one game at a time. It must be picklable and deterministic given its inputs."""

    def start(self, rng: np.random.Generator, action_names: tuple[str, ...]) -> None:
        """A new game begins; actions are indices into action_names."""

    def act(self, frame: np.ndarray, ram: np.ndarray) -> int:
        """The action for an observation: frame (84, 84) uint8, ram (128,) uint8."""


class RandomPolicy:
    """Every action of the minimal action set with equal probability."""

    def start(self, rng: np.random.Generator, action_names: tuple[str, ...]) -> None:
        """Keep the game's generator."""
        self._rng, self._n = rng, len(action_names)

    def act(self, frame: np.ndarray, ram: np.ndarray) -> int:
        """A uniform draw."""
        return int(self._rng.integers(self._n))


class Exploring:
    """A policy of whose actions a share is replaced by uniform draws.

    epsilon   the share, 0 to 1     names   the actions that are drawn from; by default all of the game
    """

    def __init__(self, policy: Policy, epsilon: float, names: tuple[str, ...] = ()) -> None:
        if not 0 <= epsilon <= 1:
            raise ValueError(f"epsilon must lie in 0 .. 1, not {epsilon}")
        self.policy, self.epsilon, self.names = policy, epsilon, names

    def start(self, rng: np.random.Generator, action_names: tuple[str, ...]) -> None:
        """Keep the game's generator."""
        self._rng, self._drawn = rng, [action_names.index(name) for name in self.names or action_names]
        self.policy.start(rng, action_names)

    def act(self, frame: np.ndarray, ram: np.ndarray) -> int:
        """A draw, or what the policy does; the policy sees every frame."""
        action = self.policy.act(frame, ram)
        if self._rng.random() < self.epsilon:
            action = self._drawn[int(self._rng.integers(len(self._drawn)))]
        return action


class Game(NamedTuple):
    """One game: what was played, without what was seen."""

    score: float
    length: int  # agent steps
    actions: list[int]  # how often each action of the minimal set was chosen


@dataclass(frozen=True)
class Recording:
    """One recorded game of T steps: what was seen at each step, what was done, what a teacher would have done."""

    frames: np.ndarray  # (T, 84, 84) uint8, before the action
    ram: np.ndarray  # (T, 128) uint8
    actions: np.ndarray  # (T,) uint8
    targets: np.ndarray  # (T,) uint8, the teacher's actions (the player's own without a teacher)
    rewards: np.ndarray  # (T,) float32, after the action
    screens: np.ndarray | None = None  # (T, 210, 160, 3) uint8 in colour, only where asked for


@dataclass(frozen=True)
class Buffer:
    """Recorded games one after the other; the last one may be cut.

    frames (T, 84, 84) uint8 (possibly memory-mapped), ram (T, 128) uint8, actions, targets (T,) uint8, rewards (T,)
    float32 as in `Recording`; starts (E,) int64: the first index of each game; about: how it was collected.
    """

    frames: np.ndarray
    ram: np.ndarray
    actions: np.ndarray
    targets: np.ndarray
    rewards: np.ndarray
    starts: np.ndarray
    about: dict[str, Any] = field(default_factory=dict)

    def __len__(self) -> int:
        return len(self.frames)

    def episodes(self) -> list[slice]:
        """The range of each game."""
        ends = [*self.starts[1:].tolist(), len(self)]
        return [slice(start, end) for start, end in zip(self.starts.tolist(), ends, strict=True)]

    def episode_frames(self) -> list[np.ndarray]:
        """The frames of each game, as `ReSUEncoder.fit` takes them."""
        return [self.frames[episode] for episode in self.episodes()]

    def chunks(self, size: int, n_frames: int | None = None) -> Iterator[tuple[np.ndarray, np.ndarray]]:
        """The first n_frames (all by default) in pieces of at most `size` frames, and where games begin in each."""
        n = len(self) if n_frames is None else min(n_frames, len(self))
        for i in range(0, n, size):
            end = min(i + size, n)
            yield self.frames[i:end], self.starts[(self.starts >= i) & (self.starts < end)] - i

    def begins(self) -> np.ndarray:
        """(T,) int64: the first index of each step's game."""
        return np.repeat(self.starts, np.diff([*self.starts, len(self)]))

    def shifted(self, values: np.ndarray, steps: int) -> np.ndarray:
        """values (T, ...) as they are `steps` later (earlier if negative) in the same game, float64; NaN beyond it."""
        begins = self.begins()
        index = np.arange(len(self)) + steps
        inside = (index >= 0) & (index < len(self))
        inside[inside] = begins[index[inside]] == begins[inside]
        out = np.full(values.shape, np.nan)
        out[inside] = values[index[inside]]
        return out

    @staticmethod
    def files(path: Path) -> list[Path]:
        """What `save` writes: <path>.npy (frames) and <path>.npz (all else)."""
        return [path.with_name(path.name + ending) for ending in (".npy", ".npz")]

    def save(self, path: Path) -> None:
        """Write the `files`, one after the other: without the second, the buffer is unfinished."""
        frames_path, table_path = self.files(path)
        resu_files.write_npy(frames_path, self.frames)
        about = {f"about_{name}": value for name, value in self.about.items()}
        resu_files.write_npz(
            table_path,
            n_frames=len(self),
            ram=self.ram,
            actions=self.actions,
            targets=self.targets,
            rewards=self.rewards,
            starts=self.starts,
            **about,
        )

    @classmethod
    def load(cls, path: Path, remedy: str = "") -> Buffer:
        """Read a buffer of `save`; frames stay on disk until they are used.

        Raises   FileNotFoundError, or ValueError if one of the two files is truncated, they do not belong together, or
                 starts are not the beginnings of games.
        """
        frames_path, table_path = cls.files(path)
        names = ("ram", "actions", "targets", "rewards", "starts", "n_frames")
        table = resu_files.read_npz(table_path, names, remedy)
        frames = resu_files.open_npy(frames_path, remedy)
        n = table.pop("n_frames")
        lengths = {table[name].shape[:1] for name in names[:4]}
        whole = lengths == {frames.shape[:1]} and np.array_equal(n, len(frames))
        if frames.ndim != 3 or frames.dtype != np.uint8 or not whole:
            raise ValueError(
                f"{frames_path} ({frames.dtype}, shape {frames.shape}) does not belong to {table_path.name} "
                f"({n} frames){': ' + remedy if remedy else ''}"
            )
        table["starts"] = resu_files.episode_starts(table["starts"], len(frames), table_path, remedy)
        about = {name[6:]: table.pop(name).tolist() for name in list(table) if name.startswith("about_")}
        return cls(frames, about=about, **table)


# --- playing ---


def game_rngs(seed: Seed) -> Iterator[np.random.Generator]:
    """An endless row of generators, one per game: spawned children of the root seed, never reused."""
    root = np.random.SeedSequence(seed)
    while True:
        yield np.random.default_rng(root.spawn(1)[0])


@functools.lru_cache(maxsize=4)
def _environment(thread: int, **env_options: Any) -> AtariEnv:
    return AtariEnv(**env_options)


def environment(**env_options: Any) -> AtariEnv:
    """One emulator per process (and thread, on a cluster) and set of options: to load one takes 300 of its steps."""
    return _environment(threading.get_ident(), **env_options)


atexit.register(_environment.cache_clear)  # an emulator that outlives the interpreter's shutdown is reported as a leak


def _begin(env: AtariEnv, policy: Policy, rng: np.random.Generator) -> np.ndarray:
    frame, _ = env.reset(seed=int(rng.integers(2**31)))
    policy.start(rng, env.action_names)
    return frame


def play_game(
    policy: Policy, rng: np.random.Generator, env_options: dict[str, Any], most: float = float("inf")
) -> Game:
    """One full game, cut after `most` steps."""
    env = environment(**env_options)
    frame = _begin(env, policy, rng)
    score, length, actions, over = 0.0, 0, [0] * len(env.action_names), False
    while not over and length < most:
        action = policy.act(frame, env.ram())
        frame, reward, terminated, truncated, _ = env.step(action)
        score, length, over = score + reward, length + 1, terminated or truncated
        actions[action] += 1
    return Game(score, length, actions)


def record_game(
    policy: Policy,
    rng: np.random.Generator,
    env_options: dict[str, Any],
    teacher: Policy | None,
    most: int,
    screens: bool = False,
) -> Recording:
    """One game of at most `most` steps with everything that was seen and done.

    teacher   answers every observation without acting on it: its actions become the targets
    screens   keep the colour screens, too (100 kB per step): as the frames, the maximum over the last two emulated ones
    """
    env = environment(**env_options, **({"colours": True} if screens else {}))
    frame = _begin(env, policy, rng)
    if teacher is not None:
        teacher.start(rng, env.action_names)
    frames: list[np.ndarray] = []
    rams, actions, targets, rewards, pictures = [], [], [], [], []
    over = False
    while not over and len(frames) < most:
        ram = env.ram()
        action = policy.act(frame, ram)
        frames.append(frame)
        rams.append(ram)
        actions.append(action)
        if screens:
            pictures.append(env.render())
        targets.append(action if teacher is None else teacher.act(frame, ram))
        frame, reward, terminated, truncated, _ = env.step(action)
        rewards.append(reward)
        over = terminated or truncated
    return Recording(
        np.stack(frames),
        np.stack(rams),
        np.array(actions, np.uint8),
        np.array(targets, np.uint8),
        np.array(rewards, np.float32),
        np.stack(pictures) if screens else None,
    )


def play(
    policy: Policy, n_games: int, seed: Seed, game: str = "pong", description: str = "playing", **env_options: Any
) -> list[Game]:
    """Full games of one policy, each under its own generator.

    seed          root seed; env_options go to `AtariEnv` (sticky, ...)
    Returns       n_games results in order; the same seed gives the same games on any number of cores.
    """
    options = {"game": game, **env_options}
    environment(**options)  # a wrong option fails here, with a clear message
    tasks = (joblib.delayed(play_game)(policy, rng, options) for rng in islice(game_rngs(seed), n_games))
    return list(workers.progress(workers.in_order(tasks), description, n_games, "game"))


def collect(
    policy: Policy,
    n_frames: int,
    seed: Seed,
    game: str = "pong",
    teacher: Policy | None = None,
    description: str = "collecting",
    **env_options: Any,
) -> Buffer:
    """Full games of one policy, one after the other, the last one cut at n_frames in all.

    Raises   ValueError if n_frames is not positive.
    """
    if n_frames < 1:
        raise ValueError(f"n_frames must be at least 1, not {n_frames}")
    options = {"game": game, **env_options}
    environment(**options)
    tasks = (joblib.delayed(record_game)(policy, rng, options, teacher, n_frames) for rng in game_rngs(seed))
    parts: dict[str, np.ndarray] = {}
    starts, filled = [], 0
    shown: Iterable[Any] = workers.progress([], description, n_frames, "frame")
    assert isinstance(shown, tqdm)
    results = workers.in_order(tasks)
    for recording in results:
        take = min(len(recording.actions), n_frames - filled)
        for name in ("frames", "ram", "actions", "targets", "rewards"):
            value = getattr(recording, name)
            if name not in parts:
                parts[name] = np.empty((n_frames, *value.shape[1:]), value.dtype)
            parts[name][filled : filled + take] = value[:take]
        starts.append(filled)
        filled += take
        shown.update(take)
        if filled == n_frames:
            break
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)  # games begun ahead are dropped on purpose
        results.close()
    shown.close()
    about = {"game": game, "seed": np.atleast_1d(seed), **env_options}
    return Buffer(starts=np.array(starts, np.int64), about=about, **parts)


def buffer_name(game: str, player: str, **env_options: Any) -> str:
    """What sets a buffer apart: game, player, and options of `AtariEnv` that are not the protocol's."""
    return f"{game}_{player}" + "".join(f"_{name}{value:g}" for name, value in sorted(env_options.items()))


def buffer_path(folder: Path, name: str, n_frames: int, seed: int) -> Path:
    """Where it lies, without an ending."""
    return folder / f"{name}_s{seed}_n{n_frames}"


def load_or_collect(
    folder: Path, name: str, policy: Callable[[], Policy], n_frames: int, seed: int, game: str = "pong", **options: Any
) -> Buffer:
    """The buffer data/<name>_s<seed>_n<n_frames>, collected first if it is not there.

    name     as from `buffer_name`, e.g. "pong_random_sticky0"
    seed     the replication; its demonstrations are played under the root seed (seed, DEMONSTRATIONS)
    Raises   ValueError if the stored buffer is damaged: it names the file to delete.
    """
    path = buffer_path(folder, name, n_frames, seed)
    if os.path.exists(f"{path}.npz"):
        return Buffer.load(path, f"delete {path.name}.npz and run the same command again to collect it anew")
    buffer = collect(policy(), n_frames, (seed, DEMONSTRATIONS), game, description=f"collecting {path.name}", **options)
    buffer.save(path)
    return buffer


def random_play(folder: Path, game: str, n_frames: int, seed: int, **env_options: Any) -> Buffer:
    """The buffer of a game under random play, collected first if it is not there; arguments as `load_or_collect`."""
    name = buffer_name(game, "random", **env_options)
    return load_or_collect(folder, name, RandomPolicy, n_frames, seed, game, **env_options)


def random_frames(game: str, size: int, n_frames: int, **env_options: Any) -> np.ndarray:
    """Frames of random play at some resolution, (n, H, W) uint8, the same games at each."""
    env = environment(game=game, **env_options, size=size)
    rng = np.random.default_rng(0)
    frame, _ = env.reset(seed=0)
    frames: list[np.ndarray] = []
    while len(frames) < n_frames:
        frames.append(frame)
        frame, _, terminated, truncated, _ = env.step(int(rng.integers(len(env.action_names))))
        if terminated or truncated:
            frame, _ = env.reset()
    return np.stack(frames)
