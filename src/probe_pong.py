"""Stage 2: what can a linear probe read off the ReSU code of Pong?

Claim      Ridge probes on layers 1 and 2 beat those on two raw frames, for the ball now, the ball 4 steps on, its
           velocity and our paddle (random play); and every ReSU cell reaches the original's figure.
Falsified  per target, if the 95 % interval over seeds of the paired R2 gain lies below 0; undecided if it holds 0.
Original   ball xy[t] raw(t,t-1) .835, L1 .976, L2 .985; paddle y[t+4] .733, .651, .570 (table A; one seed)
Reads      data/pong_random_s*          Writes  results/probe_pong[_newest][_long].{npz,json,log,png}
Run        python src/probe_pong.py                 (20 min on 2 cores, 5 seeds)
           python src/probe_pong.py --max-over 1    (10 min: the newest frame alone is observed, as in the original)
           python src/probe_pong.py --n-frames 200000    (50 min: as many frames as the original took)
           python src/probe_pong.py --smoke         (20 s, proves nothing)
"""

from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np

import figures
import figures_rows
import pong_probe_cells
import recipes
import stats_ci
from pong_probe_cells import CODES, FRAMES, OBSERVED, ORIGINAL, TARGETS, Cells, of_target
from recipes import RecipeName
from stage_io import guard, require_positive
from stage_report import Report
from stage_run import Run, Stage
from stats_ci import Verdict

ORDER = (
    "raw(t)", "raw(t,t-1)", "raw, 8 frames", "raw, 11 frames", "L1, third", "L2, third", "L1", "L2",
    "L1 random filters", "L2 random filters", "temporal PCA", "frame differences", "L1, 42 x 8 cells",
    "L1, paddle in full view",
)  # fmt: skip
# Claims: code, what it is held against
CONTRASTS = (
    ("L1, third", "raw(t,t-1)"),
    ("L2, third", "raw(t,t-1)"),
    ("L1, third", "raw, 8 frames"),
    ("L2, third", "raw, 11 frames"),
    ("L2", "L1"),
    ("L1", "L1 random filters"),
    ("L2", "L2 random filters"),
    ("L1", "temporal PCA"),
    ("L1", "frame differences"),
)
PADDLE = (
    "paddle y[t] stays below the original's for two reasons. The maximum over two emulated frames shows a moving "
    "paddle at two places and so adds light that a linear read-out takes for a shift: this costs raw pixels, too, "
    "and is gone where the newest frame alone is observed (probe_pong_newest), as the original did by its share of "
    "lit pixels in Asteroids. And at the screen's edge part of the paddle is hidden, which 16 x 8 cells, nearly as "
    "high as the paddle itself, cannot tell from a shift: 42 x 8 cells can, and while the paddle is in full view "
    "(other samples, a smaller range of y) 16 x 8 do."
)


@dataclass(frozen=True)
class Config:
    """Options."""

    seeds: int = 5  # replications: own frames, own fit, own probe
    n_frames: int = FRAMES  # per seed [agent steps]
    max_over: int = OBSERVED  # emulated frames whose maximum is observed: 2 (the protocol) or 1
    recipe: RecipeName = "ours"  # of the fit: ours, or the original's as near as it can be inferred
    smoke: bool = False  # seconds, proves nothing


SMOKE = {"seeds": 2, "n_frames": 3500}


def check(config: Config) -> None:
    """Refuse empty runs."""
    require_positive(config, "seeds", "n_frames")


def variant(config: Config) -> str:
    """The newest frame alone, more frames, and another recipe are results of their own."""
    observed = "" if config.max_over == OBSERVED else "_newest"
    return observed + ("_long" if config.n_frames > FRAMES else "") + recipes.suffix(config.recipe)


def cells(run: Run) -> Cells:
    """Of every group of codes a cell per seed."""
    return pong_probe_cells.cells(run, run.config.max_over, run.config.recipe)


def report(c: Config, found: Cells) -> Report:
    """Table A with intervals, the verdicts and the figure."""
    r2 = pong_probe_cells.r2_of(found)
    codes = [code for code in ORDER if code in r2]
    estimates = {target: {code: stats_ci.estimate(of_target(r2[code], target)) for code in codes} for target in TARGETS}
    rows: list[dict[str, Any]] = [
        {"code": code} | {target: estimates[target][code] for target in TARGETS} for code in codes
    ]
    rows += [
        {"code": f"original: {code}"} | {name: f"{target.original[code]:.3f}" for name, target in TARGETS.items()}
        for code in ORIGINAL
    ]
    return Report(
        rows,
        [verdict for target in TARGETS for verdict in _verdicts(target, r2)],
        {"": partial(_figure, c, codes, r2)},
        [pong_probe_cells.note_on_strides(c.n_frames), *pong_probe_cells.outlier_notes(r2), PADDLE],
        {code.replace(" ", "_"): r2[code] for code in codes},
    )


def _verdicts(target: str, r2: dict[str, np.ndarray]) -> list[Verdict]:
    """Contrasts of codes that are there, then layers against the original."""
    verdicts = [
        stats_ci.positive(
            f"{target}: {code} > {other}",
            f"{target}: {code} above {other}",
            of_target(r2[code], target) - of_target(r2[other], target),
        )
        for code, other in CONTRASTS
        if code in r2 and other in r2
    ]
    return verdicts + [
        stats_ci.positive(
            f"{target}: {code} > original",
            f"{target}: {code} above the original's",
            of_target(r2[code], target) - value,
        )
        for code, value in TARGETS[target].original.items()
        if code in r2 and CODES[code].layer
    ]


def _figure(c: Config, codes: list[str], r2: dict[str, np.ndarray]) -> figures.Figure:
    return figures_rows.quantities(
        f"Pong, random play, {c.n_frames:,} frames per seed, n = {c.seeds} seeds\n"
        f"ridge probes, split by episode{recipes.label(c.recipe)}"
        + ("" if c.max_over == OBSERVED else "; the newest frame alone is observed"),
        {target: {code: of_target(r2[code], target) for code in codes} for target in TARGETS},
        {name: target.original for name, target in TARGETS.items()},
        "R2 on test episodes",
        [code for code in codes if not CODES[code].learned],
    )


STAGE = Stage(__file__, Config, cells, report, smoke=SMOKE, check=check, variant=variant)

if __name__ == "__main__":
    guard(STAGE.main)
