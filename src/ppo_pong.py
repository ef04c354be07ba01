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

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import Any, Literal

import numpy as np

import atari_play
import cloning
import figures
import figures_curves
import rl_cells
import rl_ppo
import stats_ci
from atari_env import MAX_STEPS
from cloning import Clone
from players import TASKS
from resu_conv import ReSUEncoder
from rl_ppo import Recipe
from rl_training import OnFeatures
from stage_io import guard, require_positive
from stage_report import Report
from stage_run import Run, Stage, measured
from stats_ci import Verdict

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
ARMS: tuple[Shown, ...] = ("features", "frames")


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
    max_steps: int = MAX_STEPS  # games are cut here [agent steps]
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


@dataclass(frozen=True)
class Setting(rl_cells.Setting):
    """One seed's learning; start: the saved clone that the policy begins as, or "nothing"."""

    recipe: Recipe = field(kw_only=True)
    start: str = field(kw_only=True)


Cells = Mapping[Shown, Sequence[Mapping[str, Any]]]  # of each view: a result per seed


def saved_clone(run: Run, name: str) -> tuple[Clone, ReSUEncoder]:
    """A saved clone, and its code."""
    clone = Clone.load(run.results / "clones" / name, cloning.CLONED_BY[name] + (" --smoke" if run.smoke else ""))
    assert isinstance(clone.code, ReSUEncoder)
    return clone, clone.code


@measured(shelf="ppo")
def measure(run: Run, s: Setting) -> dict[str, Any]:
    """Fit, learn, evaluate the final policy's likeliest actions in full games."""
    log = run.config.tensorboard
    if s.start != "nothing":
        clone, code = saved_clone(run, s.start)
        played = atari_play.random_play(run.data, s.game, s.n_frames, s.seed, **TASKS[s.game].env)
        view = OnFeatures.through(code, played)
        learned = rl_cells.learn(
            run.data, s, rl_ppo, s.recipe, view=view, name="from a clone", log=log, start=clone.head
        )
        return {**learned.as_result(), "clone": s.evaluate(clone, f"clone, seed {s.seed}")}
    learned = rl_cells.learn(run.data, s, rl_ppo, s.recipe, log=log)
    if kept(run, s) and isinstance(learned.policy, Clone):
        learned.policy.save(run.results / "clones" / f"{s.game}_ppo")
    return learned.as_result()


def kept(run: Run, s: Setting) -> list[Path]:
    """The files of the policy that is kept: the first seed's on features, from nothing."""
    if s.seed != run.config.first_seed or s.view != "features" or s.start != "nothing":
        return []
    return Clone.files(run.results / "clones" / f"{s.game}_ppo")


def check(config: Config) -> None:
    """Refuse empty runs."""
    names = ("seeds", "n_frames", "steps", "segment", "frames_steps", "frames_segment", "n_envs", "games")
    require_positive(config, *names)


def variant(config: Config) -> str:
    """A result per game and beginning."""
    if config.smoke:
        return ""
    return ("" if config.game == "pong" else f"_{config.game}") + ("_clone" if config.start == "clone" else "")


def views_of(c: Config) -> tuple[Shown, ...]:
    """A clone's code is the only view when the policy begins as a clone."""
    return ("features",) if c.start == "clone" else c.views


def steps_of(c: Config, view: Shown) -> int:
    """How long is learned."""
    return c.steps if view == "features" else c.frames_steps


def cells(run: Run) -> Cells:
    """Of every view a cell per seed, side by side."""
    c = run.config
    arms: dict[Shown, list[Setting]] = {}
    for view in views_of(c):
        segment = c.segment if view == "features" else c.frames_segment
        recipe = Recipe(steps_of(c, view), segment, c.n_envs, learning_rate=RATES[view])
        same = {name: getattr(c, name) for name in ("n_frames", "memory", "grid", "games", "max_steps")}
        setting = Setting(c.first_seed, c.game, view, **same, epsilon=0.0, recipe=recipe, start=c.start)
        if c.start == "clone":
            clone, code = saved_clone(run, CLONES[c.game])
            rate, entropy = GENTLE
            setting = replace(
                setting,
                memory=code.memory,
                grid=code.grid,
                actions=clone.class_names,
                recipe=replace(recipe, learning_rate=rate, entropy=entropy, critic_first=c.critic_first),
                start=CLONES[c.game],
            )
        arms[view] = [replace(setting, seed=c.first_seed + i) for i in range(c.seeds)]
    return run.cells(measure, arms, makes=partial(kept, run))


def report(c: Config, found: Cells) -> Report:
    """Table, verdicts, learning curves."""
    rows, verdicts, means = [], [], {}
    arrays: dict[str, Any] = {}
    for view, its in found.items():
        scores = np.array([cell["scores"][str(steps_of(c, view))] for cell in its])
        means[view] = stats_ci.mean_over_games(scores)
        estimate = stats_ci.estimate(means[view])
        rows.append(_row(c, view, its, scores, estimate))
        for target in TARGETS[c.game]:
            word = stats_ci.verdict_positive(stats_ci.estimate(means[view] - target))
            text = f"{LABELS[view]}: the final policy averages more than {target:g}"
            verdicts.append(Verdict(f"{view} > {target:g}", text, estimate, word, target))
        arrays[f"curves_{view}"] = rl_cells.curves(its)
        arrays[f"scores_{view}"] = scores
        arrays[f"minutes_{view}"] = np.array([cell["minutes"] for cell in its])
    if c.start == "clone":
        arrays["scores_clone"] = before = np.array([cell["clone"] for cell in found["features"]])
        row, verdict = _against_the_clone(c, means["features"], stats_ci.mean_over_games(before))
        rows.append({**dict.fromkeys(rows[0], ""), **row})
        verdicts.append(verdict)
    if len(found) == 2:
        verdicts += _against_frames(c, means, arrays)
    return Report(rows, verdicts, {"": partial(_figure, c, list(found), means, arrays)}, arrays=arrays)


def _figure(
    c: Config, views: Sequence[Shown], means: Mapping[Shown, np.ndarray], arrays: Mapping[str, np.ndarray]
) -> figures.Figure:
    """Against steps; where two views are held against each other at equal minutes, against these as well."""
    by_steps, by_minutes, finals = {}, {}, {}
    lines = {f"target {TARGETS[c.game][0]:g}": TARGETS[c.game][0]}
    if "scores_clone" in arrays:
        finals["the clone that it begins as"] = stats_ci.mean_over_games(arrays["scores_clone"])
        lines["the clone's mean"] = float(arrays["scores_clone"].mean())
    for view in views:
        curve = rl_cells.coarser(arrays[f"curves_{view}"], 10 if c.start == "clone" else 20)
        steps, minutes = steps_of(c, view), arrays[f"minutes_{view}"].mean(axis=0)
        at = (np.arange(curve.shape[1]) + 0.5) / curve.shape[1]
        by_steps[LABELS[view]] = (at * steps / 1e6, curve)
        ends = np.arange(len(minutes) + 1) / len(minutes)
        by_minutes[LABELS[view]] = (np.interp(at, ends, [0, *minutes]), curve)
        finals[f"{LABELS[view]}, {steps / 1e6:g} M steps"] = means[view]
    curves = {"agent steps [millions; 1 step = 4 frames]": by_steps}
    if len(views) > 1:
        curves["minutes of learning, mean of the seeds"] = by_minutes
    title = f"{TASKS[c.game].label}, PPO, sticky 0.25, n = {c.seeds} seeds x {c.games} games"
    return figures_curves.learning(title, curves, finals, lines)


def _row(
    c: Config, view: Shown, its: Sequence[Mapping[str, Any]], scores: np.ndarray, estimate: stats_ci.Estimate
) -> dict[str, Any]:
    return {
        "policy": f"{LABELS[view]}, {steps_of(c, view) / 1e6:g} M steps",
        "score [95 % interval over seeds]": estimate,
        "worst and best game": f"{scores.min():.0f} .. {scores.max():.0f}",
        "minutes of learning": f"{np.mean([cell['minutes'][-1] for cell in its]):.0f}",
        "seeds x games": f"{c.seeds} x {c.games}",
    }


def _against_the_clone(c: Config, final: np.ndarray, before: np.ndarray) -> tuple[dict[str, Any], Verdict]:
    gain = stats_ci.paired_difference(final, before)
    row = {
        "policy": "the clone that it begins as",
        "score [95 % interval over seeds]": stats_ci.estimate(before),
        "seeds x games": f"{c.seeds} x {c.games}",
    }
    return row, Verdict("learned > clone", "learning improves on the clone", gain, stats_ci.verdict_positive(gain))


def _against_frames(c: Config, means: Mapping[Shown, np.ndarray], arrays: Mapping[str, np.ndarray]) -> list[Verdict]:
    gain = stats_ci.paired_difference(means["features"], means["frames"])
    text = "final policies, learned in about as many minutes: features score above frames"
    verdicts = [Verdict("minutes: features > frames", text, gain, stats_ci.verdict_positive(gain))]
    stop = min(c.steps, c.frames_steps)
    returns = [rl_cells.between(arrays[f"curves_{view}"], steps_of(c, view), 0.8 * stop, stop) for view in ARMS]
    if np.isfinite(returns).all():
        gain = stats_ci.paired_difference(returns[0], returns[1])
        text = f"training games up to {stop / 1e6:g} M steps: features return more than frames"
        verdicts.append(Verdict("steps: features > frames", text, gain, stats_ci.verdict_positive(gain)))
    return verdicts


STAGE = Stage(__file__, Config, cells, report, smoke=SMOKE, check=check, variant=variant)

if __name__ == "__main__":
    guard(STAGE.main)
