"""Stage 18: does a second layer learn to tell directions of motion apart, as the fly's T4 cells do?

Claim      Unit 2 of the second layer is a T4 cell: it prefers light that comes in one direction (the paper's edges).
           Asked besides: more than a difference that nobody trained? On gratings and on other scenes, more than random
           units? One of four edges alone, as T4 does? Where both directions are equally frequent? With lags, and in
           3 x 3 neighbourhoods by our own layers?
Falsified  by intervals over sets of panoramas on the other side; margins are in PLAN.md.
Original   left open there (it saw Atari and dead leaves only); the claims are those of Qin et al. 2025
Reads      data/natural_scenes.npz       Writes  results/probe_motion.{npz,json,log,png}
Run        python src/probe_motion.py            (4 min on 2 cores)
           python src/probe_motion.py --scenes data/my_scenes.npz       (panoramas of your own)
           python src/probe_motion.py --smoke    (30 s, proves nothing)
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np

import figures
import figures_curves
import figures_rows
import motion_claims
import natural_scenes
import scene_cells
from motion_cells import WAVELENGTHS, Setting, measure
from motion_claims import ARM_LABELS, BY_UNIT_2, values
from scene_cells import Deal
from stage_io import ROOT, guard, require_positive
from stage_report import Report, in_their_words
from stage_run import Run, Stage
from stats_ci import estimate


@dataclass(frozen=True)
class Config:
    """Options."""

    sets: int = 10  # of panoramas, dealt at random; each is fitted to, and looked at on the next one
    deal_seed: int = 0  # of the deal
    scenes: str = natural_scenes.OWN  # rows, as collect_natural_scenes.py writes them
    n_draws: int = 16  # speeds that a fair eye is fitted to
    n_steps: int = 200  # of each [steps]
    n_random: int = 20  # sets of random units for each eye
    smoke: bool = False


SMOKE = {"sets": 2, "n_draws": 2, "n_steps": 120, "n_random": 2}


def check(config: Config) -> None:
    """Refuse empty runs, too few panoramas, and what is no file of rows."""
    require_positive(config, "n_draws", "n_steps", "n_random")
    if config.sets < 2:
        raise ValueError(f"--sets must be at least 2, as each is looked at on another, not {config.sets}")
    natural_scenes.load(ROOT / config.scenes).deal(config.sets)


def variant(config: Config) -> str:
    """Other scenes are a result of their own."""
    return natural_scenes.suffix(config.scenes)


Cells = Mapping[str, Sequence[Mapping[str, Any]]]  # by arm: a cell per set


def cells(run: Run) -> Cells:
    """A cell for each arm and set."""
    c = run.config
    digest, sets = scene_cells.deal(run, Deal(c.scenes, c.sets, c.deal_seed))
    pairs = list(zip(sets, [*sets[1:], sets[0]], strict=True))
    return {
        arm: [
            run.cell(measure, Setting(arm, *pair, c.scenes, digest, c.n_draws, c.n_steps, c.n_random)) for pair in pairs
        ]
        for arm in ARM_LABELS
    }


def report(c: Config, found: Cells) -> Report:
    """Table, verdicts, figure."""
    rows = [_row(arm, its) for arm, its in found.items()]
    arrays = {
        f"weights_{arm.replace(' ', '_')}": values(its, "weights") for arm, its in found.items() if arm in BY_UNIT_2
    }
    verdicts = motion_claims.judge(found)
    notes = in_their_words("the paper", motion_claims.PAPER, verdicts)
    return Report(rows, verdicts, {"": partial(_figure, c, found)}, notes, arrays)


def _row(arm: str, its: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    two = arm in BY_UNIT_2
    return {
        "fitted": arm,
        "correlations 1 to 3": " ".join(f"{value:.3f}" for value in values(its, "correlations")[:, :3].mean(axis=0)),
        "best unit: gratings": estimate(values(its, "learned", "gratings")),
        "other rows": estimate(values(its, "learned", "rows")),
        "pairs: gratings": estimate(motion_claims.paired_values(its)),
        "random, best: gratings": estimate(motion_claims.by_chance(its, "gratings")),
        "random, best: rows": estimate(motion_claims.by_chance(its, "rows")),
        "unit 2: ON edge": estimate(motion_claims.edge_index(its)) if two else "",
        "unit 2: gratings": estimate(values(its, "unit_2", "gratings")) if two else "",
        "unit 2: OFF / its own ON edge": estimate(motion_claims.off_share(its)) if two else "",
    }


def _figure(c: Config, found: Cells) -> figures.Figure:
    """Selectivity of the best unit by arm, beside random units; and of unit 2 by wavelength."""
    arms = {
        "best learned unit": {arm: values(its, "learned", "gratings") for arm, its in found.items()},
        "best random unit": {arm: motion_claims.by_chance(its, "gratings") for arm, its in found.items()},
        "best sum or difference": {arm: motion_claims.paired_values(its) for arm, its in found.items()},
    }
    panels = [
        figures_rows.Panel(title, its, unit="selectivity on gratings", lines={"none": 0.0}, replication="set")
        for title, its in arms.items()
    ]
    waves = np.array(WAVELENGTHS)
    curves = {
        f"unit 2, {arm}": (waves, values(found[arm], "unit_2", "by_wavelength"))
        for arm in ("as released", "both directions", "unrelated rows")
    }
    chance = np.median(values(found["as released"], "random_by_wavelength"), axis=1)
    curves |= {"a random unit (size, median)": (waves, chance)}
    plot = figures_curves.Plot(
        "Unit 2 on gratings of 1 column per step", curves, "wavelength [degrees]", marked=True, y_range=(-0.05, 0.45)
    )
    return figures.page(
        f"Do units of a second layer tell directions of motion apart? n = {c.sets} sets of panoramas\n"
        "selectivity (PD - ND) / (PD + ND) of the unit that is most selective on what it was fitted to",
        [figures_rows.Rows(panels, alike=True), figures_curves.Plots([plot], "selectivity")],
    )


STAGE = Stage(__file__, Config, cells, report, smoke=SMOKE, check=check, variant=variant)

if __name__ == "__main__":
    guard(STAGE.main)
