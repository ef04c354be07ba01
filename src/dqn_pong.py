"""Stage 7: DQN on Pong, on frozen ReSU features and on frames: are 500,000 steps too few for either?

Claim      After 500,000 steps (2 M emulated frames) DQN stays below -15 on ReSU features and on frames alike (the
           original's negative result), and on features it is above -15 after 2.5 M steps: the steps were the cause.
           Added when the first was refuted on features: with exploration that fades over 1 M steps instead of 250,000,
           as in published recipes, it is true again, and the score is lower than with the short one.
Falsified  if an interval over seeds lies wholly on the other side of -15, or of no difference.
Original   -19.7 after 500,000 steps, on both (one seed)
Reads      data/pong_random_s*          Writes  results/dqn_pong.{npz,json,log,png}, data/learning/
Run        python src/dqn_pong.py                   (170 min on 2 cores)
           python src/dqn_pong.py --arms features   (70 min)
           python src/dqn_pong.py --smoke           (30 s, proves nothing)
Resume     Stop it when you like: the same command goes on from the last checkpoint with the same curve.
"""

from dataclasses import asdict, dataclass
from functools import partial
from typing import Any, Literal

import numpy as np

import figures
import rl_cells
import rl_dqn
import stats_ci
from rl_cells import Setting
from rl_dqn import Recipe
from stage_io import guard, parse_config, require_positive
from stage_run import LegacyRun, start_run

GAME, LEARNED = "pong", -15.0  # points; random play has about -20.4
NOTE = (
    "Published after 10 M frames, as many as in 2.5 M steps, with sticky actions too: DQN -15.9, "
    "linear Blob-PROST 1.8 (Machado et al. 2018)."
)
Arm = Literal["features", "frames", "slow"]
LABELS = {
    "features": "DQN on frozen ReSU features",
    "frames": "DQN on frames, DQN network",
    "slow": "DQN on features, slow exploration",
}
PAIRS = (("features", "slow"), ("features", "frames"))  # compared after --steps: is the first above the second?


@dataclass(frozen=True)
class Config:
    """Options."""

    arms: tuple[Arm, ...] = ("features", "frames", "slow")
    seeds: int = 3  # replications: own frames, own fit, own learning, own games
    n_frames: int = 60_000  # of random play, to fit the encoder on [agent steps]
    steps: int = 500_000  # of learning, as the original's [agent steps]
    more_steps: int = 2_500_000  # of learning on features, the same run [agent steps]
    explore: int = 250_000  # steps in which the share of random actions falls from 1 to .01 [agent steps]
    slow_explore: int = 1_000_000  # the same in the arm with slow exploration [agent steps]
    segment: int = 250_000  # between checkpoints [agent steps]
    replay: int = 100_000  # transitions kept
    watch: int = 20_000  # random steps before learning [agent steps]
    memory: int = 4  # frames in the past of a filter, and number of filters
    grid: tuple[int, int] = (18, 8)  # pooling cells (rows, columns)
    games: int = 20  # evaluation games per seed
    epsilon: float = 0.01  # share of random actions in them
    max_steps: int = 27_000  # games are cut here [agent steps]
    tensorboard: bool = False  # a log in data/learning/tensorboard/ (its package is not among the requirements)
    smoke: bool = False  # seconds, proves nothing


SMOKE = {
    "seeds": 2,
    "n_frames": 1200,
    "steps": 160,
    "more_steps": 320,
    "segment": 80,
    "replay": 100,
    "watch": 60,
    "explore": 80,
    "slow_explore": 320,
    "grid": (6, 4),
    "games": 1,
    "max_steps": 60,
}


def measure(run: LegacyRun, setting: Setting, recipe: Recipe, seed: int) -> dict[str, Any]:
    """One seed: fit, learn, evaluate after --steps and at the end."""
    learned = rl_cells.learn(
        run.data, setting, rl_dqn, recipe, seed, evaluate_at=(run.config.steps,), log=run.config.tensorboard
    )
    return learned.as_result()


def stops(c: Config, arm: str) -> list[int]:
    """After how many steps an arm is evaluated."""
    return sorted({c.steps, c.more_steps} if arm == "features" else {c.steps})


def claim(c: Config, arm: str, steps: int) -> str:
    """What is claimed of an arm after so many steps."""
    return f"{LABELS[arm]}, {steps / 1e6:g} M steps: {'below' if steps == c.steps else 'above'} {LEARNED:g}"


def main(argv: list[str] | None = None) -> None:
    """All seeds of all views, then table, verdicts and learning curves."""
    config = parse_config(Config, argv, SMOKE)
    require_positive(
        config, "seeds", "n_frames", "steps", "segment", "replay", "watch", "explore", "slow_explore", "games"
    )
    if config.more_steps < config.steps or config.steps % config.segment:
        raise ValueError("--more-steps must be at least --steps, which must be a multiple of --segment")
    run = start_run(__file__, config)
    c = run.config
    arms = {}
    for arm in c.arms:
        explore = c.slow_explore if arm == "slow" else c.explore
        recipe = Recipe(stops(c, arm)[-1], c.segment, replay=c.replay, watch=c.watch, explore=explore)
        view: Literal["features", "frames"] = "frames" if arm == "frames" else "features"
        setting = Setting(GAME, view, c.n_frames, c.memory, c.grid, c.games, c.epsilon, c.max_steps)
        options = {**asdict(setting), "recipe": asdict(recipe)}
        arms[arm] = [
            (partial(measure, run, setting, recipe, seed), {"seed": seed, **options}) for seed in range(c.seeds)
        ]
    cells = run.cells(arms)
    rng = np.random.default_rng(0)
    rows, verdicts, curves, early = [], [], {}, {}
    arrays: dict[str, Any] = {}
    for arm, found in cells.items():
        for steps in stops(c, arm):
            scores = np.array([cell["scores"][str(steps)] for cell in found])
            means = stats_ci.mean_over_games(scores)
            estimate, above = stats_ci.estimate(means, rng), stats_ci.estimate(means - LEARNED, rng)
            if steps == c.steps:
                early[arm] = means
            share = steps / stops(c, arm)[-1]
            minutes = np.mean([cell["minutes"][round(share * len(cell["minutes"])) - 1] for cell in found])
            rows.append(
                {
                    "policy": f"{LABELS[arm]}, {steps / 1e6:g} M steps",
                    "original": "-19.7" if steps == c.steps else "",
                    "score [95 % interval over seeds]": str(estimate),
                    "worst and best game": f"{scores.min():.0f} .. {scores.max():.0f}",
                    "minutes of learning": f"{minutes:.0f}",
                    "seeds x games": f"{c.seeds} x {c.games}",
                }
            )
            beyond = stats_ci.estimate(LEARNED - means, rng) if steps == c.steps else above
            verdicts.append(
                {
                    "claim": claim(c, arm, steps),
                    "estimate": str(estimate),
                    "verdict": stats_ci.verdict_positive(beyond),
                }
            )
            arrays[f"scores_{arm}_{steps}"] = scores
        arrays[f"curves_{arm}"] = rl_cells.curves(found)
        curves[LABELS[arm]] = rl_cells.stretched(arrays[f"curves_{arm}"], stops(c, arm)[-1], c.more_steps)
    for arm in LABELS:
        if arm not in c.arms:
            rows.append(dict.fromkeys(rows[0], "missing") | {"policy": LABELS[arm]})
            verdicts += [dict.fromkeys(verdicts[0], "missing") | {"claim": claim(c, arm, n)} for n in stops(c, arm)]
    for better, worse in PAIRS:
        row = {"claim": f"after as many steps: {LABELS[better]} above {LABELS[worse]}"}
        if better in early and worse in early:
            difference = stats_ci.paired_difference(early[better], early[worse], rng)
            row |= {"estimate": str(difference), "verdict": stats_ci.verdict_positive(difference)}
        verdicts.append(dict.fromkeys(verdicts[0], "missing") | row)
    figure = figures.learning_curves(
        curves, c.more_steps, {"original": -19.7},
        f"Pong, DQN: return of training games, one line per seed, n = {c.seeds}",
    )  # fmt: skip
    notes = [NOTE]
    if "slow" in cells:
        late = rl_cells.between(arrays["curves_slow"], c.steps, 0.9 * c.steps, c.steps)
        if np.isfinite(late).all():
            notes.append(
                "Slow exploration: the training games of the last tenth, half of whose actions are random, return "
                f"{stats_ci.estimate(late, rng)}; its score is that of its own choices."
            )
    run.finish(rows, verdicts, figure, notes, **arrays)


if __name__ == "__main__":
    guard(main)
