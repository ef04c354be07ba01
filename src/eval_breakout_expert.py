"""How good are the hand-written Breakout experts? FIRE is pressed by the environment whenever the game waits for it.

Claim      The predictive expert averages more than 120 points at sticky .25; the tracking one is the original's kind.
Falsified  if the predictive expert's 95 % interval over seeds lies below 120.
Original   38 (an expert of unknown make)
Reads      nothing               Writes  results/eval_breakout_expert.{npz,json,log,png}
Run        python src/eval_breakout_expert.py            (10 min on 2 cores)
           python src/eval_breakout_expert.py --smoke    (30 s, proves nothing)
"""

from dataclasses import dataclass

import numpy as np

import figures
import player_cells
import stats_ci
from players import TASKS
from stage_io import guard, parse_config, require_positive, start_run

GAME, TARGET = "breakout", 120.0


@dataclass(frozen=True)
class Config:
    """Options."""

    seeds: int = 5  # replications: own games
    n_games: int = 20  # per seed with labels from RAM
    pixel_games: int = 4  # per seed with labels from pixels
    sticky: tuple[float, ...] = (0.25, 0.0)  # probabilities of a repeated action
    max_steps: int = 27_000  # games are cut here [agent steps]
    smoke: bool = False  # seconds, proves nothing


SMOKE = {"seeds": 2, "n_games": 1, "pixel_games": 1, "sticky": (0.25,), "max_steps": 150}


def main(argv: list[str] | None = None) -> None:
    """All cells, then table, verdict and figure."""
    config = parse_config(Config, argv, SMOKE)
    require_positive(config, "seeds", "n_games", "pixel_games")
    run = start_run(__file__, config)
    c = run.config
    task = TASKS[GAME]
    wanted = [
        e for sticky in c.sticky for e in player_cells.entries(GAME, sticky, c.n_games, c.pixel_games, c.max_steps)
    ]
    rows, means, estimates = player_cells.tabulate(run, wanted, c.seeds, {(GAME, "tracking"): "38"})
    best = f"{task.label}: {task.best}, from ram, sticky {c.sticky[0]:g}"
    above = stats_ci.estimate(means[best] - TARGET, np.random.default_rng(0))
    verdict = {
        "claim": f"the {task.best} expert averages more than {TARGET:g}",
        "estimate": str(estimates[best]),
        "verdict": stats_ci.verdict_positive(above),
    }
    figure = figures.score_intervals(
        [key.removeprefix(f"{task.label}: ") for key in means],
        list(estimates.values()),
        list(means.values()),
        "Hand-written Breakout experts: mean score per seed",
        f"score per game; dots: {c.seeds} seeds, black: mean and 95 % bootstrap interval",
    )
    notes = ["Sticky 0 is for comparison only: without sticky actions the same few games are played again and again."]
    run.finish(rows, [verdict], figure, notes, **{key.replace(" ", "_"): values for key, values in means.items()})


if __name__ == "__main__":
    guard(main)
