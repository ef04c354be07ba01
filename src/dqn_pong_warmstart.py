"""Stage 7: DQN that begins as a clone: the collapse, and which mend removes it.

Claim      Begun with the clone's logits as values, DQN falls within 250,000 steps by more than 3 points further than
           the clone that goes on without learning; each mend makes this dip smaller, and all three together keep it
           within 1 point of the clone that does not learn.
Falsified  per claim by an interval over seeds wholly on the other side.
Original   a clone at -8 to -12 collapses to -21 within 50,000 steps
Reads      data/pong_<expert>_s*, data/heads/      Writes  results/dqn_pong_warmstart.{npz,json,log,png}, data/learning/
Run        python src/dqn_pong_warmstart.py                    (2 h on 2 cores)
           python src/dqn_pong_warmstart.py --arms frozen naive leash
           python src/dqn_pong_warmstart.py --smoke            (30 s, proves nothing)

Dip: mean return of the training games that ended in the worst tenth of the run, less the clone's score under the same
share of random actions. Even a run in which nothing is learned has one: the worst tenth of ten lies below their mean,
and in the first tenth only short games end. That is the control, "frozen"; "whole run" is the mean return of all
training games. Mends: "calibrated" fits the values to the clone's Monte-Carlo returns first, "watch" lets the clone
play 50,000 steps before anything is learned, "leash" adds a divergence from the clone that fades, "kept leash" one that
does not (by a hundredth in the whole run).
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Any, Literal

import numpy as np

import atari_play
import cloning
import figures
import figures_rows
import rl_cells
import rl_dqn
import stats_ci
from atari_env import MAX_STEPS, AtariEnv
from atari_play import Exploring
from cloning import Clone
from dense_head import DenseHead
from heads import Scaling
from rl_dqn import Recipe
from rl_training import OnFeatures
from stage_io import guard, require_positive
from stage_report import Report
from stage_run import Run, Stage, late, measured
from stats_ci import Verdict
from trained_cache import Setup, clone_of, fit

GAME = "pong"
CALIBRATION = 3  # purpose of the clone's games from which its values are fitted, beside atari_play.EVALUATION
ArmName = Literal[
    "frozen", "naive", "watch", "calibrated", "leash", "kept leash", "calibrated watch", "calibrated watch leash"
]


@dataclass(frozen=True)
class Arm:
    """Which mends there are."""

    learns: bool = True
    watches: bool = False
    calibrated: bool = False
    leash: Literal["", "fading", "kept"] = ""


ARMS: dict[ArmName, Arm] = {
    "frozen": Arm(learns=False),
    "naive": Arm(),
    "watch": Arm(watches=True),
    "calibrated": Arm(calibrated=True),
    "leash": Arm(leash="fading"),
    "kept leash": Arm(leash="kept"),
    "calibrated watch": Arm(watches=True, calibrated=True),
    "calibrated watch leash": Arm(watches=True, calibrated=True, leash="fading"),
}
PARTS = 10  # of a run, for the dip


@dataclass(frozen=True)
class Config:
    """Options."""

    arms: tuple[ArmName, ...] = tuple(ARMS)
    seeds: int = 5  # replications: own demonstrations, own clone, own learning, own games
    n_frames: int = 60_000  # demonstrations [agent steps]
    steps: int = 250_000  # of a run, those that are watched included [agent steps]
    watch: int = 50_000  # steps of the clone before learning, in the arms that watch; 1,000 in the others [agent steps]
    calibration: int = 50_000  # steps of the clone to which values are fitted [agent steps]
    leash: float = 1.0  # weight of the divergence from the clone at the beginning
    epsilon: float = 0.02  # share of random actions, always
    clone_epochs: int = 6  # passes over the demonstrations
    games: int = 20  # evaluation games per seed
    max_steps: int = MAX_STEPS  # games are cut here [agent steps]
    tensorboard: bool = False  # a log in data/learning/tensorboard/ (its package is not among the requirements)
    smoke: bool = False  # seconds, proves nothing


SMOKE = {
    "arms": ("frozen", "naive", "calibrated watch leash"),
    "seeds": 2,
    "n_frames": 1200,
    "steps": 400,
    "watch": 160,
    "calibration": 600,
    "clone_epochs": 1,
    "games": 1,
    "max_steps": 25,
}


@dataclass(frozen=True)
class Start(rl_cells.Setting):
    """One seed's clone."""

    clone_epochs: int = late(6)


@dataclass(frozen=True)
class Setting(Start):
    """One seed of an arm; calibration: steps of the clone to which values are fitted, 0 where they are not."""

    recipe: Recipe = field(kw_only=True)
    calibration: int = field(kw_only=True)
    arm: ArmName = field(kw_only=True)


@dataclass(frozen=True)
class Cells:
    """Scores of each seed's clone, and of each arm a result per seed."""

    clones: Sequence[Sequence[float]]
    arms: Mapping[ArmName, Sequence[Mapping[str, Any]]]


def clone_and_view(run: Run, s: Start) -> tuple[Clone, OnFeatures]:
    """This seed's clone of the reactive expert, and the view through its code."""
    setup = Setup(s.n_frames, epochs=s.clone_epochs, max_steps=s.max_steps)
    encoder = fit(setup, run.data, GAME, s.seed)
    clone = clone_of(setup, run.data, encoder, GAME, s.seed).result
    features = cloning.encode_buffer(encoder, setup.demonstrations(run.data, GAME, s.seed))
    return clone, OnFeatures(encoder, Scaling.fit(features))


def calibrated(s: Setting, clone: Clone, view: OnFeatures) -> DenseHead:
    """The clone's action values, from games of its own."""
    player = Exploring(clone, s.epsilon, s.names)
    seeds = (s.seed, CALIBRATION)
    played = atari_play.collect(player, s.calibration, seeds, GAME, description="calibration", **s.env)
    names = AtariEnv(GAME).action_names
    recipe = Recipe()
    return rl_dqn.calibrated_head(
        view, clone, played, names, s.seed, gamma=recipe.gamma, temperature=recipe.temperature,
        cut=min(500, s.calibration // 3),
    )  # fmt: skip


@measured()
def measure(run: Run, s: Setting) -> dict[str, Any]:
    """One seed of one arm."""
    clone, view = clone_and_view(run, s)
    start = calibrated(s, clone, view) if s.calibration else clone.head
    learned = rl_cells.learn(
        run.data, s, rl_dqn, s.recipe, view=view, name=s.arm, log=run.config.tensorboard, start=start,
        teacher=clone.head if s.recipe.leash else None,
    )  # fmt: skip
    begun = s.evaluate(Clone(view.code, start, s.names), f"{s.arm}, seed {s.seed}, start")
    return {**learned.as_result(), "begun": begun}


@measured()
def before_learning(run: Run, s: Start) -> list[float]:
    """Scores of this seed's clone."""
    return s.evaluate(clone_and_view(run, s)[0], f"clone, seed {s.seed}")


def check(config: Config) -> None:
    """Refuse empty runs."""
    require_positive(config, "seeds", "n_frames", "steps", "watch", "calibration", "clone_epochs", "games")


def recipe_of(c: Config, arm: Arm) -> Recipe:
    """An arm's options of DQN; who does not learn watches for longer than the run."""
    watch = c.watch if arm.watches else min(1_000, c.watch)
    return Recipe(
        c.steps, c.steps, watch=watch if arm.learns else 2 * c.steps, explore=1, first_epsilon=c.epsilon,
        epsilon=c.epsilon, leash=c.leash if arm.leash else 0.0,
        leash_steps=100 * c.steps if arm.leash == "kept" else 2 * c.steps // 5,
    )  # fmt: skip


def cells(run: Run) -> Cells:
    """The clones, then of every arm a cell per seed, side by side."""
    c = run.config
    actions = Setup().classes(GAME)

    def look(seed: int) -> dict[str, Any]:
        same = {name: getattr(c, name) for name in ("n_frames", "games", "epsilon", "max_steps", "clone_epochs")}
        return {
            "seed": seed,
            "game": GAME,
            "view": "features",
            "memory": 8,
            "grid": (16, 8),
            "actions": actions,
            **same,
        }

    clones = [run.cell(before_learning, Start(**look(seed))) for seed in range(c.seeds)]
    arms = {
        name: [
            Setting(
                **look(seed),
                recipe=recipe_of(c, ARMS[name]),
                calibration=c.calibration if ARMS[name].calibrated else 0,
                arm=name,
            )
            for seed in range(c.seeds)
        ]
        for name in c.arms
    }
    return Cells(clones, run.cells(measure, arms))


def report(c: Config, found: Cells) -> Report:
    """Table, verdicts, learning curves."""
    before = stats_ci.mean_over_games(found.clones)
    curves = {name: rl_cells.curves(its) for name, its in found.arms.items()}
    whole = {name: np.nanmean(values, axis=1) for name, values in curves.items()}
    columns = ("dip", "whole run - frozen", "final score", "final - clone")
    rows: list[dict[str, Any]] = [
        {"arm": "the clone", "at its start": stats_ci.estimate(before), **dict.fromkeys(columns, "")}
    ]
    dips: dict[ArmName, np.ndarray] = {}
    finals: dict[ArmName, np.ndarray] = {}
    for name, its in found.arms.items():
        dips[name] = rl_cells.lowest(curves[name], PARTS) - before
        finals[name] = final = stats_ci.mean_over_games([cell["scores"][str(c.steps)] for cell in its])
        begun = stats_ci.mean_over_games([cell["begun"] for cell in its])
        compared = "frozen" in whole and name != "frozen"
        rows.append(
            {
                "arm": name,
                "at its start": stats_ci.estimate(begun),
                "dip": stats_ci.estimate(dips[name]),
                "whole run - frozen": stats_ci.paired_difference(whole[name], whole["frozen"]) if compared else "",
                "final score": stats_ci.estimate(final),
                "final - clone": stats_ci.paired_difference(final, before),
            }
        )
    figure = partial(_figure, c, dips, whole, {name: final - before for name, final in finals.items()})
    return Report(
        [row | {"seeds x games": f"{c.seeds} x {c.games}"} for row in rows],
        _verdicts(dips),
        {"": figure},
        arrays={f"curves_{name.replace(' ', '_')}": values for name, values in curves.items()},
    )


def _figure(
    c: Config,
    dips: Mapping[ArmName, np.ndarray],
    whole: Mapping[ArmName, np.ndarray],
    finals: Mapping[ArmName, np.ndarray],
) -> figures.Figure:
    """Each run's worst tenth and its whole, less those of the clone that does not learn; and its end."""
    titles = ("worst tenth - frozen's", "whole run - frozen's", "final score - the clone's")
    panels = []
    for title, values in zip(titles, (dips, whole, finals), strict=True):
        control = values.get("frozen", 0.0) if title.endswith("frozen's") else 0.0
        its: dict[str, np.ndarray] = {name: value - control for name, value in values.items() if name != "frozen"}
        first = title == titles[0]
        panels.append(
            figures_rows.Panel(
                title, its, {"naive": -9.0} if first and "naive" in its else {}, "original: a clone at -12 ends at -21",
                (-1.0, 1.0) if first else None, "within 1 point", {"no difference": 0.0},
            )
        )  # fmt: skip
    return figures.page(
        f"Pong, DQN begun as a clone, {c.steps:,} steps, sticky 0.25, n = {c.seeds} seeds;\n"
        'returns of training games; "frozen": the clone that does not learn',
        [figures_rows.Rows(panels, alike=True, foot="points")],
    )


def _verdicts(dips: Mapping[ArmName, np.ndarray]) -> list[Verdict]:
    """Of the arms that are there: dips against those of the clone that does not learn, and of the naive start."""
    learnt = "the clone that does not learn"
    claims: list[tuple[str, ArmName, ArmName, float, int]] = [
        (f"naive: falls by more than 3 points further than {learnt}", "naive", "frozen", -3, -1),
        *((f"{name}: a smaller dip than the naive start's", name, "naive", 0.0, 1) for name in list(ARMS)[2:]),
        (f"kept leash: the dip stays within 1 point of {learnt}", "kept leash", "frozen", -1, 1),
        (f"with all three the dip stays within 1 point of {learnt}", "calibrated watch leash", "frozen", -1, 1),
    ]
    verdicts = []
    for text, name, control, bound, sign in claims:  # sign 1: the dip less the control's lies above the bound
        if name in dips and control in dips:
            differences = dips[name] - dips[control]
            word = stats_ci.verdict_positive(stats_ci.estimate(sign * (differences - bound)))
            id = f"{name} against {control}"
            verdicts.append(Verdict(id, text, stats_ci.estimate(differences), word, bound))
    return verdicts


STAGE = Stage(__file__, Config, cells, report, smoke=SMOKE, check=check)

if __name__ == "__main__":
    guard(STAGE.main)
