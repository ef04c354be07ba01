"""Speed of play: what does a clone cost on top of the emulator?

Claim      A clone plays at 90 % or more of the step rate of the bare environment loop with random actions (all cores,
           the same number of games of the same length, in turns, median of the rounds' ratios).
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
import rollouts
import stage_io
from cloning import CLONED_BY, Clone
from demonstrations import TASKS
from stage_io import guard, parse_config, require_positive, start_run

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
    games: int = 6  # per round
    max_steps: int = 2_500  # every game is cut here  [agent steps]
    smoke: bool = False  # seconds, proves nothing


SMOKE = {"clones": ("pong_reactive",), "rounds": 2, "games": 2, "max_steps": 300}


def rate(work: Callable[[], int]) -> float:
    """Steps per second of wall-clock time."""
    started = time.perf_counter()
    return work() / (time.perf_counter() - started)


def main(argv: list[str] | None = None) -> None:
    """Rounds of both loops, then the table."""
    config = parse_config(Config, argv, SMOKE)
    require_positive(config, "rounds", "games", "max_steps")
    run = start_run(__file__, config)
    c = run.config
    rows, verdicts = [], []
    arrays: dict[str, Any] = {}
    for name in c.clones:
        game = next((game for game in TASKS if name.startswith(game)), "pong")
        clone = Clone.load(run.results / "clones" / name, CLONED_BY.get(name, "run the stage that saves it"))
        options = dict(TASKS[game].env, max_steps=c.max_steps)
        pool = joblib.Parallel(n_jobs=stage_io.n_cores())

        def bare(seed: int, game: str = game, options: dict = options, pool: joblib.Parallel = pool) -> int:
            return sum(pool(joblib.delayed(peers.bare_loop)(game, seed + i, options) for i in range(c.games)))

        def cloned(seed: int, game: str = game, options: dict = options, clone: Clone = clone) -> int:
            return sum(played.length for played in rollouts.play(clone, c.games, seed, game, **options))

        bare(FIRST_SEED), cloned(FIRST_SEED)  # start the processes, load compiled code
        rates = np.array([[rate(partial(bare, r)), rate(partial(cloned, r))]
                          for r in range(FIRST_SEED + 1, FIRST_SEED + 1 + c.rounds)])  # fmt: skip
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
                "rounds x games": f"{c.rounds} x {c.games}",
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
