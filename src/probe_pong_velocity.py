"""Stage 2: is the ball's velocity linear in the ReSU code?

Claim      Ridge probes on layer 2 read the ball's velocity with R2 >= .95, above layer 1, above raw pixels with as
           many past frames as the code sees, and above filters that were not learned.
Falsified  if the 95 % interval over seeds of the paired R2 gain lies below 0 (or the target's below .95).
Original   raw(t) .483, raw(t,t-1) .589, L1 .900, L2 .920 (one seed; no fair raw baseline, no controls)
Reads      data/pong_random_s*          Writes  results/probe_pong_velocity.{npz,json,log,png}
Run        python src/probe_pong_velocity.py            (20 min on 2 cores, 5 seeds; shares its cells with probe_pong)
           python src/probe_pong_velocity.py --smoke    (20 s, proves nothing)
"""

from dataclasses import dataclass
from functools import partial
from typing import Any

import figures_rows
import pong_probe_cells
import stats_ci
from pong_probe_cells import CODES, TARGETS, Cells
from stage_io import guard, require_positive
from stage_report import Report
from stage_run import Run, Stage

TARGET = 0.95  # R2 of layer 2
NAME = "ball velocity"
ORDER = (
    "raw(t)", "raw(t,t-1)", "raw, 8 frames", "raw, 11 frames", "frame differences", "temporal PCA",
    "L1 random filters", "L2 random filters", "L1, third", "L2, third", "L1", "L2",
)  # fmt: skip
CONTRASTS = (
    ("L1, third", "raw(t,t-1)"),
    ("L1, third", "raw, 8 frames"),
    ("L2, third", "raw, 11 frames"),
    ("L2", "L1"),
    ("L1", "L1 random filters"),
    ("L2", "L2 random filters"),
    ("L1", "temporal PCA"),
    ("L1", "frame differences"),
    ("L2", "frame differences"),
)


@dataclass(frozen=True)
class Config:
    """Options."""

    seeds: int = 5  # replications: own frames, own fit, own probe
    n_frames: int = 60_000  # per seed [agent steps]
    smoke: bool = False  # seconds, proves nothing


SMOKE = {"seeds": 2, "n_frames": 3500}


def check(config: Config) -> None:
    """Refuse empty runs."""
    require_positive(config, "seeds", "n_frames")


def cells(run: Run) -> Cells:
    """Of every group of codes a cell per seed: those of probe_pong."""
    return pong_probe_cells.cells(run)


def report(c: Config, found: Cells) -> Report:
    """The table by coordinate, the verdicts and the figure."""
    r2 = pong_probe_cells.r2_of(found)
    across, along = TARGETS[NAME].columns
    both = {code: pong_probe_cells.of_target(r2[code], NAME) for code in ORDER}
    values = {
        "horizontal": {code: r2[code][:, across] for code in ORDER},
        "vertical": {code: r2[code][:, along] for code in ORDER},
        "both": both,
    }
    original = TARGETS[NAME].original
    rows: list[dict[str, Any]] = []
    for code in ORDER:
        row = {"code": code} | {f"R2, {panel}": stats_ci.estimate(its[code]) for panel, its in values.items()}
        rows.append(row | {"original, both": f"{original[code]:.3f}" if code in original else ""})
    verdicts = [
        stats_ci.positive(f"{code} > {other}", f"{code} above {other}", both[code] - both[other])
        for code, other in CONTRASTS
    ]
    verdicts.append(stats_ci.positive("L2 > target", f"L2 above {TARGET}", both["L2"] - TARGET))
    figure = partial(
        figures_rows.quantities,
        f"Ball velocity in Pong, random play, {c.n_frames:,} frames per seed, n = {c.seeds} seeds",
        values,
        {"both": original},
        "R2 on test episodes",
        [code for code in ORDER if not CODES[code].learned],
    )
    notes = [
        pong_probe_cells.note_on_strides(c.n_frames),
        "Velocity is the displacement since the step before; the step of a bounce has neither the old nor the new one.",
        *pong_probe_cells.outlier_notes(r2, [NAME]),
    ]
    return Report(rows, verdicts, {"": figure}, notes, {code.replace(" ", "_"): r2[code] for code in ORDER})


STAGE = Stage(__file__, Config, cells, report, smoke=SMOKE, check=check)

if __name__ == "__main__":
    guard(STAGE.main)
