"""Imitation during play: a teacher says at every step what it would have done, and the head learns while it plays.

After every `LESSON` steps a head is fitted on all labels so far: by ridge, from sums that only grow while the code
stays (exact: the same head as from all samples at once), or an MLP on all samples again. The code is what a home game
left, the same refitted on its own play before every lesson, or random filters.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

import numpy as np

import atari_play
import live_cells
import resu_controls
from dense_head import DenseHead, SteppedHead
from live_cells import World
from live_eyes import Eye
from players import TASKS
from resu_conv import ReSUEncoder
from resu_streaming import StreamingReSU
from ridge_sums import RidgeSums
from stage_run import SPREAD, Run, measured
from trained_cache import Setup, fit

LESSON = 500  # steps between two heads
STRENGTH = 1e-3  # of ridge heads
EPOCHS = 3
Code = Literal["home's filters", "refitted", "random filters"]
Head = Literal["ridge", "MLP"]


@dataclass(frozen=True)
class Setting:
    """One seed of a way to learn in a world, from the encoder of a home game and no head."""

    home: str
    world: World
    code: Code
    head: Head
    seed: int
    steps: int
    setup: Setup = field(metadata=SPREAD)

    @property
    def label(self) -> str:
        """For readers."""
        return f"{self.world.label}, {self.code}, {self.head}"


@measured(shelf="live")
def measure(run: Run, s: Setting) -> dict[str, Any]:
    """Play and learn. Returns points per 1,000 steps in bins."""
    env = atari_play.environment(game=s.world.game, **s.setup.env(s.world.game), **s.world.variant)
    names = s.setup.classes(s.world.game)
    actions = [env.action_names.index(name) for name in names]
    teacher = TASKS[s.world.game].experts[s.setup.expert(s.world.game)]()
    learner = Learner(_code(run.data, s), s.code == "refitted", s.head, len(names), s.seed)
    rewards: list[float] = []
    shift = s.world.disturbance(s.seed)
    for step in live_cells.steps(env, shift, s.seed, s.steps, lambda rng: teacher.start(rng, env.action_names)):
        said = actions.index(teacher.act(step.frame, step.ram))
        rewards.append(step.do(actions[learner.act(step.frame, step.fresh, said)]))
    points = live_cells.binned(rewards)
    run.log(f"{s.label}, seed {s.seed}: {np.mean(points[-4:]):.1f} in the end")
    return {"points": points}


def _code(folder: Path, s: Setting) -> ReSUEncoder:
    encoder = fit(s.setup, folder, s.home, s.seed)
    return resu_controls.random_filters(encoder, s.seed) if s.code == "random filters" else encoder


class Learner:
    """A player without a head that gets one, and better ones, while it plays; before the first it acts at random.

    refits   whether the code is fitted anew before every lesson, on all frames so far
    """

    def __init__(self, encoder: ReSUEncoder, refits: bool, head: Head, n_classes: int, seed: int) -> None:
        self.eye, self._head, self._n_classes, self._seed = Eye(encoder), head, n_classes, seed
        self._stream = StreamingReSU(**encoder.options) if refits else None
        self._rng = np.random.default_rng(seed)
        self._frames: list[np.ndarray] = []
        self._starts: list[int] = []
        self._said: list[int] = []
        self._features: list[np.ndarray] = []  # under the present code
        self._sums = RidgeSums(encoder.n_features, n_classes)
        self._stepped: SteppedHead | None = None

    def act(self, frame: np.ndarray, fresh: bool, said: int) -> int:
        """See a frame, the first of a game if fresh; be told the teacher's class; choose one."""
        if fresh:
            self._starts.append(len(self._frames))
        self.eye.look(frame, fresh)
        self._frames.append(frame)
        self._said.append(said)
        self._features.append(self.eye.features)
        if len(self._said) % LESSON == 0:
            self._stepped = SteppedHead(self._lesson())
        if self._stepped is None:
            return int(self._rng.integers(self._n_classes))
        return int(self._stepped.scores(self.eye.features).argmax())

    def _lesson(self) -> DenseHead:
        new = slice(len(self._said) - LESSON, len(self._said))
        if self._stream is not None:
            starts = [start - new.start for start in self._starts if start >= new.start]
            self.eye.become(self._stream.update(np.stack(self._frames[new]), starts=starts).refit())
            self._features = list(self._encoded())
            self._sums = RidgeSums(self.eye.encoder.n_features, self._n_classes)
            new = slice(0, new.stop)
        y = np.array(self._said)
        if self._head == "ridge":
            return self._sums.add(np.stack(self._features[new]), y[new]).head(STRENGTH)
        import heads  # torch takes seconds to load

        x, n = np.stack(self._features), len(y)
        taught, held_out = np.arange(n * 9 // 10), np.arange(n * 9 // 10, n)
        return heads.fit("mlp", x, y, self._n_classes, self._seed, taught, held_out, epochs=EPOCHS)

    def _encoded(self) -> np.ndarray:
        ends = [*self._starts[1:], len(self._frames)]
        games = [np.stack(self._frames[a:b]) for a, b in zip(self._starts, ends, strict=True)]
        return np.concatenate([self.eye.encoder.encode(game) for game in games])
