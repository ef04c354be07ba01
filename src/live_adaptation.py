"""Stage 15: a game changes under a policy that plays it. What brings it back, while it plays and without labels?

Claim      What changes the grey scale (contrast, offset, inversion, drift, flicker) is taken back frame by frame by a
           tone map in closed form; noise by the Wiener estimate of every feature, with the closed-form noise of
           rectified responses. Each gives back 90 % of what an oracle gives, made for the disturbed game with labels.
           Refitting the code on its own play does not.
Falsified  if the interval of (given back) - .9 (what the oracle gives back) lies below 0 in one of Pong's shifts.
Controls   the same on random filters; a network frozen, with statistics of batches, with gradient steps (PAD), and with
           the same tone map; an oracle that keeps home's filters
Original   "live test-time training inside gameplay" is left open there
Reads      data/{pong,breakout}_*     Writes  results/live_adaptation.{npz,json,log,png}
Run        python src/live_adaptation.py            (5 h on one core)
           python src/live_adaptation.py --smoke    (1 min, proves nothing)
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any, get_args

import numpy as np

import figures
import figures_curves
import figures_rows
import live_cells
import live_imitation_cells
import stats_ci
from atari_env import MAX_STEPS
from game_shifts import NAMES
from live_cells import BIN, Arm, World
from stage_io import guard, require_positive
from stage_report import Report
from stage_run import Run, Stage
from stats_ci import Verdict
from trained_cache import Setup

FROZEN, OURS, ORACLE = Arm("ReSU", "nothing"), Arm("ReSU", "tone, Wiener"), Arm("ReSU", "oracle")
REHEARSED, AT_HOME = Arm("ReSU", "tone, rehearsal"), Arm("ReSU", "oracle, home's filters")
REFIT, STREAM = Arm("ReSU", "full"), Arm("ReSU", "stream")
NETWORK, NETWORK_TONE = Arm("network", "nothing"), Arm("network", "tone")
INVERSE = Arm("network", "inverse dynamics")
RANDOM, RANDOM_OURS = Arm("random filters", "nothing"), Arm("random filters", "tone, Wiener")
ARMS = (
    FROZEN, REFIT, STREAM, Arm("ReSU", "statistics"), Arm("ReSU", "photometric"), OURS, REHEARSED, ORACLE, AT_HOME,
    RANDOM, RANDOM_OURS, NETWORK, Arm("network", "statistics"), INVERSE, NETWORK_TONE,
)  # fmt: skip
UNDER_NOISE = (REHEARSED, AT_HOME)  # arms that are asked for there alone
UNSHIFTED = (FROZEN, REFIT, OURS, RANDOM, NETWORK)  # what following costs where there is nothing to follow
HELD_OUT = (FROZEN, Arm("ReSU", "photometric"), OURS, ORACLE)
VARIANT = (Arm("expert", ""), FROZEN, STREAM, OURS)
PONG = tuple(World("pong", shift) for shift in NAMES)
BREAKOUT = tuple(World("breakout", shift) for shift in ("contrast", "inversion", "noise", "palette drift"))
VARIANTS = (World("pong", mode=1, difficulty=2), World("breakout", mode=4), World("breakout", mode=12, difficulty=1))
GRID: Mapping[World, Sequence[Arm]] = {
    World("pong"): UNSHIFTED,
    **{w: [arm for arm in ARMS if arm not in UNDER_NOISE or w.shift == "noise"] for w in PONG},
    **dict.fromkeys(BREAKOUT, HELD_OUT),
    **dict.fromkeys(VARIANTS, VARIANT),
}
LEARNED: Sequence[tuple[str, World, live_imitation_cells.Code, live_imitation_cells.Head]] = [
    ("pong", world, code, head)
    for world in (World("pong", "noise"), World("breakout"))
    for code in ("home's filters", "refitted", "random filters")
    for head in ("ridge", "MLP")
]
SHARE, MARGIN = 0.9, 2.0  # of what an oracle gives back; two rates within it are alike in Pong  [points/1,000 steps]


@dataclass(frozen=True)
class Config:
    """Options."""

    seeds: int = 10  # replications: own demonstrations, own codes and heads, own games
    net_seeds: int = 5  # of networks on frames: the first of these
    n_frames: int = 60_000  # demonstrations per game and seed [agent steps]
    steps: int = 3_000  # of play after a shift [agent steps]
    settled: int = 1_000  # of these, before points count [agent steps]
    lessons: int = 5_000  # steps with a teacher [agent steps]
    epochs: int = 6  # passes over the demonstrations
    max_steps: int = MAX_STEPS  # games are cut here [agent steps]
    smoke: bool = False  # seconds, proves nothing


SMOKE = {
    "seeds": 1, "net_seeds": 1, "n_frames": 1200, "steps": 250, "settled": 0, "lessons": 500, "epochs": 1,
    "max_steps": 150,
}  # fmt: skip


def check(c: Config) -> None:
    """Refuse empty runs."""
    require_positive(c, "seeds", "net_seeds", "n_frames", "steps", "lessons", "epochs")
    if c.net_seeds > c.seeds:
        raise ValueError(f"--net-seeds must be at most --seeds {c.seeds}, not {c.net_seeds}")
    if not 0 <= c.settled < c.steps or c.settled % BIN:
        raise ValueError(f"--settled must be a multiple of {BIN} below --steps {c.steps}, not {c.settled}")


Results = Sequence[Mapping[str, Any]]  # a cell per seed


@dataclass(frozen=True)
class Found:
    """Cells: by world and arm, and of what learns from a teacher by its label."""

    played: Mapping[World, Mapping[Arm, Results]]
    learned: Mapping[str, Results]


def cells(run: Run) -> Found:
    """Seed by seed, so that what they share stays in memory."""
    c = run.config
    setup = Setup(c.n_frames, epochs=c.epochs, max_steps=c.max_steps)
    played: dict[World, dict[Arm, list[Any]]] = {world: {arm: [] for arm in arms} for world, arms in GRID.items()}
    learned: dict[str, list[Any]] = {}
    for seed in range(c.seeds):
        for world, arms in GRID.items():
            for arm in arms:
                if arm.code != "network" or seed < c.net_seeds:
                    setting = live_cells.Setting(arm, world, seed, c.steps, setup)
                    played[world][arm].append(run.cell(live_cells.measure, setting))
        for home, world, code, head in LEARNED:
            lesson = live_imitation_cells.Setting(home, world, code, head, seed, c.lessons, setup)
            learned.setdefault(lesson.label, []).append(run.cell(live_imitation_cells.measure, lesson))
    return Found(played, learned)


def _rates(c: Config, its: Results, n: int | None = None) -> np.ndarray:
    """(seeds,) points per 1,000 steps once settled."""
    return np.array([np.mean(cell["points"][c.settled // BIN :]) for cell in its[:n]])


def report(c: Config, found: Found) -> Report:
    """Table, verdicts, what comes back by shift, and how a head learns from a teacher."""
    rows = [_row(c, world, arm, its) for world, arms in found.played.items() for arm, its in arms.items()]
    rows += [_taught(label, its) for label, its in found.learned.items()]
    figures_ = {"": partial(_figure, c, found.played), "__learned": partial(_learned_figure, c, found.learned)}
    verdicts = [*_judged(c, found.played), *_compared(c, found.played), *_learned(found.learned)]
    return Report(rows, verdicts, figures_)


def _row(c: Config, world: World, arm: Arm, its: Results) -> dict[str, Any]:
    found = sorted({round(cell["noise"]) for cell in its})
    return {
        "world": world.label,
        "who, and what it follows": arm.label,
        "points per 1,000 steps, once settled": stats_ci.estimate(_rates(c, its)),
        "in the first steps": stats_ci.estimate([cell["points"][0] for cell in its]),
        "microseconds a step": f"{np.median([cell['micros'] for cell in its]):.0f}",
        "noise found": " to ".join(str(value) for value in sorted({found[0], found[-1]})) if any(found) else "",
        "seeds x steps": f"{len(its)} x {c.steps}",
    }


def _taught(label: str, its: Results) -> dict[str, Any]:
    steps = BIN * len(its[0]["points"])
    return {
        "world": label.split(", ")[0],
        "who, and what it follows": f"taught during play: {label.split(', ', 1)[1]}",
        "points per 1,000 steps, once settled": stats_ci.estimate(_late(its)),
        "in the first steps": stats_ci.estimate([cell["points"][0] for cell in its]),
        "microseconds a step": "",
        "noise found": "",
        "seeds x steps": f"{len(its)} x {steps}",
    }


def _late(its: Results) -> np.ndarray:
    """(seeds,) points per 1,000 steps over the last fifth of the lessons."""
    n = len(its[0]["points"])
    return np.array([np.mean(cell["points"][-max(n // 5, 1) :]) for cell in its])


def _back(c: Config, its: Mapping[Arm, Results], arm: Arm) -> np.ndarray:
    """(seeds,) what an arm gives back of its own frozen code's loss, less `SHARE` of what the oracle does."""
    n = len(its[arm])
    frozen = {"ReSU": FROZEN, "random filters": RANDOM, "network": NETWORK}[arm.code]
    start, best = _rates(c, its[frozen], n), _rates(c, its[ORACLE], n)
    return _rates(c, its[arm], n) - start - SHARE * (best - start)


def _judged(c: Config, played: Mapping[World, Mapping[Arm, Results]]) -> list[Verdict]:
    """Who gives back what the oracle does?"""
    verdicts = []
    for world in (*PONG, *BREAKOUT):
        text = f"{world.label}: tone map and Wiener estimate give back {SHARE:.0%} of the oracle's gain (points above)"
        verdicts.append(stats_ci.positive(f"back: {world.label}", text, _back(c, played[world], OURS)))
    for arm in ARMS:
        if arm in (FROZEN, RANDOM, NETWORK, ORACLE, *UNDER_NOISE):
            continue
        mean = np.mean([_back(c, played[world], arm) for world in PONG], axis=0)
        text = f"Pong, mean of all shifts: {arm.label} gives back {SHARE:.0%} of the oracle's gain (points above)"
        verdicts.append(stats_ci.positive(f"back: {arm.label}", text, mean))
    return verdicts


def _compared(c: Config, played: Mapping[World, Mapping[Arm, Results]]) -> list[Verdict]:
    """What the parts are good for."""

    def gap(arm: Arm, other: Arm, *worlds: World) -> stats_ci.Estimate:
        n = min(len(played[worlds[0]][one]) for one in (arm, other))
        means = (np.mean([_rates(c, played[world][one], n) for world in worlds], axis=0) for one in (arm, other))
        return stats_ci.paired_difference(*means)

    def alike(id: str, text: str, arm: Arm, other: Arm, *worlds: World) -> Verdict:
        found = gap(arm, other, *worlds)
        return Verdict(id, f"{text} (within {MARGIN:g})", found, stats_ci.verdict_equivalent(found, MARGIN), MARGIN)

    def above(id: str, text: str, arm: Arm, other: Arm, *worlds: World) -> Verdict:
        found = gap(arm, other, *worlds)
        return Verdict(id, text, found, stats_ci.verdict_positive(found))

    grey = [world for world in PONG if world.shift != "noise"]
    noise, still = World("pong", "noise"), World("pong")
    return [
        alike("filters under noise", "Pong, noise: home's filters as good as refitted ones", AT_HOME, ORACLE, noise),
        above("rehearsal", "Pong, noise: a rehearsal above the Wiener estimate", REHEARSED, OURS, noise),
        alike("nothing to follow", "Pong, undisturbed: following costs nothing", OURS, FROZEN, still),
        above("refit at rest", "Pong, undisturbed: refitting on its own play costs points", FROZEN, REFIT, still),
        above("ReSU, random", "Pong, all shifts: ReSU's filters, following, above random ones that follow alike",
              OURS, RANDOM_OURS, *PONG),
        alike("tone for networks", "Pong, all but noise: a network with the same tone map plays as well", NETWORK_TONE,
              OURS, *grey),
        *(above(f"stream: {world.label}", f"{world.label}: streaming its own play gains points", STREAM, FROZEN, world)
          for world in VARIANTS),
    ]  # fmt: skip


def _learned(learned: Mapping[str, Results]) -> list[Verdict]:
    """Which code does a head learn on, while it plays?"""
    verdicts = []
    for label, its in learned.items():
        where, code, head = label.split(", ")
        if code == "home's filters":
            continue
        base = learned[f"{where}, home's filters, {head}"]
        text = f"{where}, {head} taught during play: {code} above home's filters"
        verdicts.append(stats_ci.positive(f"taught: {label}", text, _late(its) - _late(base)))
    return verdicts


def _figure(c: Config, played: Mapping[World, Mapping[Arm, Results]]) -> figures.Figure:
    """Points by arm in Pong's worlds."""
    panels = [
        figures_rows.Panel(
            world.shift,
            {arm.label: _rates(c, its) for arm, its in played[world].items()},
            unit="points per 1,000 steps",
            grey=[arm.label for arm in ARMS if arm.code == "random filters"],
        )
        for world in PONG
    ]
    title = f"Pong is disturbed while a clone plays it: points per 1,000 steps after step {c.settled:,}"
    blocks = [figures_rows.Rows(panels[:3], alike=True), figures_rows.Rows(panels[3:], alike=True)]
    return figures.page(f"{title}\nn = {c.seeds} seeds ({c.net_seeds} of networks)", blocks)


def _learned_figure(c: Config, learned: Mapping[str, Results]) -> figures.Figure:
    """Points against steps while a teacher gives labels: by world and head, a curve for each code."""
    blocks = []
    for where in dict.fromkeys(world.label for _, world, _, _ in LEARNED):
        plots = []
        for head in get_args(live_imitation_cells.Head):
            its = {code: learned[f"{where}, {code}, {head}"] for code in get_args(live_imitation_cells.Code)}
            points = {code: np.array([cell["points"] for cell in cells]) for code, cells in its.items()}
            curves = {code: (BIN * (1 + np.arange(found.shape[1])), found) for code, found in points.items()}
            plots.append(figures_curves.Plot(f"{where}, {head}", curves, "steps since the change"))
        blocks.append(figures_curves.Plots(plots, "points per 1,000 steps"))
    return figures.page(f"A head that is taught while it plays, by code\nn = {c.seeds} seeds", blocks)


STAGE = Stage(__file__, Config, cells, report, smoke=SMOKE, check=check)

if __name__ == "__main__":
    guard(STAGE.main)
