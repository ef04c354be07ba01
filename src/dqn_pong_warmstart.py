"""Stage 7: DQN that begins as a clone: the collapse, and which mend removes it.

Claim      Begun with the clone's logits as values, DQN falls within 250,000 steps by more than 3 points further than
           the clone that goes on without learning; each mend makes this dip smaller, and all three together keep it
           within 1 point of the clone that does not learn.
Falsified  per claim by an interval over seeds wholly on the other side.
Original   a clone at -8 to -12 collapses to -21 within 50,000 steps
Reads      data/pong_<expert>_s*, data/heads/      Writes  results/dqn_pong_warmstart.{npz,json,log,png}, data/learning/
Run        python src/dqn_pong_warmstart.py                    (65 min on 2 cores)
           python src/dqn_pong_warmstart.py --arms frozen naive leash
           python src/dqn_pong_warmstart.py --smoke            (30 s, proves nothing)

Dip: mean return of the training games that ended in the worst tenth of the run, less the clone's score under the same
share of random actions. Even a run in which nothing is learned has one: the worst tenth of ten lies below their mean,
and in the first tenth only short games end. That is the control, "frozen"; "whole run" is the mean return of all
training games. Mends: "calibrated" fits the values to the clone's Monte-Carlo returns first, "watch" lets the clone
play 50,000 steps before anything is learned, "leash" adds a divergence from the clone that fades, "kept leash" one that
does not (by a hundredth in the whole run).
"""

from dataclasses import asdict, dataclass
from functools import partial
from typing import Any, Literal, get_args

import numpy as np

import atari_play
import cloning
import figures
import rl_cells
import rl_dqn
import stats_ci
import transfer_cells
from atari_env import AtariEnv
from atari_play import Exploring
from cloning import Clone
from heads import DenseHead, Scaling
from rl_cells import Setting
from rl_dqn import Recipe
from rl_training import OnFeatures
from stage_io import guard, parse_config, require_positive
from stage_run import LegacyRun, start_run
from transfer_cells import Protocol

GAME = "pong"
CALIBRATION = 3  # purpose of the clone's games from which its values are fitted, beside atari_play.EVALUATION
Arm = Literal[
    "frozen", "naive", "watch", "calibrated", "leash", "kept leash", "calibrated watch", "calibrated watch leash"
]
ARMS: tuple[Arm, ...] = get_args(Arm)
PARTS = 10  # of a run, for the dip


@dataclass(frozen=True)
class Config:
    """Options."""

    arms: tuple[Arm, ...] = ARMS
    seeds: int = 3  # replications: own demonstrations, own clone, own learning, own games
    n_frames: int = 60_000  # demonstrations [agent steps]
    steps: int = 250_000  # of a run, those that are watched included [agent steps]
    watch: int = 50_000  # steps of the clone before learning, in the arms that watch; 1,000 in the others [agent steps]
    calibration: int = 50_000  # steps of the clone to which values are fitted [agent steps]
    leash: float = 1.0  # weight of the divergence from the clone at the beginning
    epsilon: float = 0.02  # share of random actions, always
    games: int = 20  # evaluation games per seed
    max_steps: int = 27_000  # games are cut here [agent steps]
    tensorboard: bool = False  # a log in data/learning/tensorboard/ (its package is not among the requirements)
    smoke: bool = False  # seconds, proves nothing


SMOKE = {
    "arms": ("frozen", "naive", "calibrated watch leash"),
    "seeds": 2,
    "n_frames": 1200,
    "steps": 400,
    "watch": 160,
    "calibration": 600,
    "games": 1,
    "max_steps": 25,
}


def clone_and_view(run: LegacyRun, setting: Setting, seed: int) -> tuple[Clone, OnFeatures]:
    """This seed's clone of the reactive expert, and the view through its code."""
    c = run.config
    protocol = Protocol(c.n_frames, epochs=1 if c.smoke else 6, max_steps=c.max_steps)
    encoder = transfer_cells.fit(protocol, run.data, GAME, seed)
    clone = transfer_cells.clone_of(protocol, run.data, encoder, GAME, seed).result
    features = cloning.encode_buffer(encoder, protocol.demonstrations(run.data, GAME, seed))
    return clone, OnFeatures(encoder, Scaling.fit(features))


def calibrated(run: LegacyRun, setting: Setting, clone: Clone, view: OnFeatures, seed: int) -> DenseHead:
    """The clone's action values, from games of its own."""
    c = run.config
    player = Exploring(clone, c.epsilon, setting.names)
    played = atari_play.collect(
        player, c.calibration, (seed, CALIBRATION), GAME, description="calibration", **setting.env
    )
    names = AtariEnv(GAME).action_names
    recipe = Recipe()
    return rl_dqn.calibrated_head(
        view, clone, played, names, seed, gamma=recipe.gamma, temperature=recipe.temperature,
        cut=min(500, c.calibration // 3),
    )  # fmt: skip


def measure(run: LegacyRun, setting: Setting, recipe: Recipe, arm: Arm, seed: int) -> dict[str, Any]:
    """One seed of one arm."""
    c = run.config
    clone, view = clone_and_view(run, setting, seed)
    start = calibrated(run, setting, clone, view, seed) if "calibrated" in arm else clone.head
    learned = rl_cells.learn(
        run.data,
        setting,
        rl_dqn,
        recipe,
        seed,
        view=view,
        name=arm,
        log=c.tensorboard,
        start=start,
        teacher=clone.head if recipe.leash else None,
    )
    begun = setting.evaluate(Clone(view.code, start, setting.names), seed, f"{arm}, seed {seed}, start")
    return {**learned.as_result(), "begun": begun}


def before_learning(run: LegacyRun, setting: Setting, seed: int) -> list[float]:
    """Scores of this seed's clone."""
    return setting.evaluate(clone_and_view(run, setting, seed)[0], seed, f"clone, seed {seed}")


def main(argv: list[str] | None = None) -> None:
    """All arms and seeds, then table, verdicts and learning curves."""
    config = parse_config(Config, argv, SMOKE)
    require_positive(config, "seeds", "n_frames", "steps", "watch", "calibration", "games")
    run = start_run(__file__, config)
    c = run.config
    actions = transfer_cells.Protocol().classes(GAME)
    setting = Setting(GAME, "features", c.n_frames, 8, (16, 8), c.games, c.epsilon, c.max_steps, actions)
    clones = [
        run.cell(partial(before_learning, run, setting, seed), seed=seed, **asdict(setting)) for seed in range(c.seeds)
    ]
    arms = {}
    for arm in c.arms:
        watch = c.watch if "watch" in arm else min(1_000, c.watch)
        recipe = Recipe(
            c.steps, c.steps, watch=2 * c.steps if arm == "frozen" else watch, explore=1, first_epsilon=c.epsilon,
            epsilon=c.epsilon, leash=c.leash if "leash" in arm else 0.0,
            leash_steps=100 * c.steps if arm == "kept leash" else 2 * c.steps // 5,
        )  # fmt: skip
        options = {**asdict(setting), "recipe": asdict(recipe), "calibration": c.calibration if "cali" in arm else 0}
        arms[arm] = [
            (partial(measure, run, setting, recipe, arm, seed), {"arm": arm, "seed": seed, **options})
            for seed in range(c.seeds)
        ]
    found = run.cells(arms)
    before = stats_ci.mean_over_games(clones)
    rng = np.random.default_rng(0)
    rows: list[dict[str, Any]] = [
        {"arm": "the clone", "at its start": str(stats_ci.estimate(before, rng)), "dip": "", "whole run - frozen": "",
         "final score": "", "final - clone": "", "seeds x games": f"{c.seeds} x {c.games}"}
    ]  # fmt: skip
    verdicts: list[dict[str, str]] = []
    dips: dict[str, np.ndarray] = {}
    whole = {arm: np.nanmean(rl_cells.curves(cells), axis=1) for arm, cells in found.items()}
    for arm, cells in found.items():
        dips[arm] = rl_cells.lowest(rl_cells.curves(cells), PARTS) - before
        final = stats_ci.mean_over_games([cell["scores"][str(c.steps)] for cell in cells])
        rows.append(
            {
                "arm": arm,
                "at its start": str(stats_ci.estimate(stats_ci.mean_over_games([x["begun"] for x in cells]), rng)),
                "dip": str(stats_ci.estimate(dips[arm], rng)),
                "whole run - frozen": str(stats_ci.paired_difference(whole[arm], whole["frozen"], rng))
                if "frozen" in whole and arm != "frozen"
                else "",
                "final score": str(stats_ci.estimate(final, rng)),
                "final - clone": str(stats_ci.paired_difference(final, before, rng)),
                "seeds x games": f"{c.seeds} x {c.games}",
            }
        )

    def judge(claim: str, arm: Arm, control: Arm, bound: float, sign: int) -> None:
        """sign 1: this arm's dip less the control's lies above the bound; -1: below."""
        if arm in dips and control in dips:
            differences = dips[arm] - dips[control]
            verdict = stats_ci.verdict_positive(stats_ci.estimate(sign * (differences - bound), rng))
            estimate = str(stats_ci.estimate(differences, rng))
            verdicts.append({"claim": claim, "estimate": estimate, "verdict": verdict})

    judge("naive: falls by more than 3 points further than the clone that does not learn", "naive", "frozen", -3, -1)
    for arm in ARMS[2:]:
        judge(f"{arm}: a smaller dip than the naive start's", arm, "naive", 0, 1)
    judge("kept leash: the dip stays within 1 point of the clone that does not learn", "kept leash", "frozen", -1, 1)
    judge("with all three the dip stays within 1 point of the clone that does not learn", ARMS[-1], "frozen", -1, 1)
    curves = {arm: rl_cells.curves(cells) for arm, cells in found.items()}
    figure = figures.learning_panels(
        {arm: rl_cells.coarser(values, 2 * PARTS) for arm, values in curves.items()}, "frozen", c.steps,
        {"clone": float(before.mean())},
        f"Pong, DQN begun as a clone: return of training games, one line per seed, n = {c.seeds}",
    )  # fmt: skip
    arrays: dict[str, Any] = {f"curves_{arm.replace(' ', '_')}": values for arm, values in curves.items()}
    run.finish(rows, verdicts, figure, **arrays)


if __name__ == "__main__":
    guard(main)
