"""Stages 9a and 9b: where does test-time adaptation of the encoder pay?

Claim      Streaming a source game's encoder on the target's frames raises the score of a clone above that on the frozen
           encoder; the gain is larger where the frozen encoder fares badly; more streamed frames are not better.
Falsified  per cell, if the interval of streamed - frozen, paired over seeds, lies below 0 (undecided if it holds 0).
Original   9a 16.9, 19.8, 14.2, 14.3 after 0, 10 k, 30 k, 60 k frames; 9b in ORIGINAL below (one seed)
Reads      data/<game>_<expert>_*          Writes  results/transfer_matrix.{npz,json,log,png}
Run        python src/transfer_matrix.py                   (60 min on 2 cores; shares its cells with bc_breakout.py)
           python src/transfer_matrix.py --games pong breakout space_invaders asteroids enduro
           python src/transfer_matrix.py --smoke           (2 min, proves nothing)
"""

from dataclasses import dataclass
from typing import Any, Literal

import numpy as np

import figures
import stats_ci
import transfer_cells
from players import TASKS
from stage_io import guard, parse_config, require_positive
from stage_run import LegacyRun, start_run
from transfer_cells import Arm, Protocol

Game = Literal["pong", "breakout", "space_invaders", "asteroids", "enduro"]
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
    seeds: int = 5  # replications: own demonstrations, own fits, own head, own games
    n_frames: int = 60_000  # demonstrations per game and seed [agent steps]
    timescale: tuple[int, ...] = (0, 10_000, 30_000, 60_000)  # streamed frames, Pong to Breakout
    n_games: int = 20  # evaluation games per seed
    epochs: int = 6  # passes over the demonstrations
    alpha: float = 0.99  # the stream's clock, per chunk of 1,000 frames
    sticky: float = 0.25  # probability that the emulator repeats an action
    experts: Literal["original", "best"] = "original"  # who is imitated: experts of the original's kind, or the best
    max_steps: int = 27_000  # games are cut here [agent steps]
    smoke: bool = False  # seconds, proves nothing


SMOKE = {
    "games": ("pong", "breakout"),
    "seeds": 2,
    "n_frames": 1200,
    "n_games": 1,
    "epochs": 1,
    "timescale": (0, 1200),
    "max_steps": 150,
}


def judged(claim: str, difference: stats_ci.Estimate) -> dict[str, str]:
    """A verdict's row on "difference > 0"."""
    return {"claim": claim, "estimate": str(difference), "verdict": stats_ci.verdict_positive(difference)}


def matrix(run: LegacyRun, protocol: Protocol, rng: np.random.Generator) -> tuple[list, list, dict, dict]:
    """9b: rows, verdicts, what the figure shows, and arrays; scores, too, as a share of the way up to the expert."""
    c = run.config
    rows, verdicts, panels = [], [], {}
    arrays: dict[str, Any] = {}
    arms: tuple[tuple[Arm, int, float], ...] = (("frozen", 0, 1.0), ("streamed", c.n_frames, c.alpha))
    for target in c.games:
        who = {
            name: stats_ci.mean_over_games(
                [transfer_cells.reference(run, protocol, target, name, seed)["scores"] for seed in range(c.seeds)]
            )
            for name in ("random", "expert")
        }
        span = (who["expert"] - who["random"]).mean()
        names, shown = ["random policy", "expert"], [who["random"], who["expert"]]
        native = [transfer_cells.cell(run, protocol, target, target, "native", seed) for seed in range(c.seeds)]
        home = stats_ci.mean_over_games([cell["scores"] for cell in native])
        for source in c.games:
            if source == target:
                means: dict[Arm, np.ndarray] = {"frozen": home, "streamed": home}
            else:
                means = {}
                for arm, n_stream, alpha in arms:
                    cells = [
                        transfer_cells.cell(run, protocol, source, target, arm, seed, n_stream, alpha)
                        for seed in range(c.seeds)
                    ]
                    means[arm] = stats_ci.mean_over_games([cell["scores"] for cell in cells])
            original = ORIGINAL.get((source, target), ("", ""))
            gain = stats_ci.paired_difference(means["streamed"], means["frozen"], rng)
            lost = stats_ci.paired_difference(means["frozen"], home, rng)
            rows.append(
                {
                    "source": TASKS[source].label,
                    "target": TASKS[target].label,
                    "original frozen, streamed": f"{original[0]}, {original[1]}",
                    "frozen": str(stats_ci.estimate(means["frozen"], rng)),
                    "streamed": "the same" if source == target else str(stats_ci.estimate(means["streamed"], rng)),
                    "streamed - frozen": "" if source == target else str(gain),
                    "frozen - native": "" if source == target else str(lost),
                    "share of random to expert": f"{(means['frozen'] - who['random']).mean() / span:.0%}"
                    + ("" if source == target else f", {(means['streamed'] - who['random']).mean() / span:.0%}"),
                    "seeds x games": f"{c.seeds} x {c.n_games}",
                }
            )
            arrays |= {f"{source}_{target}_{arm}": values for arm, values in means.items()}
            if source == target:
                names.append(f"L1 of {TASKS[source].label} itself")
                shown.append(home)
                continue
            for arm, values in means.items():
                names.append(f"L1 of {TASKS[source].label}, {arm}")
                shown.append(values)
            verdicts.append(judged(f"{TASKS[source].label} > {TASKS[target].label}: streaming beats frozen", gain))
        panels[TASKS[target].label] = (names, [stats_ci.estimate(values, rng) for values in shown], shown)
        arrays |= {f"{target}_{name}": values for name, values in who.items()}
    return rows, verdicts, panels, arrays


def timescale(run: LegacyRun, protocol: Protocol, rng: np.random.Generator) -> tuple[list, list, np.ndarray]:
    """9a: rows, verdicts and scores (points, seeds) of the Pong encoder on Breakout against the frames streamed."""
    c = run.config
    found = {
        n: [
            transfer_cells.cell(run, protocol, "pong", "breakout", "streamed", seed, n, c.alpha)
            for seed in range(c.seeds)
        ]
        for n in c.timescale
    }
    means = {n: stats_ci.mean_over_games([cell["scores"] for cell in cells]) for n, cells in found.items()}
    rows = [
        {
            "source": "Pong",
            "target": f"Breakout, {n:,} frames streamed",
            "original frozen, streamed": TIMESCALE_ORIGINAL.get(n, ""),
            "streamed": str(stats_ci.estimate(means[n], rng)),
            "streamed - frozen": str(stats_ci.paired_difference(means[n], means[c.timescale[0]], rng)) if n else "",
            "seeds x games": f"{c.seeds} x {c.n_games}",
        }
        for n in c.timescale
    ]
    best, last = c.timescale[1], c.timescale[-1]
    verdicts = [
        judged(
            f"Pong > Breakout: {best:,} streamed frames beat {n:,}",
            stats_ci.paired_difference(means[best], means[n], rng),
        )
        for n in (c.timescale[0], last)
        if n != best
    ]
    return rows, verdicts, np.array(list(means.values()))


def main(argv: list[str] | None = None) -> None:
    """All cells, then tables, verdicts and the figure."""
    config = parse_config(Config, argv, SMOKE)
    require_positive(config, "seeds", "n_frames", "n_games", "epochs")
    if len(config.games) < 2 or len(set(config.games)) < len(config.games):
        raise ValueError(f"--games needs at least two different games, not {', '.join(config.games)}")
    if len(config.timescale) < 2 or max(config.timescale) > config.n_frames or min(config.timescale) < 0:
        raise ValueError("--timescale needs at least two numbers of frames between 0 and --n-frames")
    protocol = Protocol(
        config.n_frames,
        config.n_games,
        config.epochs,
        sticky=config.sticky,
        experts=config.experts,
        max_steps=config.max_steps,
    )
    run = start_run(__file__, config, protocol.variant)
    c = run.config
    rng = np.random.default_rng(0)
    rows, verdicts, panels, arrays = matrix(run, protocol, rng)
    first_rows, first_verdicts, curve = timescale(run, protocol, rng)
    table = [{**dict.fromkeys(rows[0], ""), **row} for row in (*first_rows, *rows)]
    figure = figures.score_panels(
        panels,
        f"Clones on encoders of other games, n = {c.seeds} seeds x {c.n_games} games, sticky {c.sticky:g}",
        "score per game; dots: seeds, black: mean and 95 % bootstrap interval",
    )
    run.finish(table, [*first_verdicts, *verdicts], figure, **arrays, timescale=curve)


if __name__ == "__main__":
    guard(main)
