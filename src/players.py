"""Who is imitated in which game: experts, the actions they use, the environment's options, and their recorded games."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import asteroids_expert
import breakout_expert
import enduro_expert
import pong_expert
import si_expert
from atari_play import Buffer, Policy, buffer_name, load_or_collect


@dataclass(frozen=True)
class Task:
    """One game to imitate.

    label        the game's name for readers
    experts      name: maker of the policy; the first one is of the original's kind, the last one is the best
    class_names  actions that the experts use
    margin       two scores within it count as equivalent, fixed beforehand  [points]
    env          options of `AtariEnv` beside the protocol's
    """

    label: str
    experts: Mapping[str, Callable[..., Policy]]
    class_names: tuple[str, ...]
    margin: float
    env: Mapping[str, Any] = field(default_factory=dict)

    def classes(self, expert: str) -> tuple[str, ...]:
        """The actions that one expert uses: the classes of its clone's head."""
        return getattr(self.experts[expert], "class_names", self.class_names)

    @property
    def first(self) -> str:
        """The name of the expert of the original's kind."""
        return next(iter(self.experts))

    @property
    def best(self) -> str:
        """The name of the best expert."""
        return list(self.experts)[-1]


TASKS = {
    "pong": Task("Pong", pong_expert.EXPERTS, pong_expert.CLASS_NAMES, 2.0),
    "breakout": Task("Breakout", breakout_expert.EXPERTS, breakout_expert.CLASS_NAMES, 5.0, {"press_fire": True}),
    "space_invaders": Task("Space Invaders", si_expert.EXPERTS, si_expert.CLASS_NAMES, 50.0),
    "asteroids": Task("Asteroids", asteroids_expert.EXPERTS, asteroids_expert.CLASS_NAMES, 150.0),
    "enduro": Task("Enduro", {"planning": enduro_expert.EnduroExpert}, enduro_expert.CLASS_NAMES, 20.0),
}


def expert_of(game: str, name: str = "") -> Policy:
    """A named expert of a game; without a name its best one.

    Raises   ValueError for an unknown game or expert, naming those that there are.
    """
    if game not in TASKS:
        raise ValueError(f"unknown game '{game}': choose one of {', '.join(TASKS)}")
    experts = TASKS[game].experts
    if name and name not in experts:
        raise ValueError(f"unknown expert '{name}' of {TASKS[game].label}: choose one of {', '.join(experts)}")
    return experts[name or TASKS[game].best]()


def demonstrations(
    folder: Path, game: str, expert: str, n_frames: int, seed: int, sticky: float = 0.25, **more: Any
) -> Buffer:
    """n_frames of an expert at play, data/<game>_<expert>_s<seed>_n<n_frames>, collected first if they are not there.

    expert    a name of TASKS[game].experts, "" for the best
    more      further options of `AtariEnv`, which enter the file's name
    Raises    ValueError for an unknown game or expert, or a damaged file.
    """
    policy = expert_of(game, expert)
    options = {} if sticky == 0.25 else {"sticky": sticky}
    name = buffer_name(game, expert or TASKS[game].best, **options, **more)
    return load_or_collect(folder, name, lambda: policy, n_frames, seed, game, **options, **more, **TASKS[game].env)
