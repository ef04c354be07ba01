"""What the stage on motion measures: how units of an eye tell directions apart, beside random units of the same eye."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

import motion_eyes
import motion_units
import natural_scenes
from motion_eyes import ARMS, Eye, RowEye
from motion_units import DEGREE, EDGE_STEPS, Move, Pattern
from stage_io import ROOT
from stage_run import Run, measured

WAVELENGTHS = (15.0, 20.0, 30.0, 45.0, 90.0)  # of gratings [degrees]
VELOCITIES = (1.0, 2.0, 4.0)  # [columns per step]
FIRES = 0.1  # mean rate below which a unit is not chosen [standard deviations of its response]
UNTRAINED = (-1.0, 0.0, 0.0, 0.0, 1.0, 0.0)  # right minus left of the first channel
CONNECTOME = np.array([[0.37, 1.37, 0.34], [0.20, -0.38, -0.09]])  # L1 and L3: left, centre, right; as released


@dataclass(frozen=True)
class Setting:
    """One cell: an eye, fitted to one set of panoramas and looked at on the next set.

    scenes     the file of rows, from the project's folder, and what tells its content from another's
    n_draws    of speeds, and n_steps of each, that a fair eye is fitted to; as many steps it is looked at with
    n_random   sets of random units
    """

    arm: str
    train: tuple[int, ...]
    test: tuple[int, ...]
    scenes: str
    digest: str
    n_draws: int
    n_steps: int
    n_random: int


Rates = dict[str, np.ndarray]  # by stimulus: (velocities or conditions, 2 directions, 2 signs, U)


def rates_of(eye: Eye, weights: np.ndarray, train: Sequence[Pattern], test: Sequence[Pattern], n_steps: int) -> Rates:
    """Mean rates of units (U, D) on rows of the fit, on others, and on gratings; the largest on edges (ON, OFF)."""

    def both(patterns: Sequence[Pattern], move: Move) -> np.ndarray:
        its = [eye.inputs(pattern, move) for pattern in patterns]
        return np.mean([[motion_units.mean_rates(inputs, weights) for inputs in pair] for pair in its], axis=0)

    found = {
        "fit": np.stack([both(train, Move(v, n_steps)) for v in VELOCITIES]),
        "rows": np.stack([both(test, Move(v, n_steps)) for v in VELOCITIES]),
    }
    gratings = []
    for v in VELOCITIES:
        for wavelength in WAVELENGTHS:
            period = wavelength * DEGREE / v
            move = Move(v, round(period * max(1, round(n_steps / period))))
            gratings.append(both([motion_units.grating(wavelength, 1.0)], move))
    found["gratings"] = np.stack(gratings)
    inputs = eye.inputs(motion_units.edges(), Move(1.0, 2 * EDGE_STEPS))
    halves = [[its.reshape(2, -1, its.shape[-1])[half] for its in inputs] for half in (0, 1)]
    found["edges"] = np.array([[motion_units.peak_rates(its, weights) for its in half] for half in halves])
    return found


def chosen(fit: np.ndarray) -> tuple[int, int, int]:
    """Sign, unit and preferred direction (0 ahead, 1 mirrored) of the most selective unit that fires, by its rates.

    fit   (velocities, 2 directions, 2 signs, U), on what the eye was fitted to
    """
    rates = fit.mean(axis=0)
    index = motion_units.selectivity(rates[0], rates[1])
    strength = np.where(rates.mean(axis=0) >= FIRES, np.abs(index), -1.0)
    sign, unit = np.unravel_index(int(np.argmax(strength)), strength.shape)
    return int(sign), int(unit), int(index[sign, unit] < 0)


def indices_of(rates: Rates, sign: int, unit: int, preferred: int) -> dict[str, float]:
    """Selectivity of one unit, averaged over conditions: positive if the direction is that of the fit."""
    out = {}
    for name in ("fit", "rows", "gratings"):
        its = rates[name][:, :, sign, unit]
        out[name] = float(motion_units.selectivity(its[:, preferred], its[:, 1 - preferred]).mean())
    return out


def by_wavelength(rates: Rates, sign: int, unit: int) -> np.ndarray:
    """(wavelengths,) selectivity of a unit on gratings of the first velocity, positive for the direction of the fit."""
    its = rates["gratings"][: len(WAVELENGTHS), :, sign, unit]
    return motion_units.selectivity(its[:, 0], its[:, 1])


@measured(shelf="motion")
def measure(run: Run, s: Setting) -> dict[str, Any]:
    """One eye: its correlations, its most selective unit, that of its pairs, that of random units, and unit 2."""
    arm = next(arm for arm in ARMS if arm.label == s.arm)
    scenes, rng = natural_scenes.load(ROOT / s.scenes), np.random.default_rng((min(s.train), ARMS.index(arm)))
    images = motion_eyes.images_of(scenes, s.train, arm.rows, rng)
    fit = motion_eyes.fit_patches if arm.patches else motion_eyes.fit_rows
    eye: Any = fit(arm, images, s.n_draws, s.n_steps, rng)
    train, test = (
        [motion_units.rows_pattern(motion_eyes.rows_of_frame(rows) if arm.patches else rows) for rows in its]
        for its in (images, [scenes.of([i]) for i in s.test])
    )
    units = {
        "learned": eye.weights,
        "paired": motion_eyes.paired(eye, train, Move(VELOCITIES[1], s.n_steps)),
        **{f"random {i}": motion_units.random_units(eye.c_pp, len(eye.weights), rng) for i in range(s.n_random)},
    }
    released = arm.lags == 1
    weights = np.concatenate([*units.values(), [UNTRAINED]] if released else list(units.values()))
    rates = rates_of(eye, weights, train, test, s.n_steps)
    ends = np.cumsum([len(its) for its in units.values()])
    best = {
        name: best_of({key: its[..., end - len(units[name]) : end] for key, its in rates.items()})
        for name, end in zip(units, ends, strict=True)
        if len(units[name])
    }
    chance = [found for name, found in best.items() if name.startswith("random")]
    result = {
        "correlations": np.round(eye.correlations, 5),
        "learned": best["learned"],
        "paired": best.get("paired"),
        "random": {name: np.round([its[name] for its in chance], 4) for name in ("fit", "rows", "gratings", "pure")},
    }
    if released:
        single = [int(end) - 1 for end in ends[2:]]  # a unit of each random set
        result |= {
            "random_single": np.round([abs(indices_of(rates, 0, unit, 0)["gratings"]) for unit in single], 4),
            "random_by_wavelength": np.round(np.abs([by_wavelength(rates, 0, unit) for unit in single]), 4),
            **_as_released(eye, rates, rng),
        }
    run.log(f"{s.arm}, panoramas {s.train}: best unit on gratings {result['learned']['gratings']:.3f}")
    return result


def best_of(rates: Rates) -> dict[str, Any]:
    """The most selective unit on what the eye was fitted to: which one, and how selective it is elsewhere.

    pure   of its largest rates on four edges (ON, OFF, each in two directions): (first - second) / (first + second)
    """
    sign, unit, preferred = chosen(rates["fit"])
    edges = np.sort(rates["edges"][:, :, sign, unit].ravel())
    pure = float(motion_units.selectivity(edges[-1], edges[-2]))
    return indices_of(rates, sign, unit, preferred) | {"pure": pure, "unit": unit + 1, "sign": ("ON", "OFF")[sign]}


def connectome_cosine(weights: np.ndarray) -> np.ndarray:
    """|cosine| (n,) of weights (n, 6) with those of the connectome, as released: each path by its own sum of sizes.

    weights   L3 and L1 of left, centre, right; the model runs from right to left
    """
    model = np.stack([weights[:, 5::-2], weights[:, 4::-2]], axis=1)  # (n, 2 paths, 3): L1, L3 from the right
    model, there = (its / np.abs(its).sum(axis=-1, keepdims=True) for its in (model, CONNECTOME[None]))
    products = (model * there).sum(axis=(1, 2))
    return np.abs(products) / np.sqrt((model**2).sum(axis=(1, 2)) * (there**2).sum())


def _as_released(eye: RowEye, rates: Rates, rng: np.random.Generator) -> dict[str, Any]:
    """Unit 2, its sign such that light that comes in the fit's direction drives it most; beside what is untrained."""
    out: dict[str, Any] = {}
    for name, unit in (("unit_2", 1), ("untrained", rates["edges"].shape[-1] - 1)):
        edges = rates["edges"][..., unit]  # (ON OFF edge, direction, sign)
        sign = int(np.argmax(edges[0, 0]))
        out[name] = {
            **indices_of(rates, sign, unit, 0),
            "edges": np.round(edges[..., sign], 4),
            "by_wavelength": np.round(by_wavelength(rates, sign, unit), 4),
        }
        if name == "unit_2":
            out["weights"] = np.round(eye.weights[1] * (1 - 2 * sign), 5)
    channels = eye.lamina(motion_units.grating(30.0, 1.0), Move(1.0, round(300 * DEGREE)))
    detector = [motion_units.correlator(its, motion_eyes.DELAY) for its in (channels, motion_units.mirrored(channels))]
    ahead, back = (np.maximum(its, 0).mean() for its in detector)
    chance = connectome_cosine(rng.standard_normal((10_000, 6)))
    cosine = float(connectome_cosine(out["weights"][None])[0])
    return out | {
        "correlator": float(motion_units.selectivity(ahead, back)),
        "connectome": cosine,
        "connectome_by_chance": float((chance >= cosine).mean()),
    }
