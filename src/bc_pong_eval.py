"""Stage 4a: play a saved Pong clone again, on fresh games; or what PPO learned on the frozen code.

Reads      results/clones/pong_<expert>_{encoder,head}.npz     Writes  results/bc_pong_eval.{npz,json,log}
Run        python src/bc_pong_eval.py                            (1 min on 2 cores)
           python src/bc_pong_eval.py --expert winning --games 40 --sticky 0
           python src/bc_pong_eval.py --expert ppo               (stage 7's policy, learned from reward)
           python src/bc_pong_eval.py --smoke                    (needs python src/bc_pong.py --smoke first)
"""

from dataclasses import dataclass
from typing import Literal

import numpy as np

import atari_play
import stats_ci
from cloning import SAVED
from stage_io import guard, require_positive
from stage_report import Report
from stage_run import Run, Stage, measured

FRESH_GAMES = 900  # root seed: none of the replications that fitted or evaluated a clone


@dataclass(frozen=True)
class Config:
    """Options."""

    expert: Literal["reactive", "winning", "ppo"] = "reactive"  # whose clone; ppo learned from reward
    games: int = 20
    sticky: float = 0.25  # probability that the emulator repeats an action
    smoke: bool = False


SMOKE = {"games": 2}


def check(config: Config) -> None:
    """Refuse empty runs."""
    require_positive(config, "games")


@measured()
def measure(run: Run, setting: Config) -> dict[str, list[float]]:
    """Load the clone and play. Returns scores and lengths per game."""
    clone = SAVED[f"pong_{setting.expert}"].load(run.results, run.smoke)
    games = atari_play.play(clone, setting.games, (FRESH_GAMES, atari_play.EVALUATION), sticky=setting.sticky)
    return {"scores": [game.score for game in games], "lengths": [game.length for game in games]}


def cells(run: Run) -> dict[str, list[float]]:
    """One cell, measured in every run: the clone may be another one by now."""
    return run.cell(measure, run.config, fresh=True)


def report(c: Config, found: dict[str, list[float]]) -> Report:
    """One row."""
    scores = np.array(found["scores"])
    row = {
        "policy": SAVED[f"pong_{c.expert}"].label,
        "sticky": f"{c.sticky:g}",
        "score [95 % interval over games of one clone]": stats_ci.estimate(scores),
        "won": f"{np.mean(scores > 0):.0%}",
        "steps per game": f"{np.mean(found['lengths']):.0f}",
        "games": c.games,
    }
    return Report([row], arrays={"scores": scores})


STAGE = Stage(__file__, Config, cells, report, smoke=SMOKE, check=check)

if __name__ == "__main__":
    guard(STAGE.main)
