"""Stages 9a and 9b: where does test-time adaptation of the encoder pay?

Claim      Streaming a source game's encoder on the target's frames raises the score of a clone above that on the frozen
           encoder; the gain is larger where the frozen encoder fares badly; more streamed frames are not better.
Falsified  per cell, if the interval of streamed - frozen, paired over seeds, lies below 0 (undecided if it holds 0).
Original   9a 16.9, 19.8, 14.2, 14.3 after 0, 10 k, 30 k, 60 k frames; 9b in ORIGINAL below (one seed)
Reads      data/<game>_<expert>_*          Writes  results/transfer_matrix.{npz,json,log,png}
Run        python src/transfer_matrix.py                   (2 h on 2 cores; shares its cells with bc_breakout.py)
           python src/transfer_matrix.py --games pong breakout space_invaders asteroids enduro
           python src/transfer_matrix.py --smoke           (2 min, proves nothing)
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any, Literal

import numpy as np

import figures
import figures_curves
import figures_rows
import recipes
import stats_ci
import transfer_cells
from atari_env import MAX_STEPS
from players import TASKS
from recipes import RecipeName
from stage_io import guard, require_positive
from stage_report import Report
from stage_run import Run, Stage
from stats_ci import Estimate, Verdict
from trained_cache import Setup

Game = Literal["pong", "breakout", "space_invaders", "asteroids", "enduro"]
TIMESCALE_REPORTED = {0: (16.9, 3.7), 10_000: (19.8, 3.3), 30_000: (14.2, 2.1), 60_000: (14.3, 2.2)}
TIMESCALE_ORIGINAL = {0: "16.9 +- 3.7", 10_000: "19.8 +- 3.3", 30_000: "14.2 +- 2.1", 60_000: "14.3 +- 2.2"}
ORIGINAL = {  # (source, target): frozen, streamed
    ("pong", "pong"): (-12.9, -12.9),
    ("pong", "breakout"): (12.9, 9.7),
    ("pong", "space_invaders"): (332.5, 343.5),
    ("breakout", "pong"): (-12.0, -11.7),
    ("breakout", "breakout"): (16.9, 16.9),
    ("breakout", "space_invaders"): (283.5, 335.0),
    ("space_invaders", "pong"): (-18.0, -10.5),
    ("space_invaders", "breakout"): (12.2, 18.0),
    ("space_invaders", "space_invaders"): (352.0, 352.0),
}


@dataclass(frozen=True)
class Config:
    """Options."""

    games: tuple[Game, ...] = ("pong", "breakout", "space_invaders")
    seeds: int = 10  # replications: own demonstrations, own fits, own head, own games
    breakout_seeds: int = 20  # the same from Pong to Breakout, whose differences spread most
    n_frames: int = 60_000  # demonstrations per game and seed [agent steps]
    timescale: tuple[int, ...] = (0, 10_000, 30_000, 60_000)  # streamed frames, Pong to Breakout
    n_games: int = 20  # evaluation games per seed
    epochs: int = 6  # passes over the demonstrations
    alpha: float = 0.99  # the stream's clock, per chunk of 1,000 frames
    sticky: float = 0.25  # probability that the emulator repeats an action
    experts: Literal["original", "best"] = "original"  # who is imitated: experts of the original's kind, or the best
    recipe: RecipeName = "ours"  # of fitting and streaming: ours, or the original's as near as it can be inferred
    max_steps: int = MAX_STEPS  # games are cut here [agent steps]
    smoke: bool = False  # seconds, proves nothing


SMOKE = {
    "games": ("pong", "breakout"),
    "seeds": 2,
    "breakout_seeds": 3,
    "n_frames": 1200,
    "n_games": 1,
    "epochs": 1,
    "timescale": (0, 1200),
    "max_steps": 150,
}


Results = Sequence[Mapping[str, Any]]  # one per seed


@dataclass(frozen=True)
class Cells:
    """references: (target, "random" or "expert"); native: by game; moved: (source, target, "frozen" or "streamed");
    timescale: by frames streamed from Pong to Breakout."""

    references: Mapping[tuple[str, str], Results]
    native: Mapping[str, Results]
    moved: Mapping[tuple[str, str, str], Results]
    timescale: Mapping[int, Results]


def seeds_of(c: Config, source: str, target: str) -> int:
    """Replications of a pair of games."""
    return c.breakout_seeds if (source, target) == ("pong", "breakout") else c.seeds


def check(config: Config) -> None:
    """Refuse empty runs, and what cannot be compared."""
    require_positive(config, "seeds", "breakout_seeds", "n_frames", "n_games", "epochs")
    if len(config.games) < 2 or len(set(config.games)) < len(config.games):
        raise ValueError(f"--games needs at least two different games, not {', '.join(config.games)}")
    if len(config.timescale) < 2 or max(config.timescale) > config.n_frames or min(config.timescale) < 0:
        raise ValueError("--timescale needs at least two numbers of frames between 0 and --n-frames")
    if list(config.timescale) != sorted(set(config.timescale)):
        raise ValueError(f"--timescale must rise from each number to the next, not {config.timescale}")


def setup_of(c: Config) -> Setup:
    """What all clones share."""
    return Setup(
        c.n_frames, c.n_games, c.epochs, sticky=c.sticky, experts=c.experts, max_steps=c.max_steps, recipe=c.recipe
    )


def variant(config: Config) -> str:
    """Other experts, games without sticky actions and another recipe are results of their own."""
    return setup_of(config).variant


def cells(run: Run) -> Cells:
    """Everybody's games."""
    c, setup = run.config, setup_of(run.config)
    pairs = [(source, target) for target in c.games for source in c.games if source != target]
    whos: tuple[Literal["random", "expert"], ...] = ("random", "expert")

    def of(source: str, target: str, arm: transfer_cells.Arm, n_stream: int = 0, alpha: float = 1.0) -> Results:
        return transfer_cells.cells(run, setup, source, target, arm, n_stream, alpha, seeds_of(c, source, target))

    most = {game: max(seeds_of(c, source, game) for source in c.games) for game in c.games}
    return Cells(
        {(game, who): transfer_cells.references(run, setup, game, who) for game in c.games for who in whos},
        {game: transfer_cells.cells(run, setup, game, game, "native", seeds=most[game]) for game in c.games},
        {(*pair, "frozen"): of(*pair, "frozen") for pair in pairs}
        | {(*pair, "streamed"): of(*pair, "streamed", c.n_frames, c.alpha) for pair in pairs},
        {n: of("pong", "breakout", "streamed", n, c.alpha) for n in c.timescale},
    )


def means_of(its: Results) -> np.ndarray:
    """(n seeds,) mean scores."""
    return stats_ci.mean_over_games([cell["scores"] for cell in its])


def report(c: Config, found: Cells) -> Report:
    """Tables, verdicts and the figure."""
    rows: list[dict[str, Any]] = []
    verdicts: list[Verdict] = []
    arrays: dict[str, Any] = {}
    for target in c.games:
        its_rows, its_verdicts = _target(c, found, target, arrays)
        rows, verdicts = rows + its_rows, verdicts + its_verdicts
    first_rows, first_verdicts, curve = _timescale(c, found)
    table = [{**dict.fromkeys(rows[0], ""), **row} for row in (*first_rows, *rows)]
    figure = partial(_figure, c, found, curve)
    return Report(table, [*first_verdicts, *verdicts], {"": figure}, arrays={**arrays, "timescale": curve})


def _figure(c: Config, found: Cells, curve: np.ndarray) -> figures.Figure:
    """9a: score against frames streamed; 9b: the differences that are judged, a row of panels per target."""
    points = [(n, *TIMESCALE_REPORTED[n]) for n in c.timescale if n in TIMESCALE_REPORTED]
    plot = figures_curves.Plot(
        "9a: a Pong encoder streamed on Breakout", {figures.INTERVAL: (np.array(c.timescale), curve.T)},
        "frames streamed", points, x_ticks={n: f"{n:,}" for n in c.timescale}, marked=True, black=True,
    )  # fmt: skip
    blocks: list[figures.Block] = [figures_curves.Plots([plot], "score in Breakout", 2.4)]
    for target in c.games:
        margin, home = TASKS[target].margin, means_of(found.native[target])
        gains, losses, said, said_lost = {}, {}, {}, {}
        for source in (game for game in c.games if game != target):
            name = f"encoder of {TASKS[source].label}"
            frozen, streamed = (means_of(found.moved[source, target, arm]) for arm in ("frozen", "streamed"))
            gains[name], losses[name] = streamed - frozen, frozen - home[: len(frozen)]
            if (source, target) in ORIGINAL:
                its = ORIGINAL[source, target]
                said[name], said_lost[name] = its[1] - its[0], its[0] - ORIGINAL[target, target][0]
        panels = [
            figures_rows.Panel(
                f"{TASKS[target].label}: {what}", values, its, "original (bar: its standard error)", (-margin, margin),
                "within the game's margin", {"": 0.0},
            )
            for what, values, its in (("streamed - frozen", gains, said), ("frozen - native", losses, said_lost))
        ]  # fmt: skip
        blocks.append(figures_rows.Rows(panels, foot="points" if target == c.games[-1] else ""))
    title = (
        f"Clones on encoders of other games, {c.seeds} seeds (Pong > Breakout {c.breakout_seeds}) x {c.n_games} games"
    )
    return figures.page(f"{title}\nbelow 9b, by the game that is played{recipes.label(c.recipe)}", blocks)


def _judged(id: str, claim: str, difference: Estimate) -> Verdict:
    return Verdict(id, claim, difference, stats_ci.verdict_positive(difference))


def _target(c: Config, found: Cells, target: str, arrays: dict[str, Any]) -> tuple[list[dict[str, Any]], list[Verdict]]:
    """9b, one target: rows and verdicts; scores go into arrays."""
    who = {name: means_of(found.references[target, name]) for name in ("random", "expert")}
    home = means_of(found.native[target])
    rows, verdicts = [], []
    for source in c.games:
        away = source != target
        means = {arm: means_of(found.moved[source, target, arm]) if away else home for arm in ("frozen", "streamed")}
        gain = stats_ci.paired_difference(means["streamed"], means["frozen"])
        lost = stats_ci.paired_difference(means["frozen"], home[: len(means["frozen"])])
        rows.append(_row(c, source, target, means, who, gain if away else None, lost if away else None))
        arrays |= {f"{source}_{target}_{arm}": values for arm, values in means.items()}
        if away:
            text = f"{TASKS[source].label} > {TASKS[target].label}: streaming beats frozen"
            verdicts.append(_judged(f"{source} > {target}", text, gain))
            margin = TASKS[target].margin
            text = f"{TASKS[source].label} > {TASKS[target].label}: frozen like native (within {margin:g})"
            word = stats_ci.verdict_equivalent(lost, margin)
            verdicts.append(Verdict(f"{source} > {target}: frozen = native", text, lost, word, margin))
    arrays |= {f"{target}_{name}": values for name, values in who.items()}
    return rows, verdicts


def _row(
    c: Config,
    source: str,
    target: str,
    means: Mapping[str, np.ndarray],
    who: Mapping[str, np.ndarray],
    gain: Estimate | None,
    lost: Estimate | None,
) -> dict[str, Any]:
    """Scores, too, as a share of the way up to the expert; gain and lost are None at home."""
    original = ORIGINAL.get((source, target), ("", ""))
    span, least = (who["expert"] - who["random"]).mean(), who["random"].mean()
    shares = [f"{(values.mean() - least) / span:.0%}" for values in means.values()]
    return {
        "source": TASKS[source].label,
        "target": TASKS[target].label,
        "original frozen, streamed": f"{original[0]}, {original[1]}",
        "frozen": stats_ci.estimate(means["frozen"]),
        "streamed": "the same" if gain is None else stats_ci.estimate(means["streamed"]),
        "streamed - frozen": "" if gain is None else gain,
        "frozen - native": "" if lost is None else lost,
        "share of random to expert": shares[0] if gain is None else ", ".join(shares),
        "seeds x games": f"{len(means['frozen'])} x {c.n_games}",
    }


def _timescale(c: Config, found: Cells) -> tuple[list[dict[str, Any]], list[Verdict], np.ndarray]:
    """9a: rows, verdicts and scores (points, seeds) of the Pong encoder on Breakout against the frames streamed."""
    means = {n: means_of(its) for n, its in found.timescale.items()}
    rows = [
        {
            "source": "Pong",
            "target": f"Breakout, {n:,} frames streamed",
            "original frozen, streamed": TIMESCALE_ORIGINAL.get(n, ""),
            "streamed": stats_ci.estimate(means[n]),
            "streamed - frozen": stats_ci.paired_difference(means[n], means[c.timescale[0]]) if n else "",
            "seeds x games": f"{c.breakout_seeds} x {c.n_games}",
        }
        for n in c.timescale
    ]
    best, last = c.timescale[1], c.timescale[-1]
    verdicts = [
        _judged(
            f"timescale: {best} > {n}",
            f"Pong > Breakout: {best:,} streamed frames beat {n:,}",
            stats_ci.paired_difference(means[best], means[n]),
        )
        for n in (c.timescale[0], last)
        if n != best
    ]
    return rows, verdicts, np.array(list(means.values()))


STAGE = Stage(__file__, Config, cells, report, smoke=SMOKE, check=check, variant=variant)

if __name__ == "__main__":
    guard(STAGE.main)
