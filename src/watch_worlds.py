"""What an agent looks at: a game, or a video of one's own. Both begin, go on, show themselves and can be doubled."""

from __future__ import annotations

import itertools
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Protocol, TypeVar

import cv2
import numpy as np

from atari_env import STEPS_PER_SECOND, AtariEnv
from atari_play import EVALUATION, Policy, RandomPolicy, game_rngs
from players import TASKS
from resu_video import Clip

ROWS, WIDEST = 84, 168  # of a video's frames as a code sees them  [pixels]
SHOWN_ROWS, SHOWN_COLUMNS = 210, 400  # of its pictures as they are drawn, at most  [pixels]
T = TypeVar("T")


class World(Protocol):
    """Frames (H, W) uint8, one after the other; actions are indices into action_names."""

    title: str
    action_names: tuple[str, ...]
    rate: float  # its own speed  [steps per second]

    def begin(self, rng: np.random.Generator) -> np.ndarray:
        """Its first frame; what is random in it comes from the generator."""
        ...

    def step(self, action: int) -> tuple[np.ndarray, float, bool]:
        """The next frame, the points that the action brought, and whether it is over."""
        ...

    def screen(self) -> np.ndarray:
        """(h, w, 3) uint8: the present frame in colour."""
        ...

    def ram(self) -> np.ndarray:
        """(128,) uint8: the console's memory."""
        ...

    def twin(self) -> World:
        """Another one in the same state, which goes the same way under the same actions."""
        ...

    def collect(self, n: int, policy: Policy | None, seed: int, stop: threading.Event) -> list[np.ndarray]:
        """n frames or fewer, episode by episode, to fit a code on; this world stays as it is.

        policy   that plays, random play if None      stop   set: return what there is
        """
        ...


class GameWorld:
    """An Atari game as the investigation plays it.

    Raises   ValueError for a game that it does not play.
    """

    def __init__(self, game: str) -> None:
        if game not in TASKS:
            raise ValueError(f"unknown game '{game}': choose one of {', '.join(TASKS)}")
        self.game, self.title, self.rate = game, TASKS[game].label, float(STEPS_PER_SECOND)
        self._env = AtariEnv(game, colours=True, **TASKS[game].env)
        self.action_names = self._env.action_names
        self._seed = 0
        self._done: list[int] = []  # actions of the present game

    def begin(self, rng: np.random.Generator) -> np.ndarray:
        """A new game, seeded as `atari_play.play_game` does it."""
        self._seed, self._done = int(rng.integers(2**31)), []
        return self._env.reset(seed=self._seed)[0]

    def step(self, action: int) -> tuple[np.ndarray, float, bool]:
        """One agent step, 1/15 s."""
        self._done.append(action)
        frame, reward, terminated, truncated, _ = self._env.step(action)
        return frame, reward, terminated or truncated

    def screen(self) -> np.ndarray:
        """(210, 160, 3) uint8."""
        return self._env.render()

    def ram(self) -> np.ndarray:
        """(128,) uint8."""
        return self._env.ram()

    def twin(self) -> GameWorld:
        """The same game, played again up to here: exact, .3 s per 1,000 steps."""
        other = GameWorld(self.game)
        other._seed, other._done = self._seed, self._done.copy()
        other._env.reset(seed=self._seed)
        for action in self._done:
            other._env.step(action)
        return other

    def collect(self, n: int, policy: Policy | None, seed: int, stop: threading.Event) -> list[np.ndarray]:
        """Frames of whole games, the last one cut, in an emulator of their own."""
        env, player = AtariEnv(self.game, **TASKS[self.game].env), policy or RandomPolicy()
        episodes: list[np.ndarray] = []
        rngs, left = game_rngs((seed, EVALUATION, 1)), n
        while left > 0 and not stop.is_set():
            rng = next(rngs)
            frames, over = [env.reset(seed=int(rng.integers(2**31)))[0]], False
            player.start(rng, env.action_names)
            while not over and len(frames) < left and not stop.is_set():
                frame, _, terminated, truncated, _ = env.step(player.act(frames[-1], env.ram()))
                frames.append(frame)
                over = terminated or truncated
            episodes.append(np.stack(frames))
            left -= len(frames)
        return episodes


class VideoWorld:
    """A video, from its beginning to its end and over again; its frames in grey, at most ROWS x WIDEST pixels.

    path     of the file       name   what it is called in sentences and on the page
    Raises   ValueError naming it if it is no video.
    """

    def __init__(self, path: Path, name: str) -> None:
        self._path, self.title = path, name
        self.action_names: tuple[str, ...] = ("",)
        with_name(name, path, self._open)
        self.rate = min(max(self._clip.fps or STEPS_PER_SECOND, 1.0), 60.0)
        self._n = 0

    def _open(self) -> None:
        height, width = Clip(self._path).shape
        rows = min(ROWS, height)
        self._clip = Clip(self._path, (rows, min(max(round(width * rows / height), 1), WIDEST)))
        self._pictures: Iterator[np.ndarray] = iter(())

    def _next(self) -> np.ndarray | None:
        picture = with_name(self.title, self._path, lambda: next(self._pictures, None))
        if picture is None:
            return None
        self._n += 1
        height, width = picture.shape[:2]
        shrink = min(1.0, SHOWN_ROWS / height, SHOWN_COLUMNS / width)
        size = max(1, round(width * shrink)), max(1, round(height * shrink))
        small = cv2.resize(picture, size, interpolation=cv2.INTER_AREA) if shrink < 1 else picture
        self._screen = np.stack([small] * 3, axis=-1) if small.ndim == 2 else small
        self._frame = self._clip.grey(picture)
        return self._frame

    def begin(self, rng: np.random.Generator) -> np.ndarray:
        """Its first frame; nothing is random."""
        self._pictures, self._n = self._clip.pictures(), 0
        frame = self._next()
        assert frame is not None  # a clip has pictures
        return frame

    def step(self, action: int) -> tuple[np.ndarray, float, bool]:
        """The next frame; over when there is none."""
        frame = self._next()
        return (self._frame, 0.0, True) if frame is None else (frame, 0.0, False)

    def screen(self) -> np.ndarray:
        """(h, w, 3) uint8, at most SHOWN_ROWS x SHOWN_COLUMNS."""
        return self._screen

    def ram(self) -> np.ndarray:
        """Zeros: a video has no memory."""
        return np.zeros(128, np.uint8)

    def twin(self) -> VideoWorld:
        """The same video, read again up to here."""
        other = VideoWorld(self._path, self.title)
        other.begin(np.random.default_rng(0))
        while other._n < self._n:
            other._next()
        return other

    def collect(self, n: int, policy: Policy | None, seed: int, stop: threading.Event) -> list[np.ndarray]:
        """Its first n frames, one episode."""

        def read() -> np.ndarray:
            blocks = itertools.takewhile(lambda _: not stop.is_set(), self._clip.blocks())
            kept: list[np.ndarray] = []
            for block in blocks:
                kept.append(block)
                if sum(map(len, kept)) >= n:
                    break
            return np.concatenate(kept)[:n] if kept else np.empty((0, 1, 1), np.uint8)

        return [with_name(self.title, self._path, read)]


def with_name(name: str, path: Path, read: Callable[[], T]) -> T:
    """What read() returns. A ValueError of it names the video as its owner does, not the temporary file."""
    try:
        return read()
    except (ValueError, OSError) as error:
        raise ValueError(str(error).replace(str(path), name)) from error
