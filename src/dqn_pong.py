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
           python src/dqn_pong.py --arms original --seeds 5   (25 min: explores as the original did)
           python src/dqn_pong.py --smoke           (30 s, proves nothing)
Resume     Stop it when you like: the same command goes on from the last checkpoint with the same curve.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Any, Literal

import numpy as np

import figures_curves
import rl_cells
import rl_dqn
import stats_ci
from atari_env import MAX_STEPS
from rl_dqn import Recipe
from stage_io import guard, require_positive
from stage_report import Report
from stage_run import Run, Stage, late, measured
from stats_ci import Verdict

GAME, LEARNED = "pong", -15.0  # points; random play has about -20.4
CURVE = 30  # points that are drawn of a learning curve
NOTE = (
    "Published after 10 M frames, as many as in 2.5 M steps, with sticky actions too: DQN -15.9, "
    "linear Blob-PROST 1.8 (Machado et al. 2018)."
)
ArmName = Literal["features", "frames", "slow", "original"]


@dataclass(frozen=True)
class Arm:
    """What learns: on which view, exploring for how long, and for how long it goes on."""

    label: str
    view: Literal["features", "frames"] = "features"
    slow: bool = False
    goes_on: bool = False  # beyond the original's steps
    as_original: bool = False  # exploration as the original's: from 1 to .1 within all of its steps


ARMS: dict[ArmName, Arm] = {
    "features": Arm("DQN on frozen ReSU features", goes_on=True),
    "frames": Arm("DQN on frames, DQN network", "frames"),
    "slow": Arm("DQN on features, slow exploration", slow=True),
    "original": Arm("DQN on features, exploration 1 to .1 over the whole run", as_original=True),
}
USUAL: tuple[ArmName, ...] = ("features", "frames", "slow")
LEFT = 0.1  # share of random actions at the end of the original's exploration
# Compared after --steps: is the first above the second?
PAIRS: tuple[tuple[ArmName, ArmName], ...] = (("features", "slow"), ("features", "frames"))


@dataclass(frozen=True)
class Config:
    """Options."""

    arms: tuple[ArmName, ...] = USUAL
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
    max_steps: int = MAX_STEPS  # games are cut here [agent steps]
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


@dataclass(frozen=True)
class Setting(rl_cells.Setting):
    """One seed's learning, evaluated at its end and after some steps before."""

    recipe: Recipe = field(kw_only=True)
    evaluate_at: tuple[int, ...] = late((500_000,))


Cells = Mapping[ArmName, Sequence[Mapping[str, Any]]]  # of each arm: a result per seed


@measured(shelf="dqn_pong")
def measure(run: Run, s: Setting) -> dict[str, Any]:
    """Fit, learn, evaluate."""
    learned = rl_cells.learn(run.data, s, rl_dqn, s.recipe, evaluate_at=s.evaluate_at, log=run.config.tensorboard)
    return learned.as_result()


def stops(c: Config, arm: Arm) -> list[int]:
    """After how many steps an arm is evaluated."""
    return sorted({c.steps, c.more_steps} if arm.goes_on else {c.steps})


def claim(c: Config, name: ArmName, steps: int) -> tuple[str, str]:
    """What is claimed of an arm after so many steps: id and words."""
    side, sign = ("below", "<") if steps == c.steps else ("above", ">")
    words = f"{ARMS[name].label}, {steps / 1e6:g} M steps: {side} {LEARNED:g}"
    return f"{name}, {steps / 1e6:g} M {sign} {LEARNED:g}", words


def arm_alone(c: Config) -> bool:
    """The original's exploration is a result of its own."""
    return c.arms == ("original",)


def variant(config: Config) -> str:
    """See `arm_alone`."""
    return "_original" if arm_alone(config) else ""


def check(config: Config) -> None:
    """Refuse empty runs, and evaluations between checkpoints."""
    names = ("seeds", "n_frames", "steps", "segment", "replay", "watch", "explore", "slow_explore", "games")
    require_positive(config, *names)
    if config.more_steps < config.steps or config.steps % config.segment:
        raise ValueError("--more-steps must be at least --steps, which must be a multiple of --segment")


def cells(run: Run) -> Cells:
    """Of every arm a cell per seed, side by side."""
    c = run.config

    def setting(arm: Arm, seed: int) -> Setting:
        explore = c.steps if arm.as_original else c.slow_explore if arm.slow else c.explore
        left = LEFT if arm.as_original else Recipe.epsilon
        recipe = Recipe(stops(c, arm)[-1], c.segment, replay=c.replay, watch=c.watch, explore=explore, epsilon=left)
        same = {name: getattr(c, name) for name in ("n_frames", "memory", "grid", "games", "epsilon", "max_steps")}
        return Setting(seed, GAME, arm.view, **same, recipe=recipe, evaluate_at=(c.steps,))

    return run.cells(measure, {name: [setting(ARMS[name], seed) for seed in range(c.seeds)] for name in c.arms})


def report(c: Config, found: Cells) -> Report:
    """Table, verdicts, learning curves; arms that were left out are shown as missing."""
    rows: list[dict[str, Any]] = []
    verdicts, curves, early, finals = [], {}, {}, {}
    arrays: dict[str, Any] = {}
    for name, its in found.items():
        arm = ARMS[name]
        for steps in stops(c, arm):
            scores = np.array([cell["scores"][str(steps)] for cell in its])
            means = stats_ci.mean_over_games(scores)
            finals[f"{arm.label}, {steps / 1e6:g} M steps"] = means
            estimate, beyond = stats_ci.estimate(means), stats_ci.estimate(means - LEARNED)
            if steps == c.steps:
                early[name] = means
            rows.append(_row(c, arm, steps, its, scores, estimate))
            if steps == c.steps:
                beyond = stats_ci.estimate(LEARNED - means)
            verdicts.append(Verdict(*claim(c, name, steps), estimate, stats_ci.verdict_positive(beyond), LEARNED))
            arrays[f"scores_{name}_{steps}"] = scores
        arrays[f"curves_{name}"] = rl_cells.curves(its)
        at = (np.arange(CURVE) + 0.5) / CURVE * stops(c, arm)[-1] / 1e6
        curves[arm.label] = (at, rl_cells.coarser(arrays[f"curves_{name}"], CURVE))
    for name, arm in ARMS.items():
        if name not in found and name in USUAL and not arm_alone(c):
            rows.append(dict.fromkeys(rows[0], "missing") | {"policy": arm.label})
            verdicts += [stats_ci.missing(*claim(c, name, steps), LEARNED) for steps in stops(c, arm)]
    verdicts += [_compared(better, worse, early) for better, worse in PAIRS if not arm_alone(c)]
    figure = partial(
        figures_curves.learning, f"Pong, DQN, sticky 0.25, n = {c.seeds} seeds x {c.games} games",
        {"agent steps [millions; 1 step = 4 frames]": curves}, finals, {f"learned: above {LEARNED:g}": LEARNED},
        {label: -19.7 for label in finals if label.endswith(f" {c.steps / 1e6:g} M steps")},
    )  # fmt: skip
    return Report(rows, verdicts, {"": figure}, [NOTE, *_late_note(c, arrays)], arrays)


def _row(
    c: Config, arm: Arm, steps: int, its: Sequence[Mapping[str, Any]], scores: np.ndarray, estimate: stats_ci.Estimate
) -> dict[str, Any]:
    share = steps / stops(c, arm)[-1]
    minutes = np.mean([cell["minutes"][round(share * len(cell["minutes"])) - 1] for cell in its])
    return {
        "policy": f"{arm.label}, {steps / 1e6:g} M steps",
        "original": "-19.7" if steps == c.steps else "",
        "score [95 % interval over seeds]": estimate,
        "worst and best game": f"{scores.min():.0f} .. {scores.max():.0f}",
        "minutes of learning": f"{minutes:.0f}",
        "seeds x games": f"{c.seeds} x {c.games}",
    }


def _compared(better: ArmName, worse: ArmName, early: Mapping[ArmName, np.ndarray]) -> Verdict:
    """After --steps: does one arm score above another?"""
    id, text = f"{better} > {worse}", f"after as many steps: {ARMS[better].label} above {ARMS[worse].label}"
    if better not in early or worse not in early:
        return stats_ci.missing(id, text)
    difference = stats_ci.paired_difference(early[better], early[worse])
    return Verdict(id, text, difference, stats_ci.verdict_positive(difference))


def _late_note(c: Config, arrays: Mapping[str, np.ndarray]) -> list[str]:
    if "curves_slow" not in arrays:
        return []
    returns = rl_cells.between(arrays["curves_slow"], c.steps, 0.9 * c.steps, c.steps)
    if not np.isfinite(returns).all():
        return []
    return [
        "Slow exploration: the training games of the last tenth, half of whose actions are random, return "
        f"{stats_ci.estimate(returns)}; its score is that of its own choices."
    ]


STAGE = Stage(__file__, Config, cells, report, smoke=SMOKE, check=check, variant=variant)

if __name__ == "__main__":
    guard(STAGE.main)
