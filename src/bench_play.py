"""Speed of play: what does a clone cost on top of the emulator?

Claim      A clone plays at 90 % or more of the step rate of the bare environment loop with random actions (all cores,
           as many steps, in turns, median of the rounds' ratios), also one whose filters are fitted anew on its own
           play every 100 steps. A game that ends is followed by the next one.
Falsified  by a lower ratio.
Reads      results/clones/          Writes  results/bench_play.{json,log}
Run        python src/bench_play.py              (6 min on 2 cores)
           python src/bench_play.py --smoke      (20 s, proves nothing; needs bc_pong.py --smoke first)
"""

import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

import joblib
import numpy as np

import peers
import stats_ci
import workers
from cloning import saved
from live_eyes import Following
from players import TASKS
from stage_io import guard, require_positive
from stage_report import Report
from stage_run import Run, Stage, late, measured

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
    refits: tuple[int, ...] = (100, 1)  # the first clone again, fitted anew after so many steps [agent steps]
    rounds: int = 5
    tasks: int = 6  # per round, dealt out to the cores
    max_steps: int = 2_500  # of play per task: whole games, the last one cut  [agent steps]
    smoke: bool = False  # seconds, proves nothing


SMOKE = {"clones": ("pong_reactive",), "refits": (100,), "rounds": 2, "tasks": 2, "max_steps": 300}


def rate(work: Callable[[], int]) -> float:
    """Steps per second of wall-clock time."""
    started = time.perf_counter()
    return work() / (time.perf_counter() - started)


def check(config: Config) -> None:
    """Refuse empty runs and unknown clones."""
    require_positive(config, "rounds", "tasks", "max_steps")
    if min(config.refits, default=1) < 1:
        raise ValueError(f"--refits must be numbers of steps, at least 1, not {min(config.refits)}")
    for name in config.clones:
        saved(name)


@dataclass(frozen=True)
class Pace:
    """One clone beside the bare loop; options as in `Config`.

    refits   steps between two fits on its own play, 0: none
    """

    clone: str
    rounds: int
    tasks: int
    max_steps: int
    refits: int = late(0)

    @property
    def label(self) -> str:
        """For readers."""
        every = "every step" if self.refits == 1 else f"every {self.refits} steps"
        return f"{self.clone}, fitted anew {every}" if self.refits else self.clone


@measured()
def measure(run: Run, s: Pace) -> dict[str, Any]:
    """Rounds of both loops in turns.

    Returns   numbers per frame; rates (rounds, 2): of the bare loop and of the clone  [steps/s]
    """
    of = saved(s.clone)
    clone = of.load(run.results, run.smoke)
    policy = Following(clone, "full", s.refits) if s.refits else clone
    options = dict(TASKS[of.game].env, max_steps=s.max_steps)
    pool = joblib.Parallel(n_jobs=workers.n_cores())

    def steps(loop: Callable[..., int], r: int) -> int:
        return sum(pool(joblib.delayed(loop)(seed=FIRST_SEED + r * s.tasks + i) for i in range(s.tasks)))

    loops = (
        partial(peers.bare_loop, of.game, env_options=options),
        partial(peers.policy_loop, policy, of.game, env_options=options),
    )
    for loop in loops:
        steps(loop, 0)  # starts the processes, loads compiled code
    rates = [[rate(partial(steps, loop, r)) for loop in loops] for r in range(1, 1 + s.rounds)]
    run.log(f"{s.label}: {np.median(rates, axis=0)} steps/s")
    return {"n_features": clone.code.n_features, "rates": rates}


def paces(c: Config) -> list[Pace]:
    """What is timed."""
    clones = [Pace(name, c.rounds, c.tasks, c.max_steps) for name in c.clones]
    return clones + [replace(clones[0], refits=n) for n in c.refits]


def cells(run: Run) -> list[dict[str, Any]]:
    """A cell per clone, and per pace of refits, timed in every run."""
    return [run.cell(measure, pace, fresh=True) for pace in paces(run.config)]


def report(c: Config, found: list[dict[str, Any]]) -> Report:
    """Rates, ratios, verdicts."""
    rows, verdicts, arrays = [], [], {}
    for pace, cell in zip(paces(c), found, strict=True):
        name = pace.label
        rates = arrays[f"rates_{name}"] = np.array(cell["rates"])
        ratios = rates[:, 1] / rates[:, 0]
        ratio = float(np.median(ratios))
        rows.append(
            {
                "clone": name,
                "numbers per frame": cell["n_features"],
                "bare loop [steps/s]": f"{np.median(rates[:, 0]):,.0f}",
                "clone in rollouts [steps/s]": f"{np.median(rates[:, 1]):,.0f}",
                "ratio, median of rounds": f"{ratio:.3f}",
                "smallest and largest": f"{ratios.min():.3f} .. {ratios.max():.3f}",
                "rounds x tasks x steps": f"{c.rounds} x {c.tasks} x {c.max_steps:,}",
            }
        )
        claim = f"{name} plays at {TARGET:.0%} or more of the bare loop's rate"
        if pace.refits != 1:  # what that costs is stated, no more
            verdicts.append(stats_ci.measured(name, claim, ratio, ratio >= TARGET, TARGET))
    return Report(rows, verdicts, arrays=arrays)


STAGE = Stage(__file__, Config, cells, report, smoke=SMOKE, check=check)

if __name__ == "__main__":
    guard(STAGE.main)
