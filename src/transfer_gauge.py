"""Stage 14: can a kept head be given back what it read, after its encoder was streamed on another game?

Claim      Given the old filters as far as the streamed ones hold them, and the old means, a kept head plays again: of
           the points that it loses otherwise at least 90 % come back, without a frame or a label of the old game. Asked
           besides: means alone (what statistics of batches adapt), gains alone, both; the same span with the new means;
           random filters in place of the streamed ones (the control); the head refitted (what frames and labels give).
Falsified  if the interval of given back - .9 lost, paired over seeds, lies wholly below 0 in any pair of games.
Reads      data/{pong,breakout,space_invaders,enduro}_*      Writes  results/transfer_gauge.{npz,json,log,png}
Run        python src/transfer_gauge.py                    (1 h 30 min on 2 cores)
           python src/transfer_gauge.py --recipe original
           python src/transfer_gauge.py --smoke            (1 min, proves nothing)
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any, Literal, get_args

import numpy as np

import figures
import figures_rows
import recipes
import resu_controls
import stats_ci
import transfer_cells
from atari_env import MAX_STEPS
from cloning import Clone
from players import TASKS
from recipes import RecipeName
from resu_conv import ReSUEncoder
from resu_gauge import regauged
from stage_io import guard, require_positive
from stage_report import Report
from stage_run import SPREAD, Run, Stage, measured
from stats_ci import Verdict
from trained_cache import Setup, clone_of, fit

Back = Literal[
    "nothing", "means", "gains", "means, gains", "span", "span, means", "random span, means", "head refitted"
]
Pair = Literal["pong > breakout", "pong > space_invaders", "breakout > enduro"]
BACK: tuple[Back, ...] = get_args(Back)
CLAIMED: Back = "span, means"
ALPHA = 0.99  # of the stream on the other game
SHARE = 0.9  # of what is lost


@dataclass(frozen=True)
class Config:
    """Options."""

    pairs: tuple[Pair, ...] = get_args(Pair)  # home, whose clone plays, and the game that the encoder is streamed on
    seeds: int = 10  # replications: own demonstrations, own fits, own heads, own games
    n_frames: int = 60_000  # demonstrations per game and seed, and frames streamed [agent steps]
    games: int = 20  # evaluation games per seed
    epochs: int = 6  # passes over the demonstrations
    recipe: RecipeName = "ours"  # of fitting and streaming: ours, or the original's as near as it can be inferred
    max_steps: int = MAX_STEPS  # games are cut here [agent steps]
    smoke: bool = False  # seconds, proves nothing


SMOKE = {"pairs": ("pong > breakout",), "seeds": 2, "n_frames": 1200, "games": 1, "epochs": 1, "max_steps": 150}


@dataclass(frozen=True)
class Setting:
    """One seed of a pair of games: a clone of the home game's expert, and what is given back to its head."""

    home: str
    other: str
    back: Back
    seed: int
    setup: Setup = field(metadata=SPREAD)


def given_back(moved: ReSUEncoder, home: ReSUEncoder, back: Back, seed: int) -> tuple[ReSUEncoder, np.ndarray | None]:
    """What the kept head reads after the stream; of spans (K,) the share of each old response that they do not hold."""
    if back in ("nothing", "head refitted"):
        return moved, None
    if "span" in back:
        new = resu_controls.random_filters(moved, seed) if "random" in back else moved
        found, lost = regauged(home, new, moved.moments_)
        return (found if "means" in back else found.with_filters(found.filters_, moved.mean_)), lost
    return transfer_cells.restored(moved, home, means="means" in back, gains="gains" in back), None


@measured(shelf="transfer_gauge")
def measure(run: Run, s: Setting) -> dict[str, Any]:
    """This seed's evaluation games: scores and lengths; lost: by filter, where a span is asked."""
    home = fit(s.setup, run.data, s.home, s.seed)
    clone, moved = clone_of(s.setup, run.data, home, s.home, s.seed).result, _moved(run.data, s)
    encoder, lost = given_back(moved, home, s.back, s.seed)
    if s.back == "head refitted":
        clone = clone_of(s.setup, run.data, moved, s.home, s.seed).result
    what = f"{s.home} > {s.other}, {s.back}, seed {s.seed}"
    result = s.setup.play(Clone(encoder, clone.head, clone.class_names), s.home, s.seed, what)
    run.log(f"{what}: {np.mean(result['scores']):.1f}{'' if lost is None else f', lost {np.round(lost, 3)}'}")
    return {**result, "lost": None if lost is None else lost.tolist()}


def _moved(folder: Path, s: Setting) -> ReSUEncoder:
    """The home encoder after the stream."""
    other = s.setup.demonstrations(folder, s.other, s.seed)
    return transfer_cells.stream(fit(s.setup, folder, s.home, s.seed), other, s.setup.n_frames, ALPHA, s.setup)


def check(config: Config) -> None:
    """Refuse empty runs."""
    require_positive(config, "seeds", "n_frames", "games", "epochs")
    if not config.pairs:
        raise ValueError(f"--pairs needs one of {', '.join(get_args(Pair))} at least")


def setup_of(c: Config) -> Setup:
    """What all clones share."""
    return Setup(c.n_frames, c.games, c.epochs, max_steps=c.max_steps, recipe=c.recipe)


def variant(config: Config) -> str:
    """Another recipe is a result of its own."""
    return setup_of(config).variant


Results = Sequence[Mapping[str, Any]]  # a cell per seed
Cells = Mapping[str, Mapping[str, Results]]  # by pair, then "before" and what is given back


def cells(run: Run) -> Cells:
    """Of every row a cell per seed."""
    c, setup, found = run.config, setup_of(run.config), {}
    for pair in c.pairs:
        home, other = pair.split(" > ")
        its: dict[str, Results] = {"before": transfer_cells.cells(run, setup, home, home, "native")}
        for back in BACK:
            its[back] = [run.cell(measure, Setting(home, other, back, seed, setup)) for seed in range(c.seeds)]
        found[pair] = its
    return found


def report(c: Config, found: Cells) -> Report:
    """Table, verdicts, what comes back."""
    rows, verdicts, arrays = [], [], {}
    changes: dict[str, dict[str, np.ndarray]] = {}
    for pair, its in found.items():
        home, other = (TASKS[game].label for game in pair.split(" > "))
        means = {back: stats_ci.mean_over_games([cell["scores"] for cell in results]) for back, results in its.items()}
        lost = means["before"] - means["nothing"]
        for back, values in means.items():
            shares = [cell["lost"] for cell in its[back] if cell.get("lost")]
            change = "" if back == "before" else stats_ci.paired_difference(values, means["before"])
            rows.append(
                {
                    "pair": f"{home}, then {other}",
                    "given back": back,
                    "score [95 % interval over seeds]": stats_ci.estimate(values),
                    "after - before": change,
                    "lost of filters 1 to 4": _percent(np.mean(shares, axis=0)) if shares else "",
                    "seeds x games": f"{c.seeds} x {c.games}",
                }
            )
            arrays[f"{pair}_{back}".replace(" > ", "_").replace(", ", "_").replace(" ", "_")] = values
        changes[f"{home}, then {other}"] = {back: means[back] - means["before"] for back in BACK}
        for back in BACK[1:]:
            more = stats_ci.estimate(means[back] - means["nothing"] - SHARE * lost)
            text = f"{home}, then {other}: {back} gives back {SHARE:.0%} of what a kept head loses, or more"
            verdicts.append(Verdict(f"{pair}: {back}", text, more, stats_ci.verdict_positive(more)))
        gain = stats_ci.paired_difference(means[CLAIMED], means["random span, means"])
        text = f"{home}, then {other}: the streamed span gives back more than a random one"
        verdicts.append(Verdict(f"{pair}: span > random", text, gain, stats_ci.verdict_positive(gain)))
    return Report(rows, verdicts, {"": partial(_figure, c, changes)}, arrays=arrays)


def _percent(shares: np.ndarray) -> str:
    return " ".join(f"{share:.1%}" for share in shares)


def _figure(c: Config, changes: Mapping[str, Mapping[str, np.ndarray]]) -> figures.Figure:
    """After - before, by what is given back, in each pair."""
    panels = [
        figures_rows.Panel(
            pair, its, unit="score after - before", lines={"no change": 0.0}, grey=["random span, means"]
        )
        for pair, its in changes.items()
    ]
    title = f"A kept head after its encoder was streamed on another game{recipes.label(c.recipe)}"
    return figures.page(
        f"{title}\nwhat is given back to it, n = {c.seeds} seeds x {c.games} games", [figures_rows.Rows(panels)]
    )


STAGE = Stage(__file__, Config, cells, report, smoke=SMOKE, check=check, variant=variant)

if __name__ == "__main__":
    guard(STAGE.main)
