"""Eyes that are fitted to scenes in motion: from rows or frames to units, in closed form; controls of the same size.

An eye turns a pattern in motion into inputs (..., D), and holds weights (U, D) of its units. Those of `RowEye` are the
lamina's channels of three neighbours in a row, over some lags; those of `PatchEye` are the responses of our own second
layer to 3 x 3 neighbours.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from typing import Any, Protocol

import numpy as np

import motion_units
import natural_scenes
from motion_units import DEGREE, N_NEIGHBOURS, SPACING, Lamina, Move, Pattern
from natural_scenes import Scenes
from resu_conv import ReSUEncoder
from resu_core import canonical_directions
from resu_moments import LagMoments

MEMORY = HORIZON = 50  # of layer 1 [steps]
SEEN_NOISE, CHANNEL_NOISE = 0.05, 0.01  # of z-scored rows; of channels, in their standard deviations
DELAY = 5  # from a unit's inputs to what it predicts, as released [steps]
LAGS = 10  # of past and future in the fair protocol [steps]
SPEED_SD = 100 * 0.01 * DEGREE  # columns per step of 10 ms: Gaussian, 100 degrees per second
N_UNITS = 12  # of an eye with lags
L3, L1 = (0, 0), (1, 1)  # channels as released: filter 1 as it is, filter 2 rectified
ON_OFF = ((0, 1), (0, -1), (1, 1), (1, -1))
GREY, GREYS = 128.0, 32.0  # of a frame: level, and per standard deviation of a row
COLUMNS, ROWS = 16, 10  # photoreceptors of a frame
ROW_STEP = 2  # rows of the scenes from one row of a frame to the next: 5.6 degrees


@dataclass(frozen=True)
class Arm:
    """How an eye is fitted.

    label      as tables name it
    speeds     "one" column per step, or "drawn": Gaussian, and every draw in both directions
    both       directions, also at one column per step
    channels   of a photoreceptor: (filter, sign)       lags  of past and future; 1 with DELAY, as released
    rows       "natural", "phase-randomised", "blurred white", or "unrelated": neighbours look at different rows
    permuted   layer 1's taps in an order of chance
    patches    our own layers on frames
    """

    label: str
    speeds: str = "one"
    both: bool = False
    channels: tuple[tuple[int, int], ...] = (L3, L1)
    lags: int = 1
    rows: str = "natural"
    permuted: bool = False
    patches: bool = False


RELEASED = Arm("as released")
FAIR = Arm("fair", speeds="drawn", both=True, lags=LAGS)
ARMS = (
    RELEASED,
    replace(RELEASED, label="both directions", both=True),
    replace(RELEASED, label="unrelated rows", rows="unrelated"),
    replace(RELEASED, label="phase-randomised", rows="phase-randomised"),
    replace(RELEASED, label="blurred white", rows="blurred white"),
    replace(RELEASED, label="permuted layer 1", permuted=True),
    FAIR,
    replace(FAIR, label="fair, ON and OFF", channels=ON_OFF),
    replace(FAIR, label="fair, one direction", both=False),
    replace(FAIR, label="fair, unrelated rows", rows="unrelated"),
    replace(FAIR, label="fair, phase-randomised", rows="phase-randomised"),
    replace(FAIR, label="fair, blurred white", rows="blurred white"),
    replace(FAIR, label="fair, 3 x 3 patches", channels=ON_OFF, patches=True),
    replace(FAIR, label="fair, 3 x 3 patches, one direction", channels=ON_OFF, patches=True, both=False),
)


class Eye(Protocol):
    """A fitted eye."""

    weights: np.ndarray
    c_pp: np.ndarray
    correlations: np.ndarray

    def inputs(self, pattern: Pattern, move: Move) -> tuple[np.ndarray, np.ndarray]:
        """Inputs (n, D) over a pattern in motion, and over its mirror image, at the same places."""


def images_of(scenes: Scenes, images: Sequence[int], kind: str, rng: np.random.Generator) -> list[np.ndarray]:
    """Rows (R, N_COLUMNS) of each panorama, z-scored; or a control of the same size."""
    found = [scenes.of([i]) for i in images]
    if kind == "phase-randomised":
        return [natural_scenes.phase_randomised(rows, rng) for rows in found]
    if kind == "blurred white":
        return [natural_scenes.blurred_white(rows.shape, rng) for rows in found]
    return found


def moves_of(arm: Arm, n_draws: int, n_steps: int, rng: np.random.Generator) -> list[Move]:
    """How the eye moves while it is fitted: once around at one column per step, or by draws."""
    if arm.speeds == "one":
        return [Move(1.0, natural_scenes.N_COLUMNS - MEMORY + 1, MEMORY - 1.0)]
    speeds = np.abs(rng.normal(0, SPEED_SD, n_draws))
    starts = rng.random(n_draws) * natural_scenes.N_COLUMNS
    return [Move(float(v), n_steps, float(start)) for v, start in zip(speeds, starts, strict=True)]


@dataclass(frozen=True)
class RowEye:
    """Three neighbours in a row."""

    lamina: Lamina
    lags: int
    weights: np.ndarray
    c_pp: np.ndarray
    correlations: np.ndarray

    def inputs(self, pattern: Pattern, move: Move) -> tuple[np.ndarray, np.ndarray]:
        """As in `Eye`; without noise."""
        channels = self.lamina(pattern, replace(move, n_steps=move.n_steps + self.lags - 1))
        both = (channels, motion_units.mirrored(channels))
        ahead, back = (motion_units.lagged(its, self.lags) for its in both)
        return ahead.reshape(-1, ahead.shape[-1]), back.reshape(-1, back.shape[-1])


def seen_by(
    arm: Arm, images: Sequence[np.ndarray], moves: Sequence[Move], rng: np.random.Generator
) -> list[np.ndarray]:
    """What three neighbours see, with noise: (T, P, 3) for each move.

    At one column per step once around, the noise moves with the rows, as released; else each photoreceptor has its own.
    """
    rows = np.concatenate(list(images))
    if arm.speeds == "one":
        rows = rows + SEEN_NOISE * rng.standard_normal(rows.shape)
    patterns = [motion_units.rows_pattern(np.roll(rows, i, axis=0)) for i in range(N_NEIGHBOURS)]
    if arm.rows != "unrelated":
        patterns = patterns[:1] * N_NEIGHBOURS
    found = []
    for move in moves:
        path = move.path(MEMORY)
        seen = np.stack([pattern(path + i * SPACING) for i, pattern in enumerate(patterns)], axis=2)
        noise = 0.0 if arm.speeds == "one" else SEEN_NOISE * rng.standard_normal(seen.shape)
        found.append(seen + noise)
    return found


def fit_rows(arm: Arm, images: Sequence[np.ndarray], n_draws: int, n_steps: int, rng: np.random.Generator) -> RowEye:
    """Layer 1 on what is seen, then canonical directions of its channels; no window crosses a seam."""
    seen = seen_by(arm, images, moves_of(arm, n_draws, n_steps, rng), rng)
    moments = LagMoments(MEMORY, HORIZON)
    for part in seen:
        moments.update(np.ascontiguousarray(part.reshape(len(part), -1)), new_episode=True)
    filters = canonical_directions(moments, 2, 0.0).filters
    if arm.permuted:
        filters = rng.permuted(filters, axis=1)
    linear = [[motion_units.filtered(part, taps) for part in seen] for taps in filters]
    spread = np.array([np.sqrt(np.mean([z.var() for z in linear[k]])) for k, _ in arm.channels])
    lamina = Lamina(filters, arm.channels, spread)
    pairs = []
    for part in seen:
        channels = lamina.channels_of(part, CHANNEL_NOISE, rng)
        for its in (channels, motion_units.mirrored(channels)) if arm.both else (channels,):
            inputs = motion_units.lagged(its, arm.lags)
            ahead = DELAY if arm.lags == 1 else arm.lags
            width = inputs.shape[-1]
            pairs.append((inputs[:-ahead].reshape(-1, width), inputs[ahead:].reshape(-1, width)))
    fitted = motion_units.pair_moments(pairs)
    n_units = min(N_UNITS, len(fitted.c_pp))
    found = canonical_directions(fitted, n_units, 0.0)
    return RowEye(lamina, arm.lags, found.filters, fitted.c_pp, found.spectrum[:n_units])


@dataclass(frozen=True)
class PatchEye:
    """Our own layers on frames: its inputs are the second layer's responses, and its units are these."""

    encoder: ReSUEncoder
    weights: np.ndarray = field(default_factory=partial(np.eye, N_UNITS))

    @property
    def c_pp(self) -> np.ndarray:
        """Responses are uncorrelated and of unit variance: random units are rotations of the learned ones."""
        return np.eye(N_UNITS)

    @property
    def correlations(self) -> np.ndarray:
        """Of layer 2 (N_UNITS,)."""
        return self.encoder.upper_[0].correlations

    def inputs(self, pattern: Pattern, move: Move) -> tuple[np.ndarray, np.ndarray]:
        """As in `Eye`, of every second row, without the rim."""
        warm = MEMORY + LAGS - 1
        frames = frames_of(pattern, move.path(warm))
        ahead, back = (self._responses(its)[warm - 1 :] for its in (frames, frames[:, :, ::-1]))
        back = back[:, :, ::-1]  # where it lay before
        return ahead.reshape(-1, N_UNITS), back.reshape(-1, N_UNITS)

    def _responses(self, frames: np.ndarray) -> np.ndarray:
        maps = self.encoder.maps(np.ascontiguousarray(frames))[:, :, 1:-1:2, 1:-1].astype(np.float64)
        return np.moveaxis(maps[:, :N_UNITS] - maps[:, N_UNITS:], 1, -1)


def rows_of_frame(rows: np.ndarray) -> np.ndarray:
    """Rows (ROWS, N_COLUMNS) about the horizon of a panorama's (R, N_COLUMNS). Raises ValueError if R is too small."""
    chosen = rows[::ROW_STEP]
    if len(chosen) < ROWS:
        raise ValueError(f"a frame takes {ROWS} rows of a panorama, every {ROW_STEP}nd of them: it has {len(rows)}")
    return chosen[(len(chosen) - ROWS) // 2 :][:ROWS]


def frames_of(pattern: Pattern, path: np.ndarray, rng: np.random.Generator | None = None) -> np.ndarray:
    """What a frame's photoreceptors see along a path (T,): (T, ROWS, COLUMNS) uint8, with noise if rng is given.

    pattern   of ROWS rows, or of one, which all see
    """
    seen = np.stack([pattern(path + i * SPACING) for i in range(COLUMNS)], axis=2)
    seen = np.broadcast_to(seen, (len(path), ROWS, COLUMNS))
    noise = 0.0 if rng is None else SEEN_NOISE * rng.standard_normal(seen.shape)
    return np.rint(np.clip(GREY + GREYS * (seen + noise), 0, 255)).astype(np.uint8)


def fit_patches(
    arm: Arm, images: Sequence[np.ndarray], n_draws: int, n_steps: int, rng: np.random.Generator
) -> PatchEye:
    """Both layers on frames of each panorama; the second predicts all nine neighbours."""
    episodes = []
    for rows in images:
        pattern = motion_units.rows_pattern(rows_of_frame(rows))
        for move in moves_of(arm, max(n_draws // len(images), 1), n_steps, rng):
            frames = frames_of(pattern, move.path(MEMORY), rng)
            episodes += [frames, np.ascontiguousarray(frames[:, :, ::-1])] if arm.both else [frames]
    above: dict[str, Any] = {"memory2": LAGS, "horizon2": LAGS, "n_units2": N_UNITS, "future2": "patch"}
    encoder = ReSUEncoder(MEMORY, HORIZON, 2, (1, 1), 2, center=False, ridge=1e-9, **above)
    return PatchEye(encoder.fit(episodes))


def paired(eye: Eye, patterns: Sequence[Pattern], move: Move) -> np.ndarray:
    """Sums and differences (U', D) of units that a mirror keeps and units that it turns over, in order of each.

    Where both directions are equally frequent, canonical directions are of these two kinds, and neither tells the
    directions apart; their sums and differences can.
    """
    z = [np.concatenate(its) @ eye.weights.T for its in zip(*(eye.inputs(p, move) for p in patterns), strict=True)]
    kept = np.sum((z[0] - z[0].mean(axis=0)) * (z[1] - z[1].mean(axis=0)), axis=0) > 0
    couples = list(zip(np.flatnonzero(kept), np.flatnonzero(~kept), strict=False))
    found = [(eye.weights[a] + sign * eye.weights[b]) / np.sqrt(2) for a, b in couples for sign in (1, -1)]
    return np.array(found).reshape(len(found), eye.weights.shape[1])
