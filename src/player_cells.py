"""How good are policies by themselves? Scores, lengths and action frequencies, for the eval stages."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

import numpy as np

import atari_play
import stats_ci
from players import TASKS
from stage_io import Run

FULL = 27_000  # agent steps of a full game at most


@dataclass(frozen=True)
class Entry:
    """One policy in one game.

    game, expert   which (expert "random" for random play); source  what it looks at ("ram" or "pixels")
    make           makes the policy       games  per seed       sticky, env  options of `AtariEnv`
    """

    game: str
    expert: str
    source: str
    make: Callable[[], atari_play.Policy]
    games: int
    sticky: float
    env: Mapping[str, Any]

    @property
    def label(self) -> str:
        """For readers."""
        who = "random play" if self.expert == "random" else f"{self.expert}, from {self.source}"
        return f"{TASKS[self.game].label}: {who}"


def player(game: str, expert: str, sticky: float, games: int, max_steps: int = FULL) -> Entry:
    """An expert of a game, or "random" play, that looks at the RAM."""
    task = TASKS[game]
    env = dict(task.env) if max_steps == FULL else {**task.env, "max_steps": max_steps}
    make = atari_play.RandomPolicy if expert == "random" else task.experts[expert]
    return Entry(game, expert, "ram", make, games, sticky, env)


def entries(game: str, sticky: float, games: int, pixel_games: int, max_steps: int = FULL) -> list[Entry]:
    """Random play and every expert of a game, from RAM and, where they can, from pixels; games cut at max_steps."""
    found = [player(game, "random", sticky, games, max_steps)]
    for name, make in TASKS[game].experts.items():
        seeing = player(game, name, sticky, games, max_steps)
        found.append(seeing)
        if hasattr(make(), "source"):
            found.append(replace(seeing, source="pixels", games=pixel_games, make=partial(make, source="pixels")))
    return found


def measure(entry: Entry, seed: int) -> dict[str, Any]:
    """This seed's games. Returns scores, lengths, and the share of each action of the minimal set."""
    played = atari_play.play(
        entry.make(), entry.games, (seed, atari_play.EVALUATION), entry.game, f"{entry.label}, seed {seed}",
        sticky=entry.sticky, **entry.env,
    )  # fmt: skip
    actions = np.sum([game.actions for game in played], axis=0)
    return {
        "scores": [game.score for game in played],
        "lengths": [game.length for game in played],
        "actions": actions / actions.sum(),
    }


def cell(run: Run, entry: Entry, seed: int) -> dict[str, Any]:
    """The result of `measure`, computed once for all stages that show this policy."""
    options = {"game": entry.game, "expert": entry.expert, "source": entry.source, "sticky": entry.sticky}
    options |= {name: value for name, value in entry.env.items() if name == "max_steps"}
    return run.cell(lambda: measure(entry, seed), shelf="players", seed=seed, games=entry.games, **options)


def tabulate(
    run: Run, wanted: Sequence[Entry], seeds: int, original: Mapping[tuple[str, str], str]
) -> tuple[list[dict[str, Any]], dict[str, np.ndarray], dict[str, stats_ci.Estimate]]:
    """All cells: the table's rows, mean scores per seed and their estimates, by label and sticky probability.

    original   (game, expert): what was reported elsewhere
    """
    rng = np.random.default_rng(0)
    rows, means, estimates = [], {}, {}
    for entry in wanted:
        cells = [cell(run, entry, seed) for seed in range(seeds)]
        key = f"{entry.label}, sticky {entry.sticky:g}"
        means[key] = stats_ci.mean_over_games([cell["scores"] for cell in cells])
        estimates[key] = stats_ci.estimate(means[key], rng)
        shares = np.mean([cell["actions"] for cell in cells], axis=0)
        names = atari_play.environment(game=entry.game, sticky=entry.sticky, **entry.env).action_names
        scores = np.concatenate([cell["scores"] for cell in cells])
        rows.append(
            {
                "policy": entry.label,
                "sticky": f"{entry.sticky:g}",
                "original": original.get((entry.game, entry.expert), "") if entry.source == "ram" else "",
                "score [95 % interval over seeds]": str(estimates[key]),
                "worst and best game": f"{scores.min():.0f} .. {scores.max():.0f}",
                "steps per game": f"{np.mean([cell['lengths'] for cell in cells]):.0f}",
                "actions": ", ".join(f"{n} {s:.2f}" for n, s in zip(names, shares, strict=True) if s >= 0.005),
                "seeds x games": f"{seeds} x {entry.games}",
            }
        )
        run.log(str(rows[-1]))
    return rows, means, estimates
