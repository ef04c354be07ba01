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
from cloning import CLONED_BY, Clone
from stage_io import guard, parse_config, require_positive
from stage_run import start_run

FRESH_GAMES = 900  # root seed: none of the replications that fitted or evaluated a clone


@dataclass(frozen=True)
class Config:
    """Options."""

    expert: Literal["reactive", "winning", "ppo"] = "reactive"  # whose clone; ppo learned from reward
    games: int = 20
    sticky: float = 0.25  # probability that the emulator repeats an action
    smoke: bool = False


SMOKE = {"games": 2}


def main(argv: list[str] | None = None) -> None:
    """Load, play, print."""
    config = parse_config(Config, argv, SMOKE)
    require_positive(config, "games")
    run = start_run(__file__, config)
    c = run.config
    clone = Clone.load(
        run.results / "clones" / f"pong_{c.expert}", CLONED_BY[f"pong_{c.expert}"] + (" --smoke" if c.smoke else "")
    )
    games = atari_play.play(clone, c.games, (FRESH_GAMES, atari_play.EVALUATION), sticky=c.sticky)
    scores = np.array([game.score for game in games])
    estimate = stats_ci.estimate(scores, np.random.default_rng(0))
    row = {
        "policy": "PPO on frozen ReSU features" if c.expert == "ppo" else f"clone of the {c.expert} expert",
        "sticky": f"{c.sticky:g}",
        "score [95 % interval over games of one clone]": str(estimate),
        "won": f"{np.mean(scores > 0):.0%}",
        "steps per game": f"{np.mean([game.length for game in games]):.0f}",
        "games": c.games,
    }
    run.finish([row], scores=scores)


if __name__ == "__main__":
    guard(main)
