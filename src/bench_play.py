"""Speed of play: what does a clone cost on top of the emulator?

Claim      A clone plays at 90 % or more of the step rate of the bare environment loop with random actions (all cores,
           as many steps, in turns, median of the rounds' ratios). A game that ends is followed by the next one.
Falsified  by a lower ratio.
Reads      results/clones/          Writes  results/bench_play.{json,log}
Run        python src/bench_play.py              (4 min on 2 cores)
           python src/bench_play.py --smoke      (20 s, proves nothing; needs bc_pong.py --smoke first)
"""

import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any

import joblib
import numpy as np

import peers
import workers
from cloning import CLONED_BY, Clone
from players import TASKS
from stage_io import guard, parse_config, require_positive
from stage_run import start_run

TARGET = 0.9
FIRST_SEED = 700  # games that no stage reports


@dataclass(frozen=True)
class Config:
    """Options."""

    clones: tuple[str, ...] = (
        "pong_reactive",
        "pong_winning",
        "breakout_predictive_dagger",
        "space_invaders_dodging_dagger",
    )
    rounds: int = 5
    tasks: int = 6  # per round, dealt out to the cores
    max_steps: int = 2_500  # of play per task: whole games, the last one cut  [agent steps]
    smoke: bool = False  # seconds, proves nothing


SMOKE = {"clones": ("pong_reactive",), "rounds": 2, "tasks": 2, "max_steps": 300}


def rate(work: Callable[[], int]) -> float:
    """Steps per second of wall-clock time."""
    started = time.perf_counter()
    return work() / (time.perf_counter() - started)


def main(argv: list[str] | None = None) -> None:
    """Rounds of both loops, then the table."""
    config = parse_config(Config, argv, SMOKE)
    require_positive(config, "rounds", "tasks", "max_steps")
    run = start_run(__file__, config)
    c = run.config
    rows, verdicts = [], []
    arrays: dict[str, Any] = {}
    for name in c.clones:
        game = next((game for game in TASKS if name.startswith(game)), "pong")
        clone = Clone.load(run.results / "clones" / name, CLONED_BY.get(name, "run the stage that saves it"))
        options = dict(TASKS[game].env, max_steps=c.max_steps)
        pool = joblib.Parallel(n_jobs=workers.n_cores())

        def steps(loop: partial, r: int, pool: joblib.Parallel = pool) -> int:
            return sum(pool(joblib.delayed(loop)(seed=FIRST_SEED + r * c.tasks + i) for i in range(c.tasks)))

        loops = (
            partial(peers.bare_loop, game, env_options=options),
            partial(peers.policy_loop, clone, game, env_options=options),
        )
        for loop in loops:
            steps(loop, 0)  # starts the processes, loads compiled code
        rates = np.array([[rate(partial(steps, loop, r)) for loop in loops] for r in range(1, 1 + c.rounds)])
        ratios = rates[:, 1] / rates[:, 0]
        arrays[f"rates_{name}"] = rates
        rows.append(
            {
                "clone": name,
                "numbers per frame": clone.code.n_features,
                "bare loop [steps/s]": f"{np.median(rates[:, 0]):,.0f}",
                "clone in rollouts [steps/s]": f"{np.median(rates[:, 1]):,.0f}",
                "ratio, median of rounds": f"{np.median(ratios):.3f}",
                "smallest and largest": f"{ratios.min():.3f} .. {ratios.max():.3f}",
                "rounds x tasks x steps": f"{c.rounds} x {c.tasks} x {c.max_steps:,}",
            }
        )
        run.log(str(rows[-1]))
        verdicts.append(
            {
                "claim": f"{name} plays at {TARGET:.0%} or more of the bare loop's rate",
                "estimate": f"{np.median(ratios):.3f}",
                "verdict": "supported" if np.median(ratios) >= TARGET else "refuted",
            }
        )
    run.finish(rows, verdicts, **arrays)


if __name__ == "__main__":
    guard(main)
