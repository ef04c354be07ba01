"""How good are the hand-written experts? Scores, lengths and action frequencies under the protocol.

Claim      The best expert of each game exceeds its target on average at sticky .25: Pong +15, Space Invaders 600,
           Asteroids 1,000, Enduro 100 cars. (Breakout: eval_breakout_expert.py.)
Falsified  if the best expert's 95 % interval over seeds lies below.
Original   Pong -13.4 (reactive), Space Invaders about 350, Asteroids at random, Enduro none
Reads      nothing               Writes  results/eval_expert.{npz,json,log,png}
Run        python src/eval_expert.py                    (35 min on 2 cores, half of it Enduro's planner)
           python src/eval_expert.py --games asteroids
           python src/eval_expert.py --smoke            (1 min, proves nothing)
"""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any, Literal

import numpy as np

import figures
import figures_rows
import player_cells
import stats_ci
from atari_env import MAX_STEPS
from player_cells import Player
from players import TASKS
from stage_io import guard, require_positive
from stage_report import Report
from stage_run import Run, Stage
from stats_ci import Verdict

Game = Literal["pong", "space_invaders", "asteroids", "enduro"]
TARGETS: dict[Game, float] = {"pong": 15.0, "space_invaders": 600.0, "asteroids": 1000.0, "enduro": 100.0}
REPORTED = {"pong": {"reactive, from ram": -13.4}, "space_invaders": {"simple, from ram": 350.0}}
ORIGINAL = {
    ("pong", "reactive"): "-13.4",
    ("space_invaders", "simple"): "about 350",
    ("asteroids", "sweeping"): "sweeps and fires at random",
}


@dataclass(frozen=True)
class Config:
    """Options."""

    games: tuple[Game, ...] = tuple(TARGETS)
    seeds: int = 5  # replications: own games
    n_games: int = 20  # per seed with labels from RAM
    pixel_games: int = 4  # per seed with labels from pixels
    enduro_games: int = 4  # per seed: an expert's game lasts 24,000 steps
    sticky: tuple[float, ...] = (0.25, 0.0)  # probabilities of a repeated action; Enduro is played with the first alone
    max_steps: int = MAX_STEPS  # games are cut here [agent steps]
    smoke: bool = False  # seconds, proves nothing


SMOKE = {
    "games": ("pong", "asteroids"),
    "seeds": 2,
    "n_games": 1,
    "pixel_games": 1,
    "sticky": (0.25,),
    "max_steps": 150,
}


def check(config: Config) -> None:
    """Refuse empty runs."""
    require_positive(config, "seeds", "n_games", "pixel_games", "enduro_games")


def players(c: Config) -> list[Player]:
    """Random play and the experts of every game, from memory and, where they can, from pixels."""
    return [
        player
        for game in c.games
        for sticky in (c.sticky[:1] if game == "enduro" else c.sticky)
        for player in player_cells.lineup(
            game, sticky, c.enduro_games if game == "enduro" else c.n_games, c.pixel_games, c.max_steps
        )
    ]


def cells(run: Run) -> list[list[dict[str, Any]]]:
    """Of every player a cell per seed."""
    return player_cells.cells(run, players(run.config), run.config.seeds)


def report(c: Config, found: list[list[dict[str, Any]]]) -> Report:
    """Table, verdicts, figure."""
    means = player_cells.means_of(players(c), found)
    estimates = {key: stats_ci.estimate(values) for key, values in means.items()}
    verdicts = []
    for game in c.games:
        task = TASKS[game]
        best = f"{task.label}: {task.best}, from ram, sticky {c.sticky[0]:g}"
        above = stats_ci.estimate(means[best] - TARGETS[game])
        text = f"{task.label}: the {task.best} expert averages more than {TARGETS[game]:g}"
        word = stats_ci.verdict_positive(above)
        verdicts.append(Verdict(f"{game}: best > target", text, estimates[best], word, TARGETS[game]))
    return Report(
        player_cells.table(players(c), found, estimates, ORIGINAL),
        verdicts,
        {"": partial(_figure, c, means)},
        ["Sticky 0 is for comparison only: without sticky actions the same few games are played again and again."],
        {key.replace(" ", "_"): values for key, values in means.items()},
    )


def _figure(c: Config, means: Mapping[str, np.ndarray]) -> figures.Figure:
    """A row of panels per game, one panel with sticky actions and one without."""
    blocks = []
    for game in c.games:
        label, panels = TASKS[game].label, []
        for sticky in c.sticky:
            start, end = f"{label}: ", f", sticky {sticky:g}"
            its = {
                key.removeprefix(start).removesuffix(end): values
                for key, values in means.items()
                if key.startswith(start) and key.endswith(end)
            }
            above = all(values.min() > 0 for values in its.values())
            panels += [
                figures_rows.Panel(
                    f"{label}{end}" + (" (logarithmic)" if above else ""), its, REPORTED.get(game, {}),
                    lines={"target of the best": TARGETS[game]}, log=above,
                )
            ] * bool(its)  # fmt: skip
        blocks.append(figures_rows.Rows(panels, alike=True, foot="score per game" if game == c.games[-1] else ""))
    n = f"n = {c.seeds} seeds x {c.n_games} games (from pixels {c.pixel_games}, Enduro {c.enduro_games})"
    return figures.page(f"Hand-written experts, {n}", blocks)


STAGE = Stage(__file__, Config, cells, report, smoke=SMOKE, check=check)

if __name__ == "__main__":
    guard(STAGE.main)
