"""How good are the hand-written Breakout experts? FIRE is pressed by the environment whenever the game waits for it.

Claim      The predictive expert averages more than 120 points at sticky .25; the tracking one is the original's kind.
Falsified  if the predictive expert's 95 % interval over seeds lies below 120.
Original   38 (an expert of unknown make)
Reads      nothing               Writes  results/eval_breakout_expert.{npz,json,log,png}
Run        python src/eval_breakout_expert.py            (10 min on 2 cores)
           python src/eval_breakout_expert.py --smoke    (30 s, proves nothing)
"""

from dataclasses import dataclass
from functools import partial
from typing import Any

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

GAME, TARGET = "breakout", 120.0


@dataclass(frozen=True)
class Config:
    """Options."""

    seeds: int = 5  # replications: own games
    n_games: int = 20  # per seed with labels from RAM
    pixel_games: int = 4  # per seed with labels from pixels
    sticky: tuple[float, ...] = (0.25, 0.0)  # probabilities of a repeated action
    max_steps: int = MAX_STEPS  # games are cut here [agent steps]
    smoke: bool = False  # seconds, proves nothing


SMOKE = {"seeds": 2, "n_games": 1, "pixel_games": 1, "sticky": (0.25,), "max_steps": 150}


def check(config: Config) -> None:
    """Refuse empty runs."""
    require_positive(config, "seeds", "n_games", "pixel_games")


def players(c: Config) -> list[Player]:
    """Random play and the experts, from memory and from pixels."""
    lineups = [player_cells.lineup(GAME, sticky, c.n_games, c.pixel_games, c.max_steps) for sticky in c.sticky]
    return [player for lineup in lineups for player in lineup]


def cells(run: Run) -> list[list[dict[str, Any]]]:
    """Of every player a cell per seed."""
    return player_cells.cells(run, players(run.config), run.config.seeds)


def report(c: Config, found: list[list[dict[str, Any]]]) -> Report:
    """Table, verdict, figure."""
    task = TASKS[GAME]
    means = player_cells.means_of(players(c), found)
    estimates = {key: stats_ci.estimate(values) for key, values in means.items()}
    best = f"{task.label}: {task.best}, from ram, sticky {c.sticky[0]:g}"
    above = stats_ci.estimate(means[best] - TARGET)
    text = f"the {task.best} expert averages more than {TARGET:g}"
    panel = figures_rows.Panel(
        "", {key.removeprefix(f"{task.label}: "): values for key, values in means.items()},
        {f"tracking, from ram, sticky {c.sticky[0]:g}": 38.0}, lines={f"target of the best, {TARGET:g}": TARGET},
        unit="score per game",
    )  # fmt: skip
    n = f"n = {c.seeds} seeds x {c.n_games} games (from pixels {c.pixel_games})"
    figure = partial(figures.page, f"Hand-written experts in Breakout, {n}", [figures_rows.Rows([panel])])
    return Report(
        player_cells.table(players(c), found, estimates, {(GAME, "tracking"): "38"}),
        [Verdict("best > target", text, estimates[best], stats_ci.verdict_positive(above), TARGET)],
        {"": figure},
        ["Sticky 0 is for comparison only: without sticky actions the same few games are played again and again."],
        {key.replace(" ", "_"): values for key, values in means.items()},
    )


STAGE = Stage(__file__, Config, cells, report, smoke=SMOKE, check=check)

if __name__ == "__main__":
    guard(STAGE.main)
