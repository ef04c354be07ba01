"""Stage 1: which filters does ReSU find in moving dead leaves, and how do they change with the noise?

Claim      Dead-leaves input gives L1/L2/L3-like filters: filter 1 low-pass with one dominant lobe, filter 2 a biphasic
           derivative. At a lower signal-to-noise ratio both have fewer lobes and cross zero and reach their minimum
           later. Margins are in PLAN.md.
Falsified  if less than .8 of filter 1's energy lies in its first lobe, if filter 2 is shallower than -.25 or has less
           than .8 of its energy in two lobes, or if with more noise lobes increase or zero or minimum move earlier
           (95 % intervals over seeds wholly on the wrong side).
Original   "L1/L2/L3-like filters: one-lobed low-pass, two-lobed derivative; fewer lobes at lower signal-to-noise"
Controls   time shuffled; no blur; white-noise images blurred alike; half and double scan speed; a small ridge
Reads      nothing               Writes  results/probe_deadleaves.{npz,json,log,png}
Run        python src/probe_deadleaves.py            (2 min on 2 cores)
           python src/probe_deadleaves.py --smoke    (5 s, proves nothing)
"""

import functools
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

import dead_leaves
import figures_curves
import filter_shapes
from deadleaves_claims import MAIN, RIDGE_CHECKED, Levels, estimate_of, judge, panoramas_text, values_of
from resu_core import LagMoments, canonical_directions
from stage_io import guard, require_positive
from stage_report import Report
from stage_run import Run, Stage, measured

N_CORRELATIONS = 5


@dataclass(frozen=True)
class Config:
    """Options."""

    seeds: int = 10  # replications: own images, own noise
    noise: tuple[float, ...] = (0.005, 0.05, 0.5)  # standard deviations, in those of the z-scored rows, rising
    memory: int = 50  # [steps]
    horizon: int = 50  # [steps]
    rows: int = 512  # image rows = parallel series
    width: int = 4096  # image columns
    r_min: float = 2.0  # smallest disc [pixels]
    r_max: float = 120.0  # largest disc [pixels]
    blur: float = 8.0  # standard deviation of the photoreceptors' acceptance function [pixels]
    speed: float = 1.0  # of the scan [pixels per step]
    smoke: bool = False


SMOKE = {"seeds": 2, "rows": 64, "width": 1024, "r_max": 30.0}


@dataclass(frozen=True)
class Condition:
    """One kind of input."""

    name: str
    image: str = "leaves"  # or "white": independent pixels
    speed_factor: float = 1.0
    blurred: bool = True
    shuffled: bool = False  # every row's steps in an order of its own, before the noise


CONDITIONS = (
    Condition(MAIN),
    Condition("half speed", speed_factor=0.5),
    Condition("double speed", speed_factor=2.0),
    Condition("time shuffled", shuffled=True),
    Condition("blurred white noise", image="white"),
    Condition("no blur", blurred=False),
)


@functools.lru_cache(maxsize=2)
def draw(kind: str, rows: int, width: int, r_min: float, r_max: float, blur: float, seed: int) -> np.ndarray:
    """The image (rows, width) of one seed after the photoreceptors' blur."""
    rng = np.random.default_rng((seed, 0))
    if kind == "white":
        image = rng.standard_normal((rows, width))
    else:
        image = dead_leaves.draw_image((rows, width), r_min, r_max, rng)
    return dead_leaves.photoreceptor_blur(image, blur)


@dataclass(frozen=True)
class Setting:
    """One cell: a condition, by its name, with one seed at one noise level; the rest as in Config."""

    condition: str
    seed: int
    noise: float
    memory: int
    horizon: int
    rows: int
    width: int
    r_min: float
    r_max: float
    blur: float
    speed: float


@measured()
def measure(run: Run, s: Setting) -> dict[str, Any]:
    """Filters of one seed at one noise level (the seed's noise differs between levels in size only)."""
    condition = next(condition for condition in CONDITIONS if condition.name == s.condition)
    blur = s.blur if condition.blurred else 0.0
    image = draw(condition.image, s.rows, s.width, s.r_min, s.r_max, blur, s.seed)
    series = dead_leaves.z_score(dead_leaves.scan(image, s.speed * condition.speed_factor))
    if condition.shuffled:
        series = np.random.default_rng((s.seed, 2)).permuted(series, axis=0)
    series = dead_leaves.add_noise(series, s.noise, np.random.default_rng((s.seed, 1)))
    moments = LagMoments(s.memory, s.horizon).update(series)
    fit, ridged = (canonical_directions(moments, 2, ridge) for ridge in (0.0, RIDGE_CHECKED))
    peaks = np.abs(fit.filters).max(axis=1, keepdims=True)
    signs = np.sign((fit.filters * ridged.filters).sum(axis=1, keepdims=True))
    return {
        "correlations": fit.spectrum[:N_CORRELATIONS],
        "filters": np.round(fit.filters / peaks, 6),
        "lobes": [asdict(filter_shapes.lobes(taps)) for taps in fit.filters],
        "ridge_change": float(np.max(np.abs(signs * ridged.filters - fit.filters) / peaks)),
        "windows": moments.n_windows * moments.n_series,
    }


def check(config: Config) -> None:
    """Refuse what leaves no window, no second filter, or nothing to compare."""
    require_positive(config, "seeds", "memory", "horizon", "rows", "width")
    if min(config.memory, config.horizon) < 2:
        raise ValueError("two filters need a memory and a horizon of at least 2 steps")
    if len(config.noise) < 2 or list(config.noise) != sorted(set(config.noise)):
        raise ValueError(f"--noise must be at least two levels in rising order, not {config.noise}")
    if config.width / (2 * config.speed) < config.memory + config.horizon:
        raise ValueError(f"--width {config.width} at twice --speed {config.speed:g} is too short for a window")


def cells(run: Run) -> dict[str, Levels]:
    """By condition and noise level a cell per seed; those of a seed follow one another, since they share its image."""
    c = run.config
    options = {k: v for k, v in asdict(c).items() if k not in ("seeds", "noise", "smoke")}
    found: dict[str, dict[float, list[dict[str, Any]]]] = {k.name: {n: [] for n in c.noise} for k in CONDITIONS}
    for seed in range(c.seeds):
        for condition in CONDITIONS:
            for noise in c.noise:
                found[condition.name][noise].append(run.cell(measure, Setting(condition.name, seed, noise, **options)))
        run.log(f"seed {seed} done")
    return dict(found)


def report(c: Config, found: Mapping[str, Levels]) -> Report:
    """Table, verdicts, figure."""
    rows = [
        _row(condition, unit, noise, found[condition.name][noise])
        for condition in CONDITIONS
        for unit in (0, 1)
        for noise in c.noise
    ]
    leaves, white = found[MAIN], found["blurred white noise"]
    filters = np.array([[cell["filters"] for cell in leaves[n]] for n in c.noise])  # (noise, seed, unit, lag)
    figure = figures_curves.filters_by_noise(  # drawn at once: its bands come from the same generator
        filters,
        c.noise,
        f"ReSU filters of moving dead leaves: mean of n = {c.seeds} seeds, "
        "shaded: 95 % interval (often hidden by the line)",
    )
    arrays = {
        "noise": np.array(c.noise),
        "filters": filters,
        "correlations": np.array([[cell["correlations"] for cell in leaves[n]] for n in c.noise]),
        "filters_blurred_white_noise": np.array([[cell["filters"] for cell in white[n]] for n in c.noise]),
    }
    return Report(rows, judge(found, c.noise), {"": lambda: figure}, arrays=arrays)


PROPERTIES = {  # of a filter's lobes: column
    "count": "lobes above 5 %",
    "first_zero": "first zero [steps]",
    "minimum_lag": "minimum [steps]",
    "depth": "depth / peak",
    "first_share": "energy in first lobe",
    "two_share": "in first two",
    "gain_at_zero": "gain at 0 / largest",
}


def _row(condition: Condition, unit: int, noise: float, its: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    row: dict[str, Any] = {
        "input": condition.name,
        "filter": unit + 1,
        "noise": f"{noise:g}",
        "correlation": estimate_of(np.array([cell["correlations"][unit] for cell in its])),
    }
    for name, label in PROPERTIES.items():
        # Where in a filter of pure chance the minimum lies is no measurement.
        chance = condition.shuffled and name != "count"
        row[label] = "" if chance else estimate_of(values_of(its, unit, name))
    row["natural panoramas"] = panoramas_text(noise, unit) if condition.name == MAIN else ""
    return row


STAGE = Stage(__file__, Config, cells, report, smoke=SMOKE, check=check)

if __name__ == "__main__":
    guard(STAGE.main)
