"""Stage 17: do natural scenes give the fly's lamina cells?

Claim      Rows of natural panoramas give the paper's cells: filter 1 at noise .05 (L3) keeps a level, filter 2 at .05
           (L2) answers to steps alone, filter 2 at .5 (L1) leaves a small plateau. At a lower signal-to-noise ratio
           both filters have fewer and later lobes. Shapes are as released. Margins are in PLAN.md.
Falsified  if L3's sustained index lies below .25, L2's above .1, or L1's outside of theirs; if with more noise lobes
           increase or zero or minimum move earlier; if a value lies outside its margin around the released one (95 %
           intervals over sets of panoramas wholly on the wrong side).
Original   left open: the original investigation used dead leaves; the claims are the paper's
Controls   phase-randomised rows; blurred white noise; time shuffled; PCA and SFA; half and double speed; exact
           Gaussian processes
Reads      data/natural_scenes.npz   Writes  results/probe_lamina.{npz,json,log,png}
Run        python src/probe_lamina.py            (1 min on 2 cores)
           python src/probe_lamina.py --smoke    (10 s, proves nothing)
"""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from functools import partial
from typing import Any

import numpy as np

import figures
import figures_curves
import figures_rows
import filter_shapes
import lamina_cells
import natural_scenes
import scene_cells
from deadleaves_claims import Levels, estimate_of
from gaussian_processes import ProcessMoments
from lamina_cells import (
    INPUTS,
    MAIN,
    NATURAL,
    NOISY,
    POOLS,
    PROCESSES,
    RELEASED,
    SHUFFLED,
    Setting,
    values,
)
from natural_scenes import N_COLUMNS
from resu_core import canonical_directions
from scene_cells import Deal
from stage_io import guard, require_positive
from stage_report import Report, in_their_words
from stage_run import Run, Stage, measured

PROCESS_NOISE = (0.01, 0.1, 0.4)
PAST, FUTURE = 75, 25  # of the processes [grid steps]
FASTEST = max(lamina_cells.SPEEDS.values())


@dataclass(frozen=True)
class Config:
    """Options."""

    sets: int = 10  # replications: disjoint sets of panoramas, own noise
    deal_seed: int = 0  # of the deal
    scenes: str = natural_scenes.OWN  # rows of panoramas; relative to the project's folder
    noise: tuple[float, ...] = (0.005, 0.05, 0.5)  # standard deviations, in those of the z-scored rows, rising
    memory: int = 50  # [steps]
    horizon: int = 50  # [steps]
    smoke: bool = False


SMOKE = {"sets": 2, "noise": (0.05, 0.5)}
# Filters at noise .05 / largest tap, read off the released pictures: the first taps.
RELEASED_TAPS = (
    (1, 0.73, 0.48, 0.27, 0.09, -0.04, -0.13, -0.18, -0.185, -0.165),
    (1, 0.41, -0.01, -0.28, -0.42, -0.45, -0.40, -0.29, -0.17, -0.04, 0.07, 0.14, 0.18, 0.19),
)
# Measured by prototypes of this stage on the same panoramas: correlation, lobes, zero, minimum, depth of filters 1, 2.
PROTOTYPES: dict[tuple[str, float], tuple[tuple[float, ...], tuple[float, ...]]] = {
    ("Blender's 8", 0.005): ((1.0, 4, 3.46, 6, -0.205), (0.9948, 6, 1.41, 4, -0.497)),
    ("Blender's 8", 0.05): ((0.9986, 3, 4.77, 8, -0.184), (0.857, 4, 2.04, 5, -0.449)),
    ("Blender's 8", 0.5): ((0.935, 2, 9.48, 14, -0.099), (0.259, 3, 3.79, 8, -0.357)),
    ("npm's 17", 0.05): ((0.9985, 3, 4.37, 7, -0.189), (0.871, 5, 1.86, 5, -0.455)),
}
CELLS = (("L3", 0, MAIN), ("L2", 1, MAIN), ("L1", 1, NOISY))  # name, filter, noise
Found = Mapping[str, Any]


@dataclass(frozen=True)
class ProcessSetting:
    """A Gaussian process, by the name of its kernel, seen with noise."""

    process: str
    noise: float
    memory: int = PAST
    horizon: int = FUTURE


@measured(shelf="lamina_processes")
def measure_process(run: Run, s: ProcessSetting) -> dict[str, Any]:
    """Exact correlations, and shapes of two filters; a filter that predicts nothing has none (None)."""
    fit = canonical_directions(ProcessMoments(s.process, s.memory, s.horizon, s.noise), 2, ridge=0.0)
    taps = np.round(fit.filters / np.abs(fit.filters).max(axis=1, keepdims=True), 6)  # less is rounding
    shapes = [asdict(filter_shapes.lobes(its)) for its in taps]
    there = fit.correlations > lamina_cells.NOTHING
    return {
        "correlations": np.round(fit.spectrum[: lamina_cells.N_CORRELATIONS], 9),
        "lobes": [shape if is_there else None for shape, is_there in zip(shapes, there, strict=True)],
    }


def check(config: Config) -> None:
    """Refuse what leaves no window, no second filter, nothing to compare, or a staircase that does not settle."""
    require_positive(config, "memory", "horizon")
    if config.sets < 2:
        raise ValueError(f"--sets must be at least 2, not {config.sets}: a set is a replication")
    if min(config.memory, config.horizon) < 2:
        raise ValueError("two filters need a memory and a horizon of at least 2 steps")
    if config.memory > lamina_cells.SETTLED - lamina_cells.ONSET:
        most = lamina_cells.SETTLED - lamina_cells.ONSET
        raise ValueError(
            f"--memory must be at most {most}, not {config.memory}: longer answers overlap on the staircase"
        )
    shortest = int(N_COLUMNS / FASTEST)
    if config.memory + config.horizon > shortest:
        window = f"a window of {config.memory} + {config.horizon} steps"
        raise ValueError(f"{window} does not fit into the {shortest} steps of a row at speed {FASTEST:g}")
    if len(config.noise) < 2 or list(config.noise) != sorted(set(config.noise)) or not 0 < config.noise[0] < np.inf:
        raise ValueError(f"--noise must be at least two levels above 0 in rising order, not {config.noise}")
    lamina_cells.scenes_at(config.scenes).deal(config.sets, config.deal_seed)


def variant(config: Config) -> str:
    """Other scenes are a result of their own."""
    return natural_scenes.suffix(config.scenes)


def cells(run: Run) -> Found:
    """By input and noise level a cell per set; by pool and level one; by process and its level one."""
    c = run.config
    digest, _ = scene_cells.deal(run, Deal(c.scenes, c.sets, c.deal_seed))
    rest: dict[str, Any] = {"memory": c.memory, "horizon": c.horizon, "scenes": c.scenes, "digest": digest}
    inputs: dict[str, dict[float, list[Any]]] = {name: {n: [] for n in c.noise} for name in INPUTS}
    for part in range(c.sets):
        for name in INPUTS:
            for noise in c.noise:
                s = Setting(name, part, noise, sets=c.sets, deal_seed=c.deal_seed, **rest)
                inputs[name][noise].append(run.cell(lamina_cells.measure, s))
        run.log(f"set {part} done")
    pools: dict[str, dict[float, Any]] = {}
    for number, pool in enumerate(POOLS, lamina_cells.FIRST_POOL):
        settings = [Setting(NATURAL, number, n, sets=1, deal_seed=0, pool=pool, **rest) for n in c.noise]
        pools[pool] = {s.noise: run.cell(lamina_cells.measure, s) for s in settings}
    processes = {
        name: [run.cell(measure_process, ProcessSetting(name, noise)) for noise in PROCESS_NOISE] for name in PROCESSES
    }
    return {"inputs": inputs, "pools": pools, "processes": processes}


def report(c: Config, found: Found) -> Report:
    """Table, verdicts, figure."""
    inputs, pools, processes = found["inputs"], found["pools"], found["processes"]
    rows = [_row(name, unit, n, inputs[name][n]) for name in INPUTS for unit in (0, 1) for n in c.noise]
    there = [(pool, noise, cell) for pool, its in pools.items() for noise, cell in its.items() if cell is not None]
    rows += [_row(pool, unit, noise, [cell]) for pool, noise, cell in there for unit in (0, 1)]
    rows += [
        _process_row(name, unit, noise, cell)
        for name in PROCESSES
        for unit in (0, 1)
        for noise, cell in zip(PROCESS_NOISE, processes[name], strict=True)
    ]
    natural = inputs[NATURAL]
    arrays = {
        "noise": np.array(c.noise),
        "filters": np.array([[cell["filters"] for cell in natural[n]] for n in c.noise]),  # (noise, set, unit, lag)
        "correlations": np.array([[cell["correlations"] for cell in natural[n]] for n in c.noise]),
        "staircase": np.array(
            [[[its["sustained"] for its in cell["staircase"]] for cell in natural[n]] for n in c.noise]
        ),
        **{name: np.array([[cell[name] for cell in natural[n]] for n in c.noise]) for name in ("pca", "sfa")},
    }
    verdicts = lamina_cells.judge(inputs, c.noise, processes)
    notes = [*in_their_words("the paper", lamina_cells.PAPER, verdicts), *_notes(c, natural)]
    return Report(rows, verdicts, {"": partial(_figure, c, inputs)}, notes, arrays)


def _notes(c: Config, natural: Levels) -> list[str]:
    """What the table has no room for."""

    def diagonal(its: Sequence[Mapping[str, Any]], name: str) -> str:
        return ", ".join(f"{np.mean([cell[name][k][k] for cell in its]):.2f}" for k in (0, 1))

    found = []
    for name, unit, noise in CELLS:
        if noise in c.noise:
            ideal, signed = (values(natural[noise], unit, key) for key in ("ideal", "signed"))
            found.append(
                f"{name}: sustained index of a step that comes at once {estimate_of(ideal)}; plateau / transient with "
                f"its sign, on the staircase, {estimate_of(signed)}"
            )
    for n in c.noise:
        others = "; ".join(f"{name.upper()} {diagonal(natural[n], name)}" for name in ("pca", "sfa"))
        found.append(
            f"noise {n:g}, |correlation| of responses 1, 2 with those of filters 1, 2, mean over sets: {others}"
        )
    return found


PROPERTIES = {  # of a filter: column
    "count": "lobes",
    "first_zero": "first zero [steps]",
    "minimum_lag": "minimum [steps]",
    "depth": "depth",
    "sustained": "sustained index",
    "gain_at_zero": "gain at 0",
}


def _row(name: str, unit: int, noise: float, its: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    row: dict[str, Any] = {"input": name, "filter": unit + 1, "noise": f"{noise:g}"}
    for key, label in {"correlation": "correlation", **PROPERTIES}.items():
        numbers = values(its, unit, key)
        # What a filter of pure chance looks like is no measurement; a pool is measured once.
        chance = name == SHUFFLED and key != "correlation"
        single = float(numbers[0]) if np.isfinite(numbers[0]) else "none"
        row[label] = "" if chance else single if name in POOLS else estimate_of(numbers)
    released = _words(RELEASED[unit].values()) if (name, noise) == (NATURAL, MAIN) else ""
    known = PROTOTYPES.get((name, noise))
    row["released"] = f"prototype: {_words(known[unit])}" if known else released
    return row


def _words(numbers: Any) -> str:
    return "{:g}; {:g} lobes, zero {:g}, minimum {:g}, depth {:g}".format(*numbers)


def _process_row(name: str, unit: int, noise: float, cell: Mapping[str, Any]) -> dict[str, Any]:
    lobes = dict(cell["lobes"][unit] or {})
    if lobes.get("first_zero") is None:  # of one lobe: there is no minimum
        lobes |= {"minimum_lag": None, "depth": None}
    row = {"input": f"process: {name}", "filter": unit + 1, "noise": f"{noise:g}"}
    numbers = {label: "" if lobes.get(key) is None else float(lobes[key]) for key, label in PROPERTIES.items()}
    return {**row, "correlation": float(cell["correlations"][unit]), **numbers, "released": ""}


def _figure(c: Config, inputs: Mapping[str, Levels]) -> figures.Figure:
    """Filters by noise; what they make of the staircase; by input what is judged of them."""
    blocks: list[figures.Block] = [figures_curves.Plots(_filters(c, inputs[NATURAL]), "tap / largest tap", 2.5)]
    if {MAIN, NOISY} <= set(c.noise):
        blocks.append(figures_curves.Plots(_staircases(c, inputs[NATURAL]), "response / largest", 2.2))
    if MAIN in c.noise:
        blocks.append(figures_rows.Rows(_by_input(inputs), title=f"filter 2 at noise {MAIN:g}"))
    title = "ReSU filters of natural scenes moving past, beside the fly's lamina cells"
    return figures.page(f"{title}\nn = {c.sets} sets of panoramas, each with its own noise", blocks)


def _filters(c: Config, natural: Levels) -> list[figures_curves.Plot]:
    plots = []
    for unit, taps in enumerate(RELEASED_TAPS):
        curves: dict[str, figures_curves.Curve] = {
            f"noise {n:g}": (np.arange(c.memory), np.array([cell["filters"][unit] for cell in natural[n]]))
            for n in c.noise
        }
        curves[f"released, noise {MAIN:g}"] = (np.arange(len(taps)), np.array([taps]))
        plots.append(figures_curves.Plot(f"filter {unit + 1}", curves, "lag [steps]", lines={"": 0.0}))
    return plots


def _staircases(c: Config, natural: Levels) -> list[figures_curves.Plot]:
    light = lamina_cells.staircase(c.memory)[c.memory - 1 :]
    time = np.arange(len(light))
    stairs = np.array([(light - light.min()) / np.ptp(light)])
    plots = []
    for name, unit, noise in CELLS:
        found = []
        for part, cell in enumerate(natural[noise]):
            seen = lamina_cells.staircase(c.memory, np.random.default_rng((part, 2)))
            answer = lamina_cells.responses(np.array(cell["filters"][unit]), seen)
            answer -= answer[: lamina_cells.PLATEAU].mean()
            found.append(answer / np.abs(answer).max())
        curves = {"response": (time, np.array(found)), "log(luminance - 1), scaled": (time, stairs)}
        title = f"{name}: filter {unit + 1}, noise {noise:g}"
        plots.append(figures_curves.Plot(title, curves, "time [steps]", y_range=(-1.1, 1.1), first=4))
    return plots


def _by_input(inputs: Mapping[str, Levels]) -> list[figures_rows.Panel]:
    asked = {"correlation": "correlation", "first_zero": "first zero [steps]", "sustained": "sustained index"}
    panels = []
    for key, label in asked.items():
        rows = {name: values(inputs[name][MAIN], 1, key) for name in INPUTS if name != SHUFFLED}
        known = {NATURAL: RELEASED[1][key]} if key in RELEASED[1] else {}
        whole = {name: its for name, its in rows.items() if np.isfinite(its).all()}
        controls = [name for name in whole if name != NATURAL]
        panels.append(
            figures_rows.Panel(label, whole, known, original_label="released", grey=controls, replication="set")
        )
    return panels


STAGE = Stage(__file__, Config, cells, report, smoke=SMOKE, check=check, variant=variant)

if __name__ == "__main__":
    guard(STAGE.main)
