"""Stage 7: PPO on frozen ReSU features wins Pong on two CPU cores.

Claim      PPO on layer-1 ReSU features, fitted in closed form on random play and never changed, averages more than +17
           after 5 M steps (20 M emulated frames) and within 60 minutes: final checkpoint, not the best one. It beats
           the same on frames after as many minutes; begun as a winning clone (--start clone), it beats that clone.
Falsified  if the 95 % interval over seeds lies below +17. Other games (--game): the score of Blob-PROST after 10 M
           frames (Machado et al. 2018: Breakout 12.3, Space Invaders 466), at 2.5 M steps.
Original   DQN alone: -19.7 after 500,000 steps
Reads      data/<game>_random_s*, results/clones/
Writes     results/ppo_<game>.{npz,json,log,png}, results/clones/, data/learning/
Run        python src/ppo_pong.py                                       (80 min on 2 cores, 3 seeds)
           python src/ppo_pong.py --views features frames               (the DQN network beside it; 160 min)
           python src/ppo_pong.py --start clone --steps 2000000         (the policy begins as the winning clone; 35 min)
           python src/ppo_pong.py --game breakout --steps 2500000 --seeds 5       (or space_invaders; 60 min)
           python src/ppo_pong.py --smoke                               (1 min, proves nothing)
Resume     Stop it when you like: the same command goes on from the last checkpoint with the same curve.
"""

from dataclasses import asdict, dataclass, replace
from functools import partial
from typing import Any, Literal

import numpy as np

import atari_play
import cloning
import figures
import rl_cells
import rl_ppo
import stats_ci
from cloning import Clone
from players import TASKS
from resu_conv import ReSUEncoder
from rl_cells import Setting
from rl_ppo import Recipe
from rl_training import OnFeatures
from stage_io import guard, parse_config, require_positive
from stage_run import LegacyRun, start_run

TARGETS = {"pong": (17.0, 0.0), "breakout": (12.3,), "space_invaders": (466.0,)}  # in Pong above 0 is to win
LABELS = {"features": "PPO on frozen ReSU features", "frames": "PPO on frames, DQN network"}
RATES = {"features": 5e-4, "frames": 2.5e-4}  # of learning; on frames CleanRL's, which was tuned for that network
CLONES = {  # what "--start clone" begins as: clones of experts, with aggregation
    "pong": "pong_winning",
    "breakout": "breakout_predictive_dagger",
    "space_invaders": "space_invaders_dodging_dagger",
}
GENTLE = (2e-5, 0.001)  # learning rate and entropy from a clone; at 1e-4 and above the clone's play is lost first

Shown = Literal["features", "frames"]


@dataclass(frozen=True)
class Config:
    """Options."""

    game: Literal["pong", "breakout", "space_invaders"] = "pong"
    views: tuple[Shown, ...] = ("features",)
    start: Literal["nothing", "clone"] = "nothing"  # what the policy begins as; a clone's code is the only view then
    seeds: int = 3  # replications: own frames, own fit, own learning, own games
    first_seed: int = 10  # they are this seed and the ones after it; 0 and 1 were seen with recipes that were given up
    n_frames: int = 60_000  # of random play, to fit and scale the features on  [agent steps]
    steps: int = 5_000_000  # of learning [agent steps]
    segment: int = 500_000  # between checkpoints [agent steps]
    frames_steps: int = 1_500_000  # of learning on frames, which takes about as long  [agent steps]
    frames_segment: int = 150_000  # between its checkpoints [agent steps]
    n_envs: int = 16  # games side by side
    critic_first: int = 100_000  # steps in which a clone's policy stays as it is  [agent steps]
    memory: int = 4  # frames in the past of a filter, and number of filters
    grid: tuple[int, int] = (18, 8)  # pooling cells (rows, columns)
    games: int = 20  # evaluation games per seed
    max_steps: int = 27_000  # games are cut here [agent steps]
    tensorboard: bool = False  # a log in data/learning/tensorboard/ (its package is not among the requirements)
    smoke: bool = False  # seconds, proves nothing


SMOKE = {
    "views": ("features", "frames"),
    "seeds": 2,
    "n_frames": 1200,
    "steps": 256,
    "segment": 128,
    "frames_steps": 128,
    "frames_segment": 64,
    "n_envs": 2,
    "grid": (6, 4),
    "games": 1,
    "max_steps": 60,
}


def beginning(run: LegacyRun, game: str) -> tuple[Clone, ReSUEncoder]:
    """The saved clone of the game's best expert, and its code."""
    name = CLONES[game]
    clone = Clone.load(run.results / "clones" / name, cloning.CLONED_BY[name] + (" --smoke" if run.smoke else ""))
    assert isinstance(clone.code, ReSUEncoder)
    return clone, clone.code


def measure(run: LegacyRun, setting: Setting, recipe: Recipe, from_clone: bool, seed: int) -> dict[str, Any]:
    """One seed: fit, learn, evaluate the final policy's likeliest actions in full games."""
    log = run.config.tensorboard
    if from_clone:
        clone, code = beginning(run, setting.game)
        played = atari_play.random_play(run.data, setting.game, setting.n_frames, seed, **TASKS[setting.game].env)
        view = OnFeatures.through(code, played)
        learned = rl_cells.learn(
            run.data, setting, rl_ppo, recipe, seed, view=view, name="from a clone", log=log, start=clone.head
        )
        return {**learned.as_result(), "clone": setting.evaluate(clone, seed, f"clone, seed {seed}")}
    learned = rl_cells.learn(run.data, setting, rl_ppo, recipe, seed, log=log)
    if seed == run.config.first_seed and isinstance(learned.policy, Clone):
        learned.policy.save(run.results / "clones" / f"{setting.game}_ppo")
    return learned.as_result()


def main(argv: list[str] | None = None) -> None:
    """All seeds of all views, then table, verdicts and learning curves."""
    config = parse_config(Config, argv, SMOKE)
    require_positive(
        config, "seeds", "n_frames", "steps", "segment", "frames_steps", "frames_segment", "n_envs", "games"
    )
    variant = ("" if config.game == "pong" else f"_{config.game}") + ("_clone" if config.start == "clone" else "")
    run = start_run(__file__, config, "" if config.smoke else variant)
    c = run.config
    from_clone = c.start == "clone"
    arms: dict[str, list[Any]] = {}
    views: tuple[Shown, ...] = ("features",) if from_clone else c.views
    for view in views:
        recipe = Recipe(
            *((c.steps, c.segment) if view == "features" else (c.frames_steps, c.frames_segment)),
            c.n_envs,
            learning_rate=RATES[view],
        )
        setting = Setting(c.game, view, c.n_frames, c.memory, c.grid, c.games, 0.0, c.max_steps)
        if from_clone:
            clone, code = beginning(run, c.game)
            setting = replace(setting, memory=code.memory, grid=code.grid, actions=clone.class_names)
            rate, entropy = GENTLE
            recipe = replace(recipe, learning_rate=rate, entropy=entropy, critic_first=c.critic_first)
        options = {**asdict(setting), "recipe": asdict(recipe), "start": CLONES[c.game] if from_clone else c.start}
        arms[view] = [
            (partial(measure, run, setting, recipe, from_clone, seed), {"seed": seed, **options})
            for seed in range(c.first_seed, c.first_seed + c.seeds)
        ]
    cells = run.cells(arms, shelf="ppo")
    rng = np.random.default_rng(0)
    rows, verdicts, curves, means = [], [], {}, {}
    lines = {"target": TARGETS[c.game][0]}
    arrays: dict[str, Any] = {}
    n_steps = {"features": c.steps, "frames": c.frames_steps}
    for view, found in cells.items():
        scores = np.array([cell["scores"][str(n_steps[view])] for cell in found])
        means[view] = stats_ci.mean_over_games(scores)
        estimate = stats_ci.estimate(means[view], rng)
        rows.append(
            {
                "policy": f"{LABELS[view]}, {n_steps[view] / 1e6:g} M steps",
                "score [95 % interval over seeds]": str(estimate),
                "worst and best game": f"{scores.min():.0f} .. {scores.max():.0f}",
                "minutes of learning": f"{np.mean([cell['minutes'][-1] for cell in found]):.0f}",
                "seeds x games": f"{c.seeds} x {c.games}",
            }
        )
        verdicts += [
            {
                "claim": f"{LABELS[view]}: the final policy averages more than {target:g}",
                "estimate": str(estimate),
                "verdict": stats_ci.verdict_positive(stats_ci.estimate(means[view] - target, rng)),
            }
            for target in TARGETS[c.game]
        ]
        arrays[f"curves_{view}"] = rl_cells.curves(found)
        curves[LABELS[view]] = rl_cells.stretched(
            arrays[f"curves_{view}"], n_steps[view], max(n_steps[shown] for shown in cells)
        )
        arrays[f"scores_{view}"] = scores
        arrays[f"minutes_{view}"] = np.array([cell["minutes"] for cell in found])
    if from_clone:
        arrays["scores_clone"] = before = np.array([cell["clone"] for cell in cells["features"]])
        gain = stats_ci.paired_difference(means["features"], stats_ci.mean_over_games(before), rng)
        rows.append({**dict.fromkeys(rows[0], ""), "policy": "the clone that it begins as",
                     "score [95 % interval over seeds]": str(stats_ci.estimate(stats_ci.mean_over_games(before), rng)),
                     "seeds x games": f"{c.seeds} x {c.games}"})  # fmt: skip
        lines["the clone:"] = float(before.mean())
        curves = {name: rl_cells.coarser(curve, 10) for name, curve in curves.items()}  # a clone's games are long
        verdicts.append({"claim": "learning improves on the clone", "estimate": str(gain),
                         "verdict": stats_ci.verdict_positive(gain)})  # fmt: skip
    if len(cells) == 2:
        gain = stats_ci.paired_difference(means["features"], means["frames"], rng)
        verdicts.append({"claim": "final policies, learned in about as many minutes: features score above frames",
                         "estimate": str(gain), "verdict": stats_ci.verdict_positive(gain)})  # fmt: skip
        stop = min(n_steps.values())
        returns = [
            rl_cells.between(arrays[f"curves_{view}"], n_steps[view], 0.8 * stop, stop)
            for view in ("features", "frames")
        ]
        if np.isfinite(returns).all():
            gain = stats_ci.paired_difference(returns[0], returns[1], rng)
            verdicts.append({"claim": f"training games up to {stop / 1e6:g} M steps: features return more than frames",
                             "estimate": str(gain), "verdict": stats_ci.verdict_positive(gain)})  # fmt: skip
    figure = figures.learning_curves(
        curves, max(n_steps[view] for view in cells), lines,
        f"{TASKS[c.game].label}: return of training games (sampled actions), one line per seed, n = {c.seeds}",
    )  # fmt: skip
    run.finish(rows, verdicts, figure, **arrays)


if __name__ == "__main__":
    guard(main)
