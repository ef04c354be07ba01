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
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

import dead_leaves
import figures
import filter_shapes
from deadleaves_claims import MAIN, RIDGE_CHECKED, judge, panoramas_text, text_of, values_of
from resu_core import LagMoments, canonical_directions
from stage_io import guard, parse_config, require_positive
from stage_run import start_run

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


def measure(condition: Condition, config: Config, noise: float, seed: int) -> dict[str, Any]:
    """One cell: filters of one seed at one noise level (the seed's noise differs between levels in size only)."""
    c = config
    blur = c.blur if condition.blurred else 0.0
    image = draw(condition.image, c.rows, c.width, c.r_min, c.r_max, blur, seed)
    series = dead_leaves.z_score(dead_leaves.scan(image, c.speed * condition.speed_factor))
    if condition.shuffled:
        series = np.random.default_rng((seed, 2)).permuted(series, axis=0)
    series = dead_leaves.add_noise(series, noise, np.random.default_rng((seed, 1)))
    moments = LagMoments(c.memory, c.horizon).update(series)
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


def main(argv: list[str] | None = None) -> None:
    """All cells, then tables, verdicts and figure."""
    config = parse_config(Config, argv, SMOKE)
    require_positive(config, "seeds", "memory", "horizon", "rows", "width")
    if min(config.memory, config.horizon) < 2:
        raise ValueError("two filters need a memory and a horizon of at least 2 steps")
    if len(config.noise) < 2 or list(config.noise) != sorted(set(config.noise)):
        raise ValueError(f"--noise must be at least two levels in rising order, not {config.noise}")
    if config.width / (2 * config.speed) < config.memory + config.horizon:
        raise ValueError(f"--width {config.width} at twice --speed {config.speed:g} is too short for a window")
    run = start_run(__file__, config)
    c = run.config
    rng = np.random.default_rng(0)
    options = {k: v for k, v in asdict(c).items() if k not in ("seeds", "noise", "smoke")}
    cells: dict[str, dict[float, list[dict[str, Any]]]] = {k.name: {n: [] for n in c.noise} for k in CONDITIONS}
    for seed in range(c.seeds):
        for condition in CONDITIONS:
            for noise in c.noise:
                cell = run.cell(
                    functools.partial(measure, condition, c, noise, seed),
                    condition=condition.name,
                    seed=seed,
                    noise=noise,
                    **options,
                )
                cells[condition.name][noise].append(cell)
        run.log(f"seed {seed} done")
    rows = []
    for condition in CONDITIONS:
        for unit in (0, 1):
            for noise in c.noise:
                group = cells[condition.name][noise]
                row = {
                    "input": condition.name,
                    "filter": unit + 1,
                    "noise": f"{noise:g}",
                    "correlation": text_of(np.array([cell["correlations"][unit] for cell in group]), rng),
                }
                for name, label in (
                    ("count", "lobes above 5 %"),
                    ("first_zero", "first zero [steps]"),
                    ("minimum_lag", "minimum [steps]"),
                    ("depth", "depth / peak"),
                    ("first_share", "energy in first lobe"),
                    ("two_share", "in first two"),
                    ("gain_at_zero", "gain at 0 / largest"),
                ):
                    # Where in a filter of pure chance the minimum lies is no measurement.
                    chance = condition.shuffled and name != "count"
                    row[label] = "" if chance else text_of(values_of(group, unit, name), rng)
                row["natural panoramas"] = panoramas_text(noise, unit) if condition.name == MAIN else ""
                rows.append(row)
    filters = np.array([[cell["filters"] for cell in cells[MAIN][n]] for n in c.noise])  # (noise, seed, unit, lag)
    figure = figures.filters_by_noise(
        filters,
        c.noise,
        rng,
        f"ReSU filters of moving dead leaves: mean of n = {c.seeds} seeds, "
        "shaded: 95 % bootstrap interval (often hidden by the line)",
    )
    run.log(f"{cells[MAIN][c.noise[0]][0]['windows']:,} windows of {c.memory} + {c.horizon} steps per fit")
    run.finish(
        rows,
        judge(cells, c.noise, rng),
        figure,
        noise=np.array(c.noise),
        filters=filters,
        correlations=np.array([[cell["correlations"] for cell in cells[MAIN][n]] for n in c.noise]),
        filters_blurred_white_noise=np.array(
            [[cell["filters"] for cell in cells["blurred white noise"][n]] for n in c.noise]
        ),
    )


if __name__ == "__main__":
    guard(main)
