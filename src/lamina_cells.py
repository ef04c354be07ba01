"""Stage 17's cells and claims: filters of natural scenes and of their controls, what a staircase of light shows of
them, and what the paper says of the fly's lamina.

    index = |plateau after - plateau before| / largest |response - plateau before|      1 keeps a level, 0 is transient

m memory, k filters, newest tap first; a step is one column of a row. L3 is filter 1, L2 filter 2, at noise .05; L1 is
filter 2 at noise .5.
Source   Qin et al. 2025 (arXiv 2512.23146), whose staircase this is; its answers are computed causally here.
"""

from __future__ import annotations

import functools
import itertools
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from scipy import linalg

import dead_leaves
import filter_shapes
import natural_scenes
import stage_io
import stats_ci
from deadleaves_claims import Levels, values_of, worst
from natural_scenes import Scenes
from resu_core import LagMoments, canonical_directions
from stage_run import Run, measured
from stats_ci import Verdict, estimate

NATURAL, PHASES, WHITE, SHUFFLED = "natural", "phase-randomised", "blurred white noise", "time shuffled"
SPEEDS = {"half speed": 0.5, "double speed": 2.0}  # columns per step; of the others 1
INPUTS = (NATURAL, PHASES, WHITE, SHUFFLED, *SPEEDS)
POOLS = {"Blender's 8": "blender", "npm's 17": "pmndrs"}  # a word in the source of each panorama
FIRST_POOL = 1000  # number of the first pool, where a set's number is asked: none of theirs
PROCESSES = ("rational quadratic", "squared exponential", "ou")  # kernels
N_CORRELATIONS = 5
LUMINANCE = (1.5, 2.5, 3.5, 4.5, 5.5, 4.5, 3.5, 2.5, 1.5)  # of the staircase
PER_LEVEL, WIDTH = 150, 149 / 20  # samples per step, and of its tanh
ONSET, SETTLED, PLATEAU = 25, 75, 50  # samples: a step is felt from so many before it, is over after, and then lasts
MAIN, NOISY = 0.05, 0.5  # noise of L3 and L2, and of L1


# --- measurements ---


@dataclass(frozen=True)
class Setting:
    """One cell: an input at one noise level.

    part, sets, deal_seed   which set of panoramas, of how many, and how they were dealt; of a pool its own number
    pool                    a name in POOLS: all panoramas from there, instead of a set
    scenes, digest          file of rows, relative to the project's folder; what tells its content from another's
    """

    input: str
    part: int
    noise: float
    memory: int
    horizon: int
    sets: int
    deal_seed: int
    scenes: str
    digest: str
    pool: str = ""


@functools.lru_cache(maxsize=2)
def scenes_at(path: str) -> Scenes:
    """The scenes in a file, which is named relative to the project's folder. Raises as `natural_scenes.load`."""
    return natural_scenes.load(stage_io.ROOT / path)


def images_of(scenes: Scenes, s: Setting) -> tuple[int, ...]:
    """The panoramas of a cell: its set, or those of its pool; none if the file has none from there."""
    if not s.pool:
        return scenes.deal(s.sets, s.deal_seed)[s.part]
    return tuple(i for i, source in enumerate(scenes.sources) if POOLS[s.pool] in source)


def series_of(rows: np.ndarray, input: str, part: int) -> np.ndarray:
    """Series (T, R) float64 of an input that is made of rows (R, C), z-scored, before the noise.

    input   a name in INPUTS           part   number of the set: the root of what is drawn
    Raises  ValueError if there is no such input.
    """
    if input not in INPUTS:
        raise ValueError(f"no input {input!r}: it is one of {', '.join(INPUTS)}")
    rng = np.random.default_rng((part, 0))
    if input == PHASES:
        rows = natural_scenes.phase_randomised(rows, rng)
    elif input == WHITE:
        rows = natural_scenes.blurred_white((rows.shape[0], rows.shape[1]), rng)
    series = dead_leaves.z_score(dead_leaves.scan(rows, SPEEDS.get(input, 1.0)))
    return rng.permuted(series, axis=0) if input == SHUFFLED else series


def moments_of(series: np.ndarray, memory: int, horizon: int) -> LagMoments:
    """Moments of series (T, R), not centred. Raises ValueError if T < memory + horizon: no window fits."""
    if len(series) < memory + horizon:
        raise ValueError(f"a window of {memory} + {horizon} steps does not fit into rows of {len(series)} steps")
    return LagMoments(memory, horizon).update(np.ascontiguousarray(series))


def principal_directions(moments: LagMoments, n: int) -> np.ndarray:
    """PCA: the n filters (n, m) of unit length whose responses vary most, most first."""
    return linalg.eigh(moments.C_pp)[1][:, ::-1][:, :n].T


def slow_directions(moments: LagMoments, n: int) -> np.ndarray:
    """SFA: the n filters (n, m) whose responses change least from a step to the next, by their variance; slowest first.

    Raises   scipy.linalg.LinAlgError if the past has directions without variance.
    """
    joint, m = moments.window_moment(), moments.memory
    before, after = slice(0, m), slice(1, m + 1)
    change = joint[before, before] + joint[after, after] - joint[before, after] - joint[after, before]
    return linalg.eigh(change[::-1, ::-1], moments.C_pp)[1][:, :n].T


@measured(shelf="lamina")
def measure(run: Run, s: Setting) -> dict[str, Any] | None:
    """Filters of one input at one noise level (a set's noise differs between levels in size only); None: no panorama.

    "pca" and "sfa": |correlation| of their first two responses (rows) with those of ReSU's filters (columns).
    """
    scenes = scenes_at(s.scenes)
    images = images_of(scenes, s)
    if not images:
        return None
    series = series_of(scenes.of(images), s.input, s.part)
    series = dead_leaves.add_noise(series, s.noise, np.random.default_rng((s.part, 1)))
    moments = moments_of(series, s.memory, s.horizon)
    fit = canonical_directions(moments, 2, ridge=0.0)
    light, covariance = staircase(s.memory, np.random.default_rng((s.part, 2))), moments.C_pp
    taps = fit.filters / np.abs(fit.filters).max(axis=1, keepdims=True)
    others = {"pca": principal_directions(moments, 2), "sfa": slow_directions(moments, 2)}
    return {
        "correlations": fit.spectrum[:N_CORRELATIONS],
        "filters": np.round(taps, 6),
        "lobes": [asdict(filter_shapes.lobes(its)) for its in fit.filters],
        "staircase": [answers_to(its, light) for its in taps],
        **{
            name: [[filter_shapes.cosine(a, b, covariance) for b in fit.filters] for a in directions]
            for name, directions in others.items()
        },
        "panoramas": len(images),
        "windows": moments.n_windows * moments.n_series,
    }


# --- the staircase ---


def edges() -> list[int]:
    """The steps of the staircase: positions in a response of the first sample of each new level."""
    return [SETTLED + PER_LEVEL * k for k in range(len(LUMINANCE) - 1)]


def staircase(
    memory: int, rng: np.random.Generator | None = None, noise: float = 0.01, width: float = WIDTH
) -> np.ndarray:
    """log(luminance - 1) of a staircase up and down, (memory - 1 + 1,250,): whole windows give 1,250 responses.

    memory   of the filter [samples]; the first level lasts so much longer that no window needs to be filled up
    rng      of the noise; None for none         noise   standard deviation, of luminance
    width    of the steps, each a tanh [samples]; 0: at once
    """
    ends = np.array(edges())
    time = np.arange(1 - memory, ends[-1] + SETTLED + PLATEAU)
    # A step is half done half a sample before the first sample of its level.
    done = (1 + np.tanh((time[:, None] - ends + 0.5) / max(width, 1e-9))) / 2
    luminance = LUMINANCE[0] + done @ np.diff(LUMINANCE)
    if rng is not None:
        luminance = luminance + noise * rng.standard_normal(len(time))
    return np.log(luminance - 1)


def responses(taps: np.ndarray, light: np.ndarray) -> np.ndarray:
    """(T - m + 1,) what a filter (m,), newest tap first, makes of a series (T,): causally, whole windows only."""
    return np.convolve(light, taps, mode="valid")


def answers_to(taps: np.ndarray, light: np.ndarray) -> dict[str, Any]:
    """What a filter (m,) makes of a staircase: signed transients and plateaus of its steps [taps x log luminance].

    "sustained"   the index, |plateau / transient|, mean over steps [1]
    "signed"      plateau / transient, mean over steps: below 0 if the plateau lies on the other side  [1]
    "ideal"       the index of a step at once, without noise: |sum of taps| / largest |sum of the first taps|
    A plateau is the mean of 50 samples from 75 samples after a step on: the tanh and a filter of 50 taps are over, the
    next step has not begun. A transient is the largest deviation from the plateau before, up to 75 samples after.
    """
    found, transients, plateaus = responses(taps, light), [], []
    for edge in edges():
        before = found[edge - SETTLED : edge - SETTLED + PLATEAU].mean()
        after = found[edge + SETTLED : edge + SETTLED + PLATEAU].mean()
        course = found[edge - ONSET : edge + SETTLED] - before
        transients.append(course[np.abs(course).argmax()])
        plateaus.append(after - before)
    ratios, sums = np.clip(np.divide(plateaus, transients), -1, 1), np.cumsum(taps)
    return {
        "sustained": float(np.abs(ratios).mean()),
        "signed": float(ratios.mean()),
        "ideal": float(np.abs(sums[-1]) / np.abs(sums).max()),
        "transients": np.array(transients),
        "plateaus": np.array(plateaus),
    }


# --- claims ---

KEEPS, FORGETS, NO_CORRELATION, OTHER, NOTHING = 0.25, 0.1, 0.1, 0.9, 1e-6
SAME = {"correlation": 0.03, "first_zero": 0.2, "depth": 0.03}  # margins between two inputs
# At noise .05, read off the pictures that were released (error about 1 %): filters 1 and 2.
RELEASED: tuple[dict[str, float], ...] = (
    {"correlation": 0.999, "count": 3, "first_zero": 4.7, "minimum_lag": 8, "depth": -0.185},
    {"correlation": 0.879, "count": 4, "first_zero": 2.0, "minimum_lag": 5, "depth": -0.453},
)
AS_RELEASED = (  # filter, what, margin
    (0, "correlation", 0.03), (1, "correlation", 0.03), (1, "first_zero", 0.3), (1, "minimum_lag", 1.0),
    (1, "depth", 0.03), (0, "first_zero", 0.6), (0, "depth", 0.03),
)  # fmt: skip
PAPER = {  # what Qin et al. 2025 say: the verdicts on it
    "filter 1 is L3, which keeps a level at each step of light": ("L3: keeps a level",),
    "filter 2 is L2, which answers steps alone": ("L2: transient",),
    "filter 2 under more noise is L1, which leaves a small plateau": ("L1: between", "L1: plateau's side"),
    "more noise makes lobes fewer and later": tuple(
        f"filter {k}: {change}" for k in (1, 2) for change in ("fewer lobes", "later first zero", "later minimum")
    ),
    "it takes natural scenes (layer 1 sees the power spectrum alone, so that no test on it could tell)": (),
}
WORDS = {"correlation": "correlation", "first_zero": "first zero", "minimum_lag": "minimum", "depth": "depth"}
Parts = Mapping[str, np.ndarray]  # by label one value per set


def values(cells: Sequence[Mapping[str, Any]], unit: int, name: str) -> np.ndarray:
    """(n sets,) a property of filter `unit` + 1: its "correlation", a number of `answers_to`, or one of its lobes."""
    if name == "correlation":
        return np.array([cell["correlations"][unit] for cell in cells])
    if name in ("sustained", "signed", "ideal"):
        return np.array([cell["staircase"][unit][name] for cell in cells])
    return values_of(cells, unit, name)


@dataclass(frozen=True)
class _Judge:
    """Makes verdicts on claims with one or more parts; `cells` by input and noise level, one per set."""

    cells: Mapping[str, Levels]
    noises: Sequence[float]

    def of(self, unit: int, name: str, noise: float, input: str = NATURAL) -> np.ndarray | None:
        return values(self.cells[input][noise], unit, name) if noise in self.noises else None

    def levels(self, unit: int, name: str, input: str = NATURAL) -> list[np.ndarray]:
        return [values(self.cells[input][noise], unit, name) for noise in self.noises]

    def above(self, id: str, text: str, bound: float, parts: Parts, sign: int = 1) -> Verdict:
        """sign 1: every part lies above the bound; -1: below."""
        return self._judged(id, text, bound, parts, lambda v: stats_ci.verdict_positive(estimate(sign * (v - bound))))

    def close(self, id: str, text: str, margin: float, parts: Parts) -> Verdict:
        """Every part is equivalent to 0."""
        text = f"{text}, within {margin:g}"
        return self._judged(id, text, margin, parts, lambda v: stats_ci.verdict_equivalent(estimate(v), margin))

    def _judged(self, id: str, text: str, margin: float, parts: Parts, rule: Any) -> Verdict:
        if not parts:
            return stats_ci.missing(id, f"{text} (noise level not asked)", margin)
        if not all(np.isfinite(v).all() for v in parts.values()):
            return Verdict(id, f"{text} (undefined in some sets)", None, stats_ci.UNDECIDED, margin)
        found = {label: estimate(v) for label, v in parts.items()}
        return Verdict(
            id, text, found, worst([rule(v) for v in parts.values()]), margin, len(next(iter(parts.values())))
        )


def _only(label: str, found: np.ndarray | None) -> Parts:
    return {} if found is None else {label: found}


def judge(
    cells: Mapping[str, Levels], noises: Sequence[float], processes: Mapping[str, Sequence[Mapping[str, Any]]]
) -> list[Verdict]:
    """Every claim of stage 17.

    cells       by input and noise level, one per set; the sets are the replications
    noises      levels, rising
    processes   by name, a cell per level of noise, rising
    """
    j = _Judge(cells, noises)
    return [
        *_cells_of_the_lamina(j),
        *_rises(j),
        *_as_released(j),
        *_controls(j),
        *_alternatives(j),
        *_exact(processes),
    ]


def _cells_of_the_lamina(j: _Judge) -> list[Verdict]:
    """Claims A to C: what the staircase shows."""
    l3, l2 = j.of(0, "sustained", MAIN), j.of(1, "sustained", MAIN)
    l1, order = j.of(1, "sustained", NOISY), {}
    if l1 is not None and l2 is not None and l3 is not None:
        order = {"L1 - L2": l1 - l2, "L3 - L1": l3 - l1}
    keeps = f"L3 (filter 1, noise {MAIN:g}) keeps a level: sustained index above {KEEPS}"
    drops = f"L2 (filter 2, noise {MAIN:g}) is transient: sustained index below {FORGETS}"
    side = f"L1 (filter 2, noise {NOISY:g}) has its plateau on the transient's side: plateau / transient above 0"
    between = f"L1 (filter 2, noise {NOISY:g}) is more sustained than L2, and less than L3 (paired differences above 0)"
    return [
        j.above("L3: keeps a level", keeps, KEEPS, _only("L3", l3)),
        j.above("L2: transient", drops, FORGETS, _only("L2", l2), -1),
        j.above("L1: between", between, 0.0, order),
        j.above("L1: plateau's side", side, 0.0, _only("L1", j.of(1, "signed", NOISY))),
    ]


def _rises(j: _Judge) -> list[Verdict]:
    """Claim D: more noise, fewer and later lobes."""
    changes = (("count", "fewer lobes", -1), ("first_zero", "later first zero", 1), ("minimum_lag", "later minimum", 1))
    labels = [f"{a:g} to {b:g}" for a, b in itertools.pairwise(j.noises)]
    found = []
    for unit, (name, label, sign) in itertools.product((0, 1), changes):
        parts = [b - a for a, b in itertools.pairwise(j.levels(unit, name))]
        text = f"filter {unit + 1}: {label} at each rise of the noise (paired change)"
        found.append(j.above(f"filter {unit + 1}: {label}", text, 0.0, dict(zip(labels, parts, strict=True)), sign))
    return found


def _as_released(j: _Judge) -> list[Verdict]:
    """Claim E: the values that were read off the released pictures."""
    found = []
    for unit, name, margin in AS_RELEASED:
        there = j.of(unit, name, MAIN)
        parts = {} if there is None else {f"noise {MAIN:g}": there - RELEASED[unit][name]}
        text = f"filter {unit + 1}: {WORDS[name]} as released, {RELEASED[unit][name]:g} (difference)"
        found.append(j.close(f"as released: filter {unit + 1}, {WORDS[name]}", text, margin, parts))
    return found


def _controls(j: _Judge) -> list[Verdict]:
    """Claim F: shuffled time, random phases, blurred white noise."""

    def minus(name: str, input: str) -> Parts:
        pairs = zip(j.noises, j.levels(1, name), j.levels(1, name, input), strict=True)
        return {f"{noise:g}": natural - other for noise, natural, other in pairs}

    shuffled = {f"{n:g}": v for n, v in zip(j.noises, j.levels(0, "correlation", SHUFFLED), strict=True)}
    text = f"control, time shuffled: first correlation below {NO_CORRELATION}"
    found = [j.above("time shuffled", text, NO_CORRELATION, shuffled, -1)]
    for name, margin in SAME.items():
        text = f"control, {PHASES}: filter 2's {WORDS[name]} as of natural scenes"
        why = "cannot fail, since layer 1 sees the power spectrum only"
        found.append(j.close(f"{PHASES}: {WORDS[name]}", f"{text} ({why})", margin, minus(name, PHASES)))
    text = "control, blurred white noise: filter 2 equally deep (paired difference)"
    found.append(j.close(f"{WHITE}: depth", text, SAME["depth"], minus("depth", WHITE)))
    later = "natural scenes beside blurred white noise: filter 2's first zero is later (paired difference above 0)"
    lower = "natural scenes beside blurred white noise: filter 2's correlation is lower (paired difference below 0)"
    found.append(j.above(f"{WHITE}: later first zero", later, 0.0, minus("first_zero", WHITE)))
    found.append(j.above(f"{WHITE}: lower correlation", lower, 0.0, minus("correlation", WHITE), -1))
    return found


def _alternatives(j: _Judge) -> list[Verdict]:
    """Claim G: neither PCA nor SFA."""
    found = []
    for name in ("pca", "sfa"):
        there = np.array([cell[name][0][0] for cell in j.cells[NATURAL].get(MAIN, ())])
        text = (
            f"no {name.upper()}: its first response correlates with filter 1's by less than {OTHER} at noise {MAIN:g}"
        )
        found.append(
            j.above(f"not {name.upper()}", text, OTHER, _only(name.upper(), there if len(there) else None), -1)
        )
    return found


def _exact(processes: Mapping[str, Sequence[Mapping[str, Any]]]) -> list[Verdict]:
    """Claim H: Gaussian processes, without sampling."""
    found = []
    for process, name in itertools.product(PROCESSES[:2], ("first_zero", "minimum_lag")):
        rise = float(np.diff(values_of(processes[process], 1, name)).min())
        text = (
            f"{process}, exact: filter 2's {WORDS[name]} is later at each rise of the noise (smallest change in steps)"
        )
        found.append(stats_ci.measured(f"{process}: later {WORDS[name]}", text, rise, rise > 0, 0.0))
    second = max(cell["correlations"][1] for cell in processes["ou"])
    text = f"one OU process, exact: no second filter (largest second correlation below {NOTHING:g})"
    found.append(stats_ci.measured("ou: one filter", text, second, second < NOTHING, NOTHING))
    return found
