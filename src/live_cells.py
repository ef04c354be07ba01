"""What the stage on adaptation during play measures: a policy whose game changes under it, step by step.

Worlds are a game and what is done to it: a disturbance of game_shifts.py, or a mode and a difficulty of the console.
A policy that was made for the undisturbed game enters at step 0. Points per 1,000 agent steps.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from functools import lru_cache
from pathlib import Path
from typing import Any, Literal, NamedTuple, Protocol, cast

import numpy as np

import atari_play
import cloning
import recipes
import resu_controls
from atari_env import AtariEnv
from cloning import Clone
from game_shifts import Shift
from live_eyes import Follows, LiveClone, Memory
from players import TASKS
from stage_run import SPREAD, Run, measured
from trained_cache import Setup, clone_of, fit, taught

BIN = 250  # steps over which points are counted
KEPT, PICTURED = 5_000, 500  # samples and frames of home from which an agent's memory is made
CLOCK = 100  # of everything that follows in steps of its own  [agent steps]
ORACLE_EPOCHS, NET_EPOCHS = 3, 2


@dataclass(frozen=True)
class World:
    """A game, and what is done to it.

    shift        name of a disturbance of full strength, "" for none; noise, drift: drawn from the seed
    mode, difficulty   of the console
    """

    game: str
    shift: str = ""
    mode: int = 0
    difficulty: int = 0

    @property
    def label(self) -> str:
        """For readers."""
        variant = f"mode {self.mode}, difficulty {self.difficulty}" if self.mode or self.difficulty else ""
        return f"{TASKS[self.game].label}: {self.shift or variant or 'undisturbed'}"

    @property
    def variant(self) -> dict[str, int]:
        """Options of `AtariEnv` that make it another game."""
        return {name: value for name, value in (("mode", self.mode), ("difficulty", self.difficulty)) if value}

    def disturbance(self, seed: int, drawn: int = 0) -> Shift | None:
        """Of one seed; noise is drawn anew for each number `drawn`."""
        if not self.shift:
            return None
        return Shift(self.shift, seed=1000 * drawn + seed if self.shift == "noise" else seed)


@dataclass(frozen=True)
class Arm:
    """Who plays, and how it follows.

    code      "ReSU", "random filters"; "network", on frames; "expert", the player that is imitated
    follows   as `live_eyes.Follows`, for networks as `live_networks.FollowsNet`; "oracle": made for the disturbed game,
              with its labels; "oracle, home's filters": the head alone
    """

    code: Literal["ReSU", "random filters", "network", "expert"]
    follows: str

    @property
    def label(self) -> str:
        """For readers."""
        name = {"network": "DQN network"}.get(self.code, self.code)
        return name if self.code == "expert" else f"{name}, {self.follows}"


@dataclass(frozen=True)
class Setting:
    """One seed of an arm in a world; so many steps are played."""

    arm: Arm
    world: World
    seed: int
    steps: int
    setup: Setup = field(metadata=SPREAD)


class Live(Protocol):
    """A policy that sees disturbed frames, and may follow."""

    @property
    def class_names(self) -> tuple[str, ...]: ...

    @property
    def noise(self) -> float: ...

    def act(self, frame: np.ndarray, fresh: bool) -> int:
        """A class for the next frame, the first of a game if fresh."""


class Step(NamedTuple):
    """What is there before an action."""

    frame: np.ndarray  # (84, 84) uint8, disturbed
    fresh: bool  # whether a game begins with it
    ram: np.ndarray  # (128,) uint8, the console's memory
    do: Callable[[int], float]  # act, once: the reward


def steps(
    env: AtariEnv, shift: Shift | None, seed: int, n: int, begin: Callable[[np.random.Generator], None] | None = None
) -> Iterator[Step]:
    """n steps of games in a row.

    begin   told of every new game, with its generator
    """
    rngs = atari_play.game_rngs((seed, atari_play.EVALUATION))
    state: dict[str, Any] = {"over": True}

    def do(action: int) -> float:
        state["frame"], reward, terminated, truncated, _ = env.step(action)
        state["over"] = terminated or truncated
        return reward

    for t in range(n):
        fresh = state["over"]
        if fresh:
            rng = next(rngs)
            state["frame"], _ = env.reset(seed=int(rng.integers(2**31)))
            if begin is not None:
                begin(rng)
        seen = state["frame"] if shift is None else shift.apply(state["frame"], t)
        yield Step(seen, fresh, env.ram(), do)


def binned(rewards: list[float]) -> list[float]:
    """Points per 1,000 steps, in bins of `BIN` steps (the last one may be shorter)."""
    pieces = [rewards[i : i + BIN] for i in range(0, len(rewards), BIN)]
    return [1000 * sum(piece) / len(piece) for piece in pieces]


@measured(shelf="live")
def measure(run: Run, s: Setting) -> dict[str, Any]:
    """Play.

    Returns   points per 1,000 steps in bins; microseconds per step of seeing, following and choosing, without the first
              `CLOCK` steps; noise: the variance that was found
    """
    env = atari_play.environment(game=s.world.game, **s.setup.env(s.world.game), **s.world.variant)
    rewards: list[float] = []
    seconds = 0.0
    if s.arm.code == "expert":
        noise, expert = 0.0, TASKS[s.world.game].experts[s.setup.expert(s.world.game)]()
        for step in steps(env, None, s.seed, s.steps, lambda rng: expert.start(rng, env.action_names)):
            rewards.append(step.do(expert.act(step.frame, step.ram)))
    else:
        live = _live(run.data, s)
        actions = [env.action_names.index(name) for name in live.class_names]
        for step in steps(env, s.world.disturbance(s.seed), s.seed, s.steps):
            started = time.perf_counter()
            chosen = live.act(step.frame, step.fresh)
            seconds += (time.perf_counter() - started) if len(rewards) >= CLOCK else 0.0
            rewards.append(step.do(actions[chosen]))
        noise = live.noise
    points = binned(rewards)
    run.log(f"{s.world.label}, {s.arm.label}, seed {s.seed}: {np.mean(points):.1f}")
    return {"points": points, "micros": 1e6 * seconds / max(s.steps - CLOCK, 1), "noise": noise}


def _live(folder: Path, s: Setting) -> Live:
    """The policy as it enters."""
    game = s.world.game
    if s.arm.code == "network":
        import live_networks  # torch takes seconds to load

        model, memory = network(s.setup, folder, game, s.seed), home(s.setup, folder, game, "ReSU", s.seed)[1]
        net_follows = cast(live_networks.FollowsNet, s.arm.follows)
        return live_networks.LiveNet(model, s.setup.classes(game), net_follows, memory.picture, CLOCK)
    clone, memory = home(s.setup, folder, game, s.arm.code, s.seed)
    if s.arm.follows.startswith("oracle"):
        return LiveClone(oracle(s, folder, clone), "nothing", memory, CLOCK, s.seed)
    return LiveClone(clone, cast(Follows, s.arm.follows), memory, CLOCK, s.seed)


@lru_cache(maxsize=4)
def home(setup: Setup, folder: Path, game: str, code: str, seed: int) -> tuple[Clone, Memory]:
    """A clone of the undisturbed game's player, and what it remembers; the last few asked for stay in memory."""
    encoder = fit(setup, folder, game, seed)
    if code == "random filters":
        encoder = resu_controls.random_filters(encoder, seed)
    trained = clone_of(setup, folder, encoder, game, seed).result
    clone = Clone(encoder, trained.head, trained.class_names)  # a clone that was kept has lost its moments
    buffer = setup.demonstrations(folder, game, seed)
    return clone, Memory.of(clone, buffer.frames, cloning.encode_buffer(encoder, buffer), KEPT, PICTURED, seed)


@lru_cache(maxsize=1)
def network(setup: Setup, folder: Path, game: str, seed: int) -> Any:
    """The network that was trained on the undisturbed game; the last one stays in memory."""
    import live_networks

    lesson, n_classes = taught(setup, folder, game, seed), len(setup.classes(game))
    return live_networks.fit(lesson.buffer, lesson.classes, n_classes, seed, lesson.taught, NET_EPOCHS)


def oracle(s: Setting, folder: Path, clone: Clone) -> Clone:
    """A clone from demonstrations of the disturbed game, labels and all; where asked, on home's filters."""
    game = s.world.game
    buffer = s.setup.demonstrations(folder, game, s.seed)
    shift = s.world.disturbance(s.seed, drawn=1)
    assert shift is not None
    seen = replace(buffer, frames=shift.apply(buffer.frames))
    code = clone.code if "home" in s.arm.follows else recipes.encoder("ours").fit(seen.episode_frames())
    names = s.setup.classes(game)
    options: dict[str, Any] = {"epochs": ORACLE_EPOCHS, "game": game, **s.setup.env(game)}
    return cloning.clone_policy(code, seen, names, "mlp", s.seed, **options)[0]
