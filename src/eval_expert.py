"""How good are the hand-written Pong experts? Scores, lengths and action frequencies under the protocol.

Claim      The reactive expert loses (about -14), the winning one averages at least +15, both at sticky .25.
Falsified  if the winning expert's 95 % interval over seeds lies below +15.
Original   reactive -13.4
Reads      nothing               Writes  results/eval_expert.{npz,json,log,png}
Run        python src/eval_expert.py            (10 min on 2 cores)
           python src/eval_expert.py --smoke    (20 s, proves nothing)
"""

from dataclasses import dataclass
from typing import Any

import numpy as np

import figures
import rollouts
import stats_ci
from atari_env import AtariEnv
from pong_expert import EXPERTS
from stage_io import guard, parse_config, require_positive, start_run

TARGET = 15.0


@dataclass(frozen=True)
class Config:
    """Options."""

    seeds: int = 5  # replications: own games
    games: int = 20  # per seed with labels from RAM
    pixel_games: int = 4  # per seed with labels from pixels
    sticky: tuple[float, ...] = (0.25, 0.0)  # probabilities of a repeated action
    smoke: bool = False


SMOKE = {"seeds": 2, "games": 1, "pixel_games": 1, "sticky": (0.25,)}


def measure(expert: str, source: str, sticky: float, games: int, seed: int) -> dict[str, Any]:
    """One cell: the games of one seed."""
    policy = rollouts.RandomPolicy() if expert == "random" else EXPERTS[expert](source)
    played = rollouts.play(
        policy, games, (seed, rollouts.EVALUATION), description=f"{expert} {source} s{seed}", sticky=sticky
    )
    actions = np.sum([game.actions for game in played], axis=0)
    return {
        "scores": [game.score for game in played],
        "lengths": [game.length for game in played],
        "actions": actions / actions.sum(),
    }


def main(argv: list[str] | None = None) -> None:
    """All cells, then table, verdict and figure."""
    config = parse_config(Config, argv, SMOKE)
    require_positive(config, "seeds", "games", "pixel_games")
    run = start_run(__file__, config)
    c = run.config
    rng = np.random.default_rng(0)
    names = AtariEnv("pong").action_names
    rows, verdicts, labels, estimates, dots = [], [], [], [], []
    arrays = {}
    for sticky in c.sticky:
        for expert, source in (("random", "ram"), *((e, s) for e in EXPERTS for s in ("ram", "pixels"))):
            games = c.games if source == "ram" else c.pixel_games
            options = {"expert": expert, "source": source, "sticky": sticky, "games": games}
            cells = [
                run.cell(lambda o=options, s=seed: measure(**o, seed=s), seed=seed, **options)
                for seed in range(c.seeds)
            ]
            means = stats_ci.mean_over_games([cell["scores"] for cell in cells])
            estimate = stats_ci.estimate(means, rng)
            shares = np.mean([cell["actions"] for cell in cells], axis=0)
            label = expert if expert == "random" else f"{expert}, from {source}"
            rows.append(
                {
                    "policy": label,
                    "sticky": f"{sticky:g}",
                    "score [95 % interval over seeds]": str(estimate),
                    "steps per game": f"{np.mean([cell['lengths'] for cell in cells]):.0f}",
                    "actions": ", ".join(f"{n} {s:.2f}" for n, s in zip(names, shares, strict=True) if s > 0),
                    "seeds x games": f"{c.seeds} x {games}",
                }
            )
            arrays[f"{expert}_{source}_sticky{sticky:g}"] = np.array([cell["scores"] for cell in cells])
            labels.append(f"{label}, sticky {sticky:g}")
            estimates.append(estimate)
            dots.append(means)
            if (expert, source, sticky) == ("winning", "ram", 0.25):
                verdicts.append(
                    {
                        "claim": f"the winning expert averages at least {TARGET:+g}",
                        "estimate": str(estimate),
                        "verdict": stats_ci.verdict_positive(stats_ci.estimate(means - TARGET, rng)),
                    }
                )
    figure = figures.score_intervals(
        labels,
        estimates,
        dots,
        "Pong experts: mean score per seed",
        f"score per game; dots: {c.seeds} seeds, black: mean and 95 % bootstrap interval",
    )
    run.log("sticky 0 is for comparison only: without sticky actions the same few games are played again and again")
    run.finish(rows, verdicts, figure, **arrays)


if __name__ == "__main__":
    guard(main)
