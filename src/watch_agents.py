"""Agents on the page: a player in a world, what it sees through a code, and its last 30 seconds."""

from __future__ import annotations

import copy
import itertools
from collections import deque
from collections.abc import Sequence
from dataclasses import replace
from typing import Any, NamedTuple

import numpy as np

from atari_env import STEPS_PER_SECOND
from atari_play import EVALUATION, game_rngs
from dense_head import SteppedHead
from game_shifts import Shift
from live_eyes import Adaptation
from resu_conv import ReSUEncoder
from resu_photometry import MeanPicture
from watch_eyes import Eye
from watch_players import Player, pressed
from watch_worlds import World

KEPT = 30 * STEPS_PER_SECOND  # of the past, for a film  [steps]
SPAN = 1000  # over which points are counted for the curve  [steps]
FEWEST = 50  # steps before there is a point on it


class Moment(NamedTuple):
    """One step as it is kept for a film."""

    screen: np.ndarray  # (h, w, 3) uint8, undisturbed
    frame: np.ndarray  # (H, W) uint8, as the code saw it
    fresh: bool  # the first of an episode
    encoder: ReSUEncoder | None
    shift: Shift | None
    t: int  # of the shift
    line: str

    def shown(self) -> np.ndarray:
        """The screen in colour, disturbed as the frame is: each channel by itself."""
        if self.shift is None:
            return self.screen
        return np.stack([self.shift.apply(self.screen[..., i], self.t) for i in range(3)], axis=-1)


class Agent:
    """One player in one world.

    seed   of its games, which are those of `atari_play.play` under (seed, EVALUATION)
    """

    def __init__(self, world: World, player: Player, eye: Eye | None, seed: int) -> None:
        self.world, self.player, self.eye, self._seed = world, player, eye, seed
        self.shift: Shift | None = None
        self.adaptation: Adaptation | None = None
        self.steps = self.games = self._since = 0
        self.score = self.last_score = 0.0
        self.scores: list[float] = []
        self.action = ""
        self.history: deque[Moment] = deque(maxlen=KEPT)
        self._rewards: deque[float] = deque(maxlen=SPAN)
        self._begin()

    def _begin(self) -> None:
        rng = next(itertools.islice(game_rngs((self._seed, EVALUATION)), self.games, None))
        self._raw, self._fresh, self.score = self.world.begin(rng), True, 0.0
        self._start(rng)

    def _start(self, rng: np.random.Generator) -> None:
        if self.player.policy is not None:
            self.player.policy.start(rng, self.world.action_names)
        self._stepped = SteppedHead(self.player.head) if self.player.head is not None else None
        self._actions = [self.world.action_names.index(name) for name in self.player.class_names]

    def disturb(self, shift: Shift | None) -> None:
        """What it sees is disturbed from now on; another strength of the same disturbance goes on with its clock."""
        if shift is None or self.shift is None or shift.name != self.shift.name:
            self._since = self.steps
        self.shift = shift

    def undisturbed(self, most: int) -> np.ndarray | None:
        """(H, W) mean picture of the last frames that were seen undisturbed, at most so many; None if none is known."""
        frames = [moment.frame for moment in self.history if moment.shift is None][-most:]
        return MeanPicture().add(np.stack(frames)).mean if frames else None

    def look_with(self, eye: Eye, player: Player) -> None:
        """Go on with another code and another player."""
        if self.eye is not None:
            eye.take_over(self.eye)
        else:
            eye.look(self.history[-1].frame, True)
        self.eye, self.player, self.adaptation, self.scores = eye, player, None, []
        self._start(np.random.default_rng((self._seed, self.steps)))

    def step(self, keys: Sequence[str] = ()) -> None:
        """See a frame, choose, act."""
        fresh, self._fresh, t = self._fresh, False, self.steps - self._since
        frame = self._raw if self.shift is None else self.shift.apply(self._raw, t)
        if self.eye is not None:
            self.eye.look(frame, fresh)
        action = self._choose(frame, keys)
        self.action = self.world.action_names[action]
        line = f"score {self.score:+.0f}    action {self.action}" if self.action else f"step {self.steps}"
        encoder = None if self.eye is None else self.eye.encoder
        self.history.append(Moment(self.world.screen(), frame, fresh, encoder, self.shift, t, line))
        if self.adaptation is not None and self.eye is not None:
            found = self.adaptation.look(frame, fresh)
            if found is not None:
                self.eye.become(found)
        self._raw, reward, over = self.world.step(action)
        self.steps, self.score = self.steps + 1, self.score + reward
        self._rewards.append(reward)
        if over:
            self.games, self.last_score = self.games + 1, self.score
            self._begin()

    def _choose(self, frame: np.ndarray, keys: Sequence[str]) -> int:
        if self._stepped is not None and self.eye is not None:
            scores = self._stepped.scores(self.eye.features)
            self.scores = [round(float(score), 3) for score in scores]
            return self._actions[int(scores.argmax())]
        if self.player.policy is not None:
            return self.player.policy.act(frame, self.world.ram())
        return pressed(keys, self.world.action_names)

    @property
    def rate(self) -> float | None:
        """Points per 1,000 steps, over the last SPAN steps; None after fewer than FEWEST."""
        n = len(self._rewards)
        return 1000 * sum(self._rewards) / n if n >= FEWEST else None

    def twin(self) -> Agent:
        """Another agent in the same state: the same frames and actions from here on, while nothing sets them apart."""
        other = copy.copy(self)
        other.world = self.world.twin()
        other.player = replace(self.player, policy=copy.deepcopy(self.player.policy))
        other.eye = None if self.eye is None else self.eye.twin()
        other._stepped = copy.deepcopy(self._stepped)
        other.history, other._rewards = self.history.copy(), self._rewards.copy()
        other.adaptation = None
        return other

    def shown(self, name: str) -> tuple[dict[str, Any], list[np.ndarray]]:
        """What the page shows: numbers, words; screen (h, w, 3), frame (H, W) and, with a code, maps (2K, H, W)."""
        moment = self.history[-1]
        about = {
            "name": name,
            "world": self.world.title,
            "player": self.player.label,
            "plays": any(self.world.action_names),
            "score": self.score,
            "last_score": self.last_score,
            "games": self.games,
            "steps": self.steps,
            "rate": self.rate,
            "action": self.action,
            "classes": list(self.player.class_names),
            "scores": self.scores,
            "adapts": self.adaptation.said if self.adaptation else "",
            "code": self.eye.about() if self.eye else None,
        }
        return about, [moment.shown(), moment.frame, *([self.eye.maps()] if self.eye else [])]
